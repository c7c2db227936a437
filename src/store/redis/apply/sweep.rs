//! The end of a scan: what it did not find is removed, or put back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use log::warn;

use super::super::clock::Step;
use super::super::debt::{Found, Restoring, Scan, Settling};
use super::super::session::Cause;
use super::early::settlement;
use super::{Applier, Stage};
use crate::registration::TargetId;
use crate::store::{Change, Comparison, Kept, Missing};

/// How long after a restart a scan is repeated, if something is missing that another server may be putting back.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

impl Applier<'_> {
    /// Removes what the scan did not find, and goes on to put back what must not be missing.
    pub(super) fn sweep(&mut self, scan: Scan) {
        let now = Instant::now();
        let restart = self.restoring.as_ref().map(|restoring| &restoring.restart);
        let until = restart.map_or(now, |restart| restart.known_until(now));
        let since = restart.and_then(|restart| now.checked_sub(restart.origin.age)).unwrap_or(now);
        let mut comparison = self.context.mirror.compare(&scan.present, until, since);
        // What changed since the scan passed by is fetched in the next round. What expired is gone from every store;
        // how long it is shown is for the mirror to say.
        let has_expired = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let was_there = |id| self.restoring.as_ref().is_none_or(|restoring| restoring.was_there(id));
        let will_be_known = |id| was_there(id) && self.session.may_have_changed(id);
        comparison.missing.retain(|Missing { kept, .. }| !has_expired(kept.deadline) && !will_be_known(kept.id));
        let missing: HashSet<TargetId> = comparison.missing.iter().map(|missing| missing.kept.id).collect();
        let lost = self.lost(&scan, comparison);
        let gone = &missing - &lost.iter().map(|kept| kept.id).collect();
        if self.restoring.as_mut().is_some_and(|restoring| !restoring.confirms(&gone)) {
            self.due = Some((Cause::Confirm, now + CONFIRM_AFTER));
            return;
        }
        self.context.mirror.apply(gone.into_iter().map(Change::Gone).collect());
        let mut settling = Settling::new(lost, now);
        settling.owe(settlement(self.context, self.clock, now, 1));
        if let Some(step) = self.clock.step() {
            settling.move_back(step.in_redis(self.context.mirror.lifetimes(None), now));
        }
        if settling.end.is_none() && settling.is_done() {
            self.finish(&settling, Some(scan));
        } else {
            self.stage = Stage::Settling(settling, Some(scan));
        }
    }

    fn lost(&self, scan: &Scan, mut comparison: Comparison) -> Vec<Kept> {
        let (found, now) = (scan.present.len(), Instant::now());
        let ends_early = |step: Step, kept: &Kept| kept.deadline.is_some_and(|deadline| step.ends_early(deadline, now));
        let is_early = |missing: &mut Missing| self.clock.step().is_some_and(|step| ends_early(step, &missing.kept));
        let early: Vec<Missing> = comparison.missing.extract_if(.., is_early).collect();
        let lost = |restoring: &Restoring| {
            let foreign = restoring.restart.origin.elsewhere + scan.foreign;
            restoring.lost(Found { registrations: found, foreign }, comparison, early, now)
        };
        let lost = self.restoring.as_ref().map_or_else(Vec::new, lost);
        if !lost.is_empty() {
            warn!(found, missing = lost.len(); "Redis restarted and lost registrations, putting them back");
        }
        lost
    }
}
