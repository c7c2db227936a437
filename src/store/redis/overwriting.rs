//! Older values that another server has put back after an outage, and the writes that replace them: whoever was cut off
//! for a whole lifetime may have missed the last write before it. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::registration::{TargetId, Ttl};
use crate::store::mailbox::Write;
use crate::store::{Change, Check, Newer, Update, WAIT_MAX};

/// The registrations that are being written over older values, each with the time when Redis is asked again.
#[derive(Default)]
pub(super) struct Overwriting(HashMap<TargetId, Instant>);

impl Overwriting {
    /// The writes of those that are not under way, each on the condition that the older value still stands there.
    pub(super) fn begin(&mut self, newer: Vec<Newer>, now: Instant) -> Vec<Write> {
        let until = now + WAIT_MAX;
        let write = |Newer { kept, older }: Newer| {
            let left = kept.deadline?.saturating_duration_since(now);
            let (id, ttl) = (kept.id, Ttl::from_seconds(left.as_secs() + 1));
            let update = Update::Put { id, content: kept.content, updated_at: kept.updated_at, ttl, by: None };
            let stands: Check = Arc::new(move |_, present| present == Some(&older));
            self.0.insert(id, until).is_none().then(|| Write::unasked(vec![update], stands, until))
        };
        newer.into_iter().filter_map(write).collect()
    }

    /// What is applied to the mirror is what Redis has now.
    pub(super) fn note(&mut self, changes: &[Change]) {
        for change in changes {
            self.0.remove(&change.id());
        }
    }

    /// Those that may have failed, to be fetched again.
    pub(super) fn late(&mut self, now: Instant) -> Vec<TargetId> {
        self.0.extract_if(|_, until| *until <= now).map(|(id, _)| id).collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}
