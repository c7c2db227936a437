//! Finds what Redis and the mirror owe each other: at the end of a scan, and when the clock of Redis was set, and all
//! deadlines there with it.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::time::{Duration, Instant};

use log::warn;

use super::super::answers::Answers;
use super::super::clock::Step;
use super::super::debt::{Found, Restoring, Scan, Settling};
use super::super::session::Cause;
use super::{Applier, Stage};
use crate::registration::TargetId;
use crate::store::{Change, Comparison, Kept, Missing, Stored};

/// How soon a scan after a restart is repeated if registrations are missing that another server may be putting back.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

impl Applier<'_> {
    /// Removes registrations that the scan did not find, and puts back those that must not be missing.
    pub(super) fn sweep(&mut self, scan: Scan) {
        let now = Instant::now();
        let restart = self.restoring.as_ref().map(|restoring| &restoring.restart);
        let until = restart.map_or(now, |restart| restart.known_until(now));
        let before = self.restoring.as_ref().and_then(Restoring::before);
        let mut comparison = self.context.mirror.compare(&scan.present, until, before);
        // The next round fetches what changed after the scan passed by. Expired registrations are gone from every
        // store; the mirror decides how long they are shown.
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
        settling.owe(self.context.mirror.settle(now, 1).map(|first| self.clock.in_redis(first)));
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

    /// Notes the clock. A round that reads deadlines reads it after them, and without any, one does within two seconds.
    /// After a step, registrations that expired early stay listed, nothing lives longer, and Redis gets back all
    /// deadlines as they were. A deletion still deletes.
    pub(super) fn follow_clock(&mut self, read: &mut Answers) {
        if !self.context.connector.settings().restore {
            return;
        }
        if let Some(step) = read.clock.and_then(|reading| self.clock.note(reading)) {
            let (seconds, direction) = (step.by.as_secs(), if step.is_back { "back" } else { "forward" });
            warn!(seconds; "the clock of Redis was set {direction}; moving deadlines back to where they were");
            // The end of the scan decides what a new process has lost.
            if self.restoring.is_none() {
                self.move_back(step);
            }
        }
        if let Some(step) = self.clock.step() {
            self.correct(&mut read.changes, step);
        }
    }

    /// Corrects changes that follow from the step.
    fn correct(&self, changes: &mut Vec<Change>, step: Step) {
        let (now, ids) = (Instant::now(), changes.iter().map(Change::id).collect::<Vec<TargetId>>());
        let known = self.context.mirror.lifetimes(Some(&ids));
        let right: HashMap<TargetId, Instant> =
            known.into_iter().filter_map(|kept| Some((kept.id, kept.deadline?))).collect();
        changes.retain_mut(|change| match (right.get(&change.id()), change) {
            (Some(right), Change::Gone(_)) => !step.ends_early(*right, now),
            (Some(right), Change::Put { stored: Stored::Read(_), deadline: Some(deadline), .. }) => {
                if step.explains(*deadline, *right) {
                    *deadline = *right;
                }
                true
            }
            _ => true,
        });
    }

    /// Begins to move all deadlines back.
    fn move_back(&mut self, step: Step) {
        let now = Instant::now();
        let (mut settling, scan) = match mem::replace(&mut self.stage, Stage::Following { since: now }) {
            Stage::Settling(settling, scan) => (settling, scan),
            stage => {
                if let Stage::Scanning(scan) = stage {
                    // The deadlines that it has read are of no use.
                    self.due = Some((scan.cause, now));
                }
                let mut settling = Settling::new(Vec::new(), now);
                settling.owe(self.context.mirror.settle(now, 1).map(|first| self.clock.in_redis(first)));
                (settling, None)
            }
        };
        settling.move_back(step.in_redis(self.context.mirror.lifetimes(None), now));
        self.stage = Stage::Settling(settling, scan);
    }
}
