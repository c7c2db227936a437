//! Outdated values in Redis, and the writes that replace or delete them.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::registration::{TargetId, Ttl};
use crate::store::mailbox::Write;
use crate::store::{Change, Check, Kept, Outdated, Update, WAIT_MAX};

/// How many are being replaced or deleted at once. For each watched value Redis checks all that are watched already, and
/// writes of callers wait meanwhile.
const UNDER_WAY_MAX: usize = 128;

/// Another server has put outdated values back after an outage, having missed what was written or deleted since, or Redis
/// has restarted with them.
#[derive(Default)]
pub(super) struct Replacing {
    /// Those that are being replaced or deleted, each with the time at which Redis is asked again.
    under_way: HashMap<TargetId, Instant>,
    /// Those that are read again later.
    later: BTreeSet<TargetId>,
    /// How many deletions were begun that nobody was told of.
    untold: usize,
}

impl Replacing {
    /// The writes that are not under way yet, as many as there is room for, each on the condition that the outdated value
    /// is still there.
    pub(super) fn begin(&mut self, outdated: Vec<Outdated>, now: Instant) -> Vec<Write> {
        outdated.into_iter().filter_map(|outdated| self.begin_one(outdated, now)).collect()
    }

    fn begin_one(&mut self, Outdated { id, value, newer }: Outdated, now: Instant) -> Option<Write> {
        if self.under_way.contains_key(&id) {
            return None;
        }
        if self.under_way.len() >= UNDER_WAY_MAX {
            self.later.insert(id);
            return None;
        }
        let put = |Kept { id, content, updated_at, deadline, .. }: Kept| {
            let ttl = Ttl::from_seconds(deadline?.saturating_duration_since(now).as_secs() + 1);
            Some(Update::Put { id, content, updated_at, ttl, by: None })
        };
        let update = newer.map_or(Some(Update::Delete { id, by: None }), put)?;
        let stands: Check = Arc::new(move |_, present| present == Some(&value));
        let until = now + WAIT_MAX;
        self.later.remove(&id);
        self.under_way.insert(id, until);
        self.untold += usize::from(matches!(update, Update::Delete { .. }));
        Some(Write::unasked(vec![update], stands, until))
    }

    /// These changes show what Redis has now.
    pub(super) fn note(&mut self, changes: &[Change]) {
        for change in changes {
            self.under_way.remove(&change.id());
            self.later.remove(&change.id());
        }
    }

    /// The ids to fetch again: those whose writes may have failed, and as many of the later ones as there is room for.
    pub(super) fn late(&mut self, now: Instant) -> Vec<TargetId> {
        let mut ids: Vec<TargetId> = self.under_way.extract_if(|_, until| *until <= now).map(|(id, _)| id).collect();
        let room = UNDER_WAY_MAX.saturating_sub(self.under_way.len() + ids.len());
        ids.extend(self.later.iter().take(room));
        ids
    }

    /// How many were deleted, once that is done and if there were any.
    pub(super) fn tell(&mut self) -> Option<usize> {
        let is_due = self.untold > 0 && self.is_done();
        is_due.then(|| mem::take(&mut self.untold))
    }

    pub(super) fn is_done(&self) -> bool {
        self.under_way.is_empty() && self.later.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_under_way_at_once_and_all_come_to_their_turn() {
        let (mut replacing, mut now) = (Replacing::default(), Instant::now());
        let outdated = |id: TargetId| Outdated { id, value: Vec::new(), newer: None };
        let ids = (0..3 * UNDER_WAY_MAX).map(|n| TargetId::of(&[n.to_string()]));
        let mut begun = replacing.begin(ids.map(outdated).collect(), now);
        for _ in 0..3 {
            assert_eq!(begun.len(), UNDER_WAY_MAX);
            assert!(replacing.late(now).is_empty(), "there is no room");
            // One has failed.
            let gone = begun.iter().skip(1).map(|write| Change::Gone(write.updates[0].id()));
            replacing.note(&gone.collect::<Vec<_>>());
            now += WAIT_MAX;
            let late = replacing.late(now);
            begun = replacing.begin(late.into_iter().map(outdated).collect(), now);
        }
        assert_eq!(begun.len(), 3);
        replacing.note(&begun.iter().map(|write| Change::Gone(write.updates[0].id())).collect::<Vec<_>>());
        assert!(replacing.is_done());
        assert!(replacing.tell().is_some() && replacing.tell().is_none());
    }
}
