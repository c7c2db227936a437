//! The deletions that clients of this server were told of: a store that restarts with older data brings back what was
//! deleted, and so does a server that has not heard of the deletion.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use crate::registration::TargetId;
use crate::store::Kept;

/// How many are remembered, each with some 50 bytes; the oldest are forgotten first.
const DELETIONS_MAX: usize = 50_000;

/// How long before its deletion a value must have been written: what Redis says is left of a lifetime tells the time of
/// the write only to within the time that it takes to ask.
const WRITTEN_BEFORE: Duration = Duration::from_millis(100);

/// The same for one without a lifetime. Documents tell whole seconds, so a younger one may be the same as another that
/// was written after the deletion.
const WRITTEN_LONG_BEFORE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Deletions {
    latest: HashMap<TargetId, Deleted>,
    /// All in their order, with those that do not count any more.
    order: VecDeque<(TargetId, Instant)>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Deleted {
    at: Instant,
    /// The hash of the document.
    document: u64,
    /// It says when it was written, and that was long before.
    is_old: bool,
}

impl Deletions {
    /// Remembers that this was deleted.
    pub(super) fn add(&mut self, kept: &Kept, at: Instant) {
        let is_long_before = kept.written_at.is_none_or(|written_at| written_at + WRITTEN_LONG_BEFORE <= at);
        let is_old = is_long_before && kept.updated_at > SystemTime::UNIX_EPOCH;
        let document = self.hasher.hash_one(kept.document());
        self.latest.insert(kept.id, Deleted { at, document, is_old });
        self.order.push_back((kept.id, at));
        if self.order.len() > DELETIONS_MAX
            && let Some((id, at)) = self.order.pop_front()
            && self.latest.get(&id).is_some_and(|deleted| deleted.at == at)
        {
            self.latest.remove(&id);
        }
    }

    /// It was written again.
    pub(super) fn forget(&mut self, id: TargetId) {
        self.latest.remove(&id);
    }

    /// Whether exactly this was deleted. When the lifetime of what is there now began, if it has one, and its document
    /// are asked for only if the id was.
    pub(super) fn has(&self, id: TargetId, present: impl FnOnce() -> Option<(Option<Instant>, Vec<u8>)>) -> bool {
        let is = |Deleted { at, document, is_old }: &Deleted| {
            let (began, present) = present()?;
            let is_before = began.map_or(*is_old, |began| began + WRITTEN_BEFORE <= *at);
            Some(is_before && self.hasher.hash_one(present) == *document)
        };
        self.latest.get(&id).and_then(is).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{Content, LabelNames, Registration, TtlBounds};

    fn kept(name: &str, written_at: Instant) -> Kept {
        let body = format!(r#"{{"static_config":{{"targets":["{name}"]}}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        let (id, content) = (registration.id(), Content::new(&registration));
        let updated_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        Kept { id, content, updated_at, deadline: None, moved_from: None, written_at: Some(written_at) }
    }

    #[test]
    fn only_what_was_deleted_counts_and_no_later_write_of_the_same() {
        let mut deletions = Deletions::default();
        let written_at = Instant::now();
        let (gone, soon) = (kept("one:1", written_at), written_at + WRITTEN_BEFORE);
        deletions.add(&gone, soon);
        let has = |deletions: &Deletions, began| deletions.has(gone.id, || Some((began, gone.document())));
        assert!(has(&deletions, Some(written_at)));
        assert!(!has(&deletions, Some(written_at + Duration::from_millis(1))), "it may be written after the deletion");
        assert!(!has(&deletions, None), "it may be the same as one that is written now");
        deletions.add(&gone, written_at + WRITTEN_LONG_BEFORE);
        assert!(has(&deletions, None));
        let untimed = Kept { updated_at: SystemTime::UNIX_EPOCH, ..gone.clone() };
        deletions.add(&untimed, written_at + WRITTEN_LONG_BEFORE);
        let is_untimed = deletions.has(gone.id, || Some((None, untimed.document())));
        assert!(!is_untimed, "a document without a time is always the same");
        deletions.add(&gone, written_at + WRITTEN_LONG_BEFORE);
        let renewed = Kept { updated_at: SystemTime::now(), ..gone.clone() };
        assert!(!deletions.has(gone.id, || Some((Some(written_at), renewed.document()))));
        deletions.forget(gone.id);
        assert!(!has(&deletions, None));
    }

    #[test]
    fn the_latest_are_remembered() {
        let (mut deletions, written_at) = (Deletions::default(), Instant::now());
        let of = |n: usize| kept(&format!("host-{n}:1"), written_at);
        for (n, at) in (0..=DELETIONS_MAX).chain([1]).zip(1..) {
            deletions.add(&of(n), written_at + WRITTEN_LONG_BEFORE + Duration::from_nanos(at));
        }
        let has = |n: usize| deletions.has(of(n).id, || Some((None, of(n).document())));
        assert_eq!([0, 1, 2, DELETIONS_MAX].map(has), [false, true, true, true]);
        assert_eq!(deletions.order.len(), DELETIONS_MAX);
    }
}
