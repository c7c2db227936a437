//! What people and programs look at beside the lists: single registrations, groups, changes, and what is left out.
//! Each of these looks holds the view for a moment only, whatever there is to be seen.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::allowance::{Allowance, NotLoaded, Unanswered};
use super::change_log::LoggedChange;
use super::criteria::Criteria;
use super::list::Snapshot;
use super::scope::Scope;
use super::state::{Held, Quarantined};
use super::view::{Discovered, View};
use crate::registration::{Content, TargetId, Ttl};

/// How many registrations are looked up before others get at the view: some tens of microseconds.
pub(super) const LOOKED_UP_AT_ONCE: usize = 512;

/// A group's name and list.
pub(super) type Group = (Arc<str>, Arc<Snapshot>);

/// A live registration with what lists do not show of it.
#[derive(Debug, Clone)]
pub struct Details {
    /// What it says.
    pub content: Content,
    /// The lifetime that each renewal starts anew.
    pub ttl: Ttl,
    /// When it runs out; `None` is never.
    pub deadline: Option<Instant>,
    /// When its owner last wrote it; `None` when the document does not say it.
    pub updated_at: Option<SystemTime>,
    /// The time between its renewals, once two in a row have kept it.
    pub renewal_interval: Option<Duration>,
}

/// When something happens to a registration, and happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) deadline: Option<Instant>,
    /// Seconds since the epoch; 0 when the document does not say it.
    pub(super) updated_at_seconds: u64,
}

impl From<&Held> for Times {
    fn from(held: &Held) -> Times {
        let updated_at = held.updated_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Times { deadline: held.deadline, updated_at_seconds: updated_at.as_secs() }
    }
}

impl From<&Held> for Details {
    fn from(held: &Held) -> Details {
        let Held { content, ttl, deadline, updated_at, rhythm, .. } = held;
        Details {
            content: content.clone(),
            ttl: *ttl,
            deadline: *deadline,
            updated_at: Some(*updated_at).filter(|at| *at > SystemTime::UNIX_EPOCH),
            renewal_interval: Some(Duration::from_secs(rhythm.interval_seconds.into())).filter(|span| !span.is_zero()),
        }
    }
}

impl View {
    /// Those of these registrations that are alive, in their order. Few at once: the view waits for it.
    pub(super) fn details(&self, ids: &[TargetId], now: Instant) -> Vec<(TargetId, Details)> {
        let state = self.at(now);
        ids.iter().filter_map(|id| Some((*id, Details::from(state.held.get(id)?)))).collect()
    }

    /// The times of those of these registrations that are alive. Few at once: the view waits for it.
    pub(super) fn times(&self, ids: &[TargetId], now: Instant) -> Vec<(TargetId, Times)> {
        let state = self.at(now);
        ids.iter().filter_map(|id| Some((*id, Times::from(state.held.get(id)?)))).collect()
    }

    /// The group that a registration is in.
    pub(super) fn group_of(&self, id: TargetId, now: Instant) -> Option<Arc<str>> {
        self.at(now).held.get(&id).map(|held| held.group.clone())
    }

    /// Each group with its list, in no order.
    pub(super) fn groups(&self, now: Instant) -> Result<Vec<Group>, NotLoaded> {
        let mut state = self.at(now);
        if !state.loaded {
            return Err(NotLoaded);
        }
        Ok(state.lists.groups().collect())
    }

    /// The largest groups, and how many registrations they have; none before the first full load.
    pub(super) fn largest_groups(&self, count: usize, now: Instant) -> Vec<(Arc<str>, usize)> {
        let state = self.at(now);
        let mut sizes = if state.loaded { state.lists.group_sizes() } else { Vec::new() };
        drop(state);
        sizes.sort_unstable_by(|(a, a_size), (b, b_size)| b_size.cmp(a_size).then_with(|| a.cmp(b)));
        sizes.truncate(count);
        sizes
    }

    /// The latest changes, newest first.
    pub(super) fn changes(
        &self,
        scope: &Scope,
        group: Option<&str>,
        id: Option<TargetId>,
        limit: usize,
        now: Instant,
    ) -> Vec<LoggedChange> {
        self.at(now).log.latest(scope, group, id, limit)
    }

    /// What is left out of all lists, by id.
    pub(super) fn quarantine(&self) -> Vec<(TargetId, Quarantined)> {
        self.lock().quarantined.iter().map(|(id, value)| (*id, value.clone())).collect()
    }

    /// The list of the registrations that meet the criteria, ready to be sent.
    pub(super) fn select(
        &self,
        criteria: &Criteria,
        gzip: bool,
        allowance: &Allowance<'_>,
    ) -> Result<Discovered, Unanswered> {
        let mut stale = None;
        let list = self.selections.select(criteria, gzip, allowance, || {
            let source = self.list(criteria.source(), Instant::now())?;
            stale = source.stale;
            Ok(source.list)
        })?;
        Ok(Discovered { list, stale })
    }
}
