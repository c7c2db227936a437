//! The deletions that clients of this server were told of: a store that restarts with older data brings back what was
//! deleted, and so does a server that has not heard of the deletion.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant, SystemTime};

use crate::registration::TargetId;
use crate::store::Kept;

/// How many are remembered, each with some 100 bytes; the oldest are forgotten first.
const DELETIONS_MAX: usize = 50_000;

/// How long before its deletion the lifetime of a value must have begun: what a store says is left of it tells when that
/// was only to within the time that it takes to ask.
const MARGIN: Duration = Duration::from_millis(100);

/// How exactly the times of two documents tell how long after each other they were written. They have whole seconds.
const DOCUMENT_MARGIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Deletions {
    latest: HashMap<TargetId, Deleted>,
    /// All deletions, the oldest first, also those that no longer count.
    order: VecDeque<(TargetId, Instant)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Deleted {
    at: Instant,
    /// The hash of the document.
    document: u64,
    updated_at: SystemTime,
    written_at: Instant,
}

/// What a store has under the id of something that was deleted.
pub(super) struct Present {
    /// When its lifetime began, if it has one.
    pub(super) began: Option<Instant>,
    pub(super) document: Vec<u8>,
    pub(super) updated_at: SystemTime,
}

impl Deletions {
    pub(super) fn add(&mut self, kept: &Kept, at: Instant) {
        // A document without a time is the same whenever it is written.
        let Some(written_at) = kept.written_at.filter(|_| kept.updated_at > SystemTime::UNIX_EPOCH) else { return };
        let (document, updated_at) = (hash(&kept.document()), kept.updated_at);
        self.latest.insert(kept.id, Deleted { at, document, updated_at, written_at });
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

    /// Somebody may have written any of them again unseen.
    pub(super) fn forget_all(&mut self) {
        (self.latest, self.order) = (HashMap::new(), VecDeque::new());
    }

    pub(super) fn get(&self, id: TargetId) -> Option<Deleted> {
        self.latest.get(&id).copied()
    }
}

impl Deleted {
    /// Whether this is what was deleted or an earlier version of it, and was not written since. In doubt it was.
    pub(super) fn is(&self, present: &Present) -> bool {
        let is_same = hash(&present.document) == self.document;
        // A write so much later would have another time.
        (is_same && self.written_at + DOCUMENT_MARGIN <= self.at)
            || ((is_same || present.updated_at < self.updated_at) && self.began_before(present))
    }

    /// Whether its lifetime began before the deletion, and when its document says; an earlier version may also have been
    /// put back for less than its lifetime. Otherwise its deadline was moved, or its default lifetime is another.
    fn began_before(&self, present: &Present) -> bool {
        let Ok(earlier) = self.updated_at.duration_since(present.updated_at) else { return false };
        let by_document = self.written_at.checked_sub(earlier);
        present.began.zip(by_document).is_some_and(|(began, by_document)| {
            let differ = began.max(by_document).duration_since(began.min(by_document));
            let is_shortened = earlier >= DOCUMENT_MARGIN && began < by_document;
            began + MARGIN <= self.at && (differ <= DOCUMENT_MARGIN || is_shortened)
        })
    }
}

/// The same in each run, since it only tells versions of one document apart.
fn hash(document: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(document);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{Content, LabelNames, Registration, TtlBounds};

    fn kept(name: &str, written_at: Instant) -> Kept {
        let body = format!(r#"{{"static_config":{{"targets":["{name}"]}}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        let (id, content) = (registration.id(), Content::new(&registration));
        let updated_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        Kept { id, content, updated_at, deadline: None, moved_from: None, written_at: Some(written_at) }
    }

    /// Whether a version of the registration that was written so many seconds later, by its document, was deleted.
    fn is_deleted(deletions: &Deletions, kept: &Kept, began: Option<Instant>, later: i64) -> bool {
        let seconds = Duration::from_secs(later.unsigned_abs());
        let updated_at = if later < 0 { kept.updated_at - seconds } else { kept.updated_at + seconds };
        let document = kept.content.document(kept.id, updated_at);
        deletions.get(kept.id).is_some_and(|deleted| deleted.is(&Present { began, document, updated_at }))
    }

    #[test]
    fn only_what_was_written_before_its_deletion_counts() {
        let mut deletions = Deletions::default();
        let written_at = Instant::now();
        let after = |millis| Some(written_at + Duration::from_millis(millis));
        let before = |seconds| Some(written_at - Duration::from_secs(seconds));
        let gone = kept("one:1", written_at);
        deletions.add(&gone, written_at + MARGIN);
        assert!(is_deleted(&deletions, &gone, after(0), 0));
        assert!(!is_deleted(&deletions, &gone, after(1), 0), "it may be a later write");
        assert!(!is_deleted(&deletions, &gone, None, 0), "it may be the same as one that is written now");
        assert!(is_deleted(&deletions, &gone, before(5), -5), "it was renewed in between");
        assert!(is_deleted(&deletions, &gone, before(100), -5), "and put back for less than its lifetime");
        assert!(!is_deleted(&deletions, &gone, after(0), 1), "it was written later");
        for (began, later) in [(before(5), 0), (before(5), -1), (before(1), -5), (after(0), -5)] {
            assert!(!is_deleted(&deletions, &gone, began, later), "somebody else has another default lifetime");
        }
        deletions.add(&gone, written_at + DOCUMENT_MARGIN);
        assert!(is_deleted(&deletions, &gone, None, 0), "its document tells");
        assert!(!is_deleted(&deletions, &gone, None, -2));
        deletions.forget(gone.id);
        assert!(!is_deleted(&deletions, &gone, after(0), 0));
        let untimed = Kept { updated_at: SystemTime::UNIX_EPOCH, ..gone };
        deletions.add(&untimed, written_at + DOCUMENT_MARGIN);
        assert!(deletions.latest.is_empty());
    }

    #[test]
    fn the_latest_are_remembered() {
        let (mut deletions, written_at) = (Deletions::default(), Instant::now());
        let of = |n: usize| kept(&format!("host-{n}:1"), written_at);
        for (n, at) in (0..=DELETIONS_MAX).chain([1]).zip(1..) {
            deletions.add(&of(n), written_at + DOCUMENT_MARGIN + Duration::from_nanos(at));
        }
        let has = |n: usize| is_deleted(&deletions, &of(n), None, 0);
        assert_eq!([0, 1, 2, DELETIONS_MAX].map(has), [false, true, true, true]);
        assert_eq!(deletions.order.len(), DELETIONS_MAX);
    }
}
