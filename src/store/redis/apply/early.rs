//! The clock of Redis was set, and with it all deadlines there: what expired early stays listed, nothing lives longer for
//! it, and Redis gets all deadlines back as they were. Whoever deletes something deletes it all the same.

use std::collections::HashMap;
use std::mem;
use std::time::Instant;

use log::warn;

use super::super::answers::Answers;
use super::super::clock::{Clock, Step};
use super::super::debt::Settling;
use super::super::link::Context;
use super::{Applier, Stage};
use crate::registration::TargetId;
use crate::store::{Change, Settlement, Stored};

impl Applier<'_> {
    /// Looks at the clock, which every round reads after all deadlines: what follows from a step is not believed.
    pub(super) fn follow_clock(&mut self, read: &mut Answers) {
        if !self.context.connector.settings().restore {
            return;
        }
        if let Some(step) = read.clock.and_then(|reading| self.clock.note(reading)) {
            let (seconds, direction) = (step.by.as_secs(), if step.is_back { "back" } else { "forward" });
            warn!(seconds; "the clock of Redis was set {direction}; moving deadlines back to where they were");
            // What a new process has lost is for the end of the scan to say.
            if self.restoring.is_none() {
                self.move_back(step);
            }
        }
        if let Some(step) = self.clock.step() {
            self.correct(&mut read.changes, step);
        }
    }

    /// Puts right what was read and follows from the step.
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

    /// All deadlines are moved back from now on.
    fn move_back(&mut self, step: Step) {
        let now = Instant::now();
        let (mut settling, scan) = match mem::replace(&mut self.stage, Stage::Following { since: now }) {
            Stage::Settling(settling, scan) => (settling, scan),
            stage => {
                if let Stage::Scanning(scan) = stage {
                    // What it has read of deadlines is of no use.
                    self.due = Some((scan.cause, now));
                }
                let mut settling = Settling::new(Vec::new(), now);
                settling.owe(settlement(self.context, self.clock, now, 1));
                (settling, None)
            }
        };
        settling.move_back(step.in_redis(self.context.mirror.lifetimes(None), now));
        self.stage = Stage::Settling(settling, scan);
    }
}

/// The next of what an outage until `end` moves, with the deadlines that Redis has.
pub(super) fn settlement(context: &Context, clock: &Clock, end: Instant, count: usize) -> Option<Settlement> {
    let mut settlement = context.mirror.settle(end, count)?;
    if let Some(step) = clock.step() {
        settlement.moved.iter_mut().for_each(|kept| kept.moved_from = kept.moved_from.map(|at| step.moved(at)));
    }
    Some(settlement)
}
