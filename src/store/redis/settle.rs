//! What is to be written to Redis before an outage, or a restart that lost registrations, is over.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::registration::TargetId;
use crate::store::Kept;

/// Registrations on their way back to Redis.
pub(super) struct Settling {
    /// The end of the outage that this follows from, if there was one: told to the mirror when all of it is written.
    pub(super) end: Option<Instant>,
    left: BTreeMap<TargetId, Owed>,
    /// Redis has refused some of it, and will be asked again with the next heartbeat.
    pub(super) is_refused: bool,
    /// Redis has taken a write since.
    pub(super) is_proven: bool,
}

/// One registration that Redis is owed.
#[derive(Debug, Clone)]
pub(super) struct Owed {
    pub(super) kept: Kept,
    /// It may still be there, with a deadline that is to be moved; otherwise it is only put where nothing is.
    pub(super) may_live: bool,
}

impl Settling {
    /// What Redis lost, and what an outage until `end` lengthened.
    pub(super) fn new(lost: Vec<Kept>, lengthened: Option<Vec<Kept>>, end: Instant) -> Settling {
        let left = lost.into_iter().map(|kept| (kept.id, Owed { kept, may_live: false })).collect();
        let mut settling = Settling { end: None, left, is_refused: false, is_proven: false };
        settling.begin_again(lengthened, end);
        settling
    }

    /// Tries again what was refused, with the deadlines of an outage until `end`.
    pub(super) fn begin_again(&mut self, lengthened: Option<Vec<Kept>>, end: Instant) {
        (self.end, self.is_refused, self.is_proven) = (lengthened.is_some().then_some(end), false, false);
        self.left.retain(|_, owed| !owed.may_live);
        for kept in lengthened.into_iter().flatten() {
            let may_live = !self.left.contains_key(&kept.id);
            self.left.insert(kept.id, Owed { kept, may_live });
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Somebody wrote or deleted this meanwhile, so that it is not written.
    pub(super) fn forget(&mut self, id: TargetId) {
        self.left.remove(&id);
    }

    /// Takes up to `count` of them; what ran out meanwhile is left out.
    pub(super) fn take(&mut self, count: usize, now: Instant) -> Vec<Owed> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((_, owed)) = self.left.pop_first()
        {
            if owed.kept.deadline.is_none_or(|deadline| deadline > now) {
                taken.push(owed);
            }
        }
        taken
    }

    /// Redis did not take it.
    pub(super) fn give_back(&mut self, owed: Owed) {
        self.left.insert(owed.kept.id, owed);
        self.is_refused = true;
    }
}

#[cfg(test)]
mod tests;
