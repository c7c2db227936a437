//! The deletions that clients of this server were told of: a store that restarts with older data brings back what was
//! deleted, and so does a server that has not heard of the deletion.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::registration::TargetId;
use crate::store::Kept;

/// How many are remembered, each with some 50 bytes; the oldest are forgotten first.
const DELETIONS_MAX: usize = 50_000;

/// How old a value must have been when it was deleted. Documents tell whole seconds, so a younger one may be the same as
/// another that was written after the deletion.
const AGE_MIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// The hash of each deleted document, and when it was deleted.
    documents: HashMap<TargetId, (u64, Instant)>,
    /// All in their order, with those that do not count any more.
    order: VecDeque<(TargetId, Instant)>,
    hasher: RandomState,
}

impl Deletions {
    /// Remembers that this was deleted.
    pub(super) fn add(&mut self, kept: &Kept, now: Instant) {
        let age = kept.written_at.map(|at| now.saturating_duration_since(at));
        if age < Some(AGE_MIN) {
            return;
        }
        self.documents.insert(kept.id, (self.hasher.hash_one(kept.document()), now));
        self.order.push_back((kept.id, now));
        if self.order.len() > DELETIONS_MAX
            && let Some((id, at)) = self.order.pop_front()
            && self.documents.get(&id).is_some_and(|(_, latest)| *latest == at)
        {
            self.documents.remove(&id);
        }
    }

    /// It was written again.
    pub(super) fn forget(&mut self, id: TargetId) {
        self.documents.remove(&id);
    }

    /// Whether exactly this document was deleted, which is asked for only if the id was.
    pub(super) fn has(&self, id: TargetId, document: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        let is = |hash: u64| document().is_some_and(|document| self.hasher.hash_one(document) == hash);
        self.documents.get(&id).is_some_and(|(hash, _)| is(*hash))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::registration::{Content, LabelNames, Registration, TtlBounds};

    fn kept(name: &str, written_at: Instant) -> Kept {
        let body = format!(r#"{{"static_config":{{"targets":["{name}"]}}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        let (id, content, updated_at) = (registration.id(), Content::new(&registration), SystemTime::UNIX_EPOCH);
        Kept { id, content, updated_at, deadline: None, moved_from: None, written_at: Some(written_at) }
    }

    #[test]
    fn only_the_very_value_that_was_deleted_counts() {
        let mut deletions = Deletions::default();
        let written_at = Instant::now();
        let gone = kept("one:1", written_at);
        let (value, renewed) = (gone.document(), gone.content.document(gone.id, SystemTime::now()));
        deletions.add(&gone, written_at + AGE_MIN - Duration::from_millis(1));
        assert!(!deletions.has(gone.id, || Some(value.clone())), "it may be the same as one that is written now");
        deletions.add(&gone, written_at + AGE_MIN);
        assert!(deletions.has(gone.id, || Some(value.clone())));
        assert!(!deletions.has(gone.id, || Some(renewed)));
        deletions.forget(gone.id);
        assert!(!deletions.has(gone.id, || Some(value.clone())));
    }

    #[test]
    fn the_latest_are_remembered() {
        let (mut deletions, written_at) = (Deletions::default(), Instant::now());
        let of = |n: usize| kept(&format!("host-{n}:1"), written_at);
        for (n, at) in (0..=DELETIONS_MAX).chain([1]).zip(1..) {
            deletions.add(&of(n), written_at + AGE_MIN + Duration::from_nanos(at));
        }
        let has = |n: usize| deletions.has(of(n).id, || Some(of(n).document()));
        assert_eq!([0, 1, 2, DELETIONS_MAX].map(has), [false, true, true, true]);
        assert_eq!(deletions.order.len(), DELETIONS_MAX);
    }
}
