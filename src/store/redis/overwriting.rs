//! Has outdated values in Redis replaced or deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::registration::{TargetId, Ttl};
use crate::store::mailbox::Write;
use crate::store::{Change, Check, Kept, Outdated, Update, WAIT_MAX};

/// Outdated values that are being replaced or deleted, each with the time at which Redis is asked again. Another server
/// has put them back after an outage, having missed what was written or deleted since, or Redis has restarted with them.
#[derive(Default)]
pub(super) struct Overwriting(HashMap<TargetId, Instant>);

impl Overwriting {
    /// The writes that are not under way yet, each on the condition that the outdated value is still there.
    pub(super) fn begin(&mut self, outdated: Vec<Outdated>, now: Instant) -> Vec<Write> {
        let until = now + WAIT_MAX;
        let put = |Kept { id, content, updated_at, deadline, .. }: Kept| {
            let ttl = Ttl::from_seconds(deadline?.saturating_duration_since(now).as_secs() + 1);
            Some(Update::Put { id, content, updated_at, ttl, by: None })
        };
        let write = |Outdated { id, value, newer }: Outdated| {
            let update = newer.map_or(Some(Update::Delete { id, by: None }), put)?;
            let stands: Check = Arc::new(move |_, present| present == Some(&value));
            self.0.insert(id, until).is_none().then(|| Write::unasked(vec![update], stands, until))
        };
        outdated.into_iter().filter_map(write).collect()
    }

    /// These changes show what Redis has now.
    pub(super) fn note(&mut self, changes: &[Change]) {
        for change in changes {
            self.0.remove(&change.id());
        }
    }

    /// Registrations whose writes may have failed, to be fetched again.
    pub(super) fn late(&mut self, now: Instant) -> Vec<TargetId> {
        self.0.extract_if(|_, until| *until <= now).map(|(id, _)| id).collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}
