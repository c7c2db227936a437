//! What is to be written to Redis before an outage, or a restart that lost registrations, is over.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use crate::registration::TargetId;
use crate::store::{Kept, Settlement};

/// Registrations on their way back to Redis.
pub(super) struct Settling {
    /// The end of the outage that this follows from, if there was one: told to the mirror when all of it is written.
    pub(super) end: Option<Instant>,
    /// The mirror has passed on everything that the outage moves.
    has_all: bool,
    left: BTreeMap<TargetId, Kept>,
    /// Which of them Redis has lost, although they had time.
    lost: HashSet<TargetId>,
    /// Redis has refused some of it, and will be asked again with the next heartbeat.
    pub(super) is_refused: bool,
    /// Redis has taken a write since.
    pub(super) is_proven: bool,
}

impl Settling {
    /// What Redis lost, and what an outage until `end` moves, if there is one: that is still to be asked for.
    pub(super) fn new(lost: Vec<Kept>, end: Instant) -> Settling {
        let left: BTreeMap<TargetId, Kept> = lost.into_iter().map(|kept| (kept.id, kept)).collect();
        let lost = left.keys().copied().collect();
        Settling { end: Some(end), has_all: false, left, lost, is_refused: false, is_proven: false }
    }

    /// Tries again what was refused, for an outage that lasted until `end`.
    pub(super) fn begin_again(&mut self, end: Instant) {
        let lost = &self.lost;
        self.left.retain(|id, _| lost.contains(id));
        (self.end, self.has_all, self.is_refused, self.is_proven) = (Some(end), false, false, false);
    }

    /// What to ask the mirror for, so that there are `count` of them to be taken: the end of the outage, and how many more.
    pub(super) fn lacks(&self, count: usize) -> Option<(Instant, usize)> {
        let end = self.end.filter(|_| !self.has_all && self.left.len() < count)?;
        Some((end, count - self.left.len()))
    }

    /// Takes the answer of the mirror.
    pub(super) fn owe(&mut self, settlement: Option<Settlement>) {
        match settlement {
            None => (self.end, self.has_all) = (None, true),
            Some(Settlement { moved, is_last }) => {
                self.has_all = is_last;
                self.left.extend(moved.into_iter().map(|kept| (kept.id, kept)));
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.has_all && self.left.is_empty()
    }

    /// Redis has no such registration any more. Unless it has expired, somebody deleted it.
    pub(super) fn note_gone(&mut self, id: TargetId, now: Instant) {
        if self.left.get(&id).is_some_and(|kept| !has_expired(kept, now)) {
            self.left.remove(&id);
        }
    }

    /// Somebody wrote or deleted this meanwhile, so that it is not written.
    pub(super) fn forget(&mut self, id: TargetId) {
        self.left.remove(&id);
    }

    /// Whether Redis has it with a deadline that is to be moved.
    pub(super) fn lives(&self, kept: &Kept, now: Instant) -> bool {
        kept.moved_from.is_some() && !has_expired(kept, now) && !self.lost.contains(&kept.id)
    }

    /// Takes up to `count` of them; what expired meanwhile is left out.
    pub(super) fn take(&mut self, count: usize, now: Instant) -> Vec<Kept> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((_, kept)) = self.left.pop_first()
        {
            if kept.deadline.is_none_or(|deadline| deadline > now) {
                taken.push(kept);
            }
        }
        taken
    }

    /// Redis did not take it.
    pub(super) fn give_back(&mut self, kept: Kept) {
        self.left.insert(kept.id, kept);
    }
}

/// Whether an outage moves the deadline of a registration that is in no store any more, since it has expired.
fn has_expired(kept: &Kept, now: Instant) -> bool {
    kept.moved_from.is_some_and(|deadline| deadline <= now)
}

#[cfg(test)]
mod tests;
