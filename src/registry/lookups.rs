//! What people and programs read besides lists: single registrations, groups, changes, and values left out of the
//! lists. Each lookup locks the view only for a moment, whatever the amount.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::allowance::{Allowance, Unanswered};
use super::change_log::LoggedChange;
use super::criteria::{Criteria, Scope};
use super::list::Snapshot;
use super::render::Form;
use super::state::{Live, Quarantined};
use super::view::{Discovered, View};
use crate::registration::{Content, TargetId, Ttl};

/// How many registrations are looked up under one lock of the view: some tens of microseconds.
pub(super) const LOOKED_UP_AT_ONCE: usize = 512;

/// The cost of one lookup, in bytes that could be examined instead.
pub(super) const LOOKED_UP_BYTES: usize = 256;

/// A live registration with what lists do not show of it.
#[derive(Debug, Clone)]
pub struct Details {
    pub content: Content,
    pub ttl: Ttl,
    pub deadline: Option<Instant>,
    /// When its owner last wrote it; `None` when the document does not say it.
    pub updated_at: Option<SystemTime>,
    /// The time between its renewals, once two gaps in a row were alike.
    pub renewal_interval: Option<Duration>,
}

impl From<&Live> for Details {
    fn from(held: &Live) -> Details {
        let Live { content, ttl, deadline, rhythm, .. } = held;
        Details {
            content: content.clone(),
            ttl: *ttl,
            deadline: *deadline,
            updated_at: held.known_update(),
            renewal_interval: Some(Duration::from_secs(rhythm.interval_seconds.into())).filter(|span| !span.is_zero()),
        }
    }
}

impl View {
    /// A live registration with what lists do not show of it.
    pub fn details(&self, id: TargetId, now: Instant) -> Option<Details> {
        self.at(now).held.get(&id).map(Details::from)
    }

    /// The live ones of these registrations, in the order of `ids`.
    pub(super) fn details_of(&self, ids: &[TargetId], now: Instant) -> Vec<(TargetId, Details)> {
        let mut details = Vec::with_capacity(ids.len());
        self.look_up(ids, now, |id, held| details.push((id, Details::from(held))));
        details
    }

    /// Passes the live ones of these registrations to `each`, in the order of `ids` and with the view locked: `each`
    /// must be quick.
    pub(super) fn look_up(&self, ids: &[TargetId], now: Instant, mut each: impl FnMut(TargetId, &Live)) {
        for ids in ids.chunks(LOOKED_UP_AT_ONCE) {
            let state = self.at(now);
            ids.iter().filter_map(|id| Some((*id, state.held.get(id)?))).for_each(|(id, held)| each(id, held));
        }
    }

    /// The largest of the groups that metrics name, and how many registrations they have; none before the first full load.
    pub fn largest_groups(&self, count: usize, now: Instant) -> Vec<(Arc<str>, usize)> {
        let state = self.at(now);
        if state.loaded { state.lists.largest_groups(count) } else { Vec::new() }
    }

    /// The latest changes, newest first.
    pub fn changes(
        &self,
        scope: &Scope,
        group: Option<&str>,
        id: Option<TargetId>,
        limit: usize,
        now: Instant,
    ) -> Vec<LoggedChange> {
        self.at(now).log.latest(scope, group, id, limit)
    }

    /// The values that are left out of all lists, by id.
    pub fn quarantine(&self) -> Vec<(TargetId, Arc<Quarantined>)> {
        self.lock().quarantined.iter().map(|(id, value)| (*id, value.clone())).collect()
    }

    /// The list of the registrations that meet the criteria, rendered or compressed. It is a list that is always kept,
    /// or a selection, which this call brings up to date. The list of a whole scope is answered however long it takes.
    pub fn list(
        &self,
        criteria: &Criteria,
        gzip: bool,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<Discovered, Unanswered> {
        if criteria.is_all_of_source() {
            return self.kept_list(criteria.source(), now);
        }
        let own = criteria.is_scope().then(|| allowance.of_its_own());
        let mut stale = None;
        let list = self.selections.select(criteria, gzip, own.as_ref().unwrap_or(allowance), || {
            let source = self.kept_list(criteria.source(), Instant::now())?;
            stale = source.stale;
            Ok(source.list)
        })?;
        Ok(Discovered { list, stale })
    }

    /// The list of everything in a scope.
    pub(super) fn visible(
        &self,
        scope: &Scope,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<Arc<Snapshot>, Unanswered> {
        Ok(self.list(&Criteria::of(scope.clone(), Form::Plain), false, allowance, now)?.list)
    }
}
