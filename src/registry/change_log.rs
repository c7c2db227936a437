//! The latest changes of the lists, for people: what was registered, changed, deleted or expired, and by whom.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::criteria::Scope;
use crate::registration::{Content, TargetId};

pub(super) const CHANGES_MAX: usize = 1000;

/// A change of the lists.
#[derive(Debug, Clone)]
pub struct LoggedChange {
    pub at: Instant,
    pub action: Action,
    pub id: TargetId,
    /// The group that it is in now, or was in at last.
    pub group: Arc<str>,
    /// The group that it has left, if it moved.
    pub left: Option<Arc<str>>,
    /// What it says, or said at last.
    pub content: Content,
    pub by: Author,
}

/// What happened to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Registered,
    /// Labels, modules or group are others. A renewal is no change.
    Changed,
    Deleted,
    Expired,
    /// Redis had lost it and was given it back.
    Restored,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// Nobody: time, or this server by itself.
    Nobody,
    /// A client of this server: the name of its token and its address.
    Client(Arc<str>),
    /// Another server on the same Redis, or another program.
    AnotherServer,
}

#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    /// The latest last.
    changes: VecDeque<LoggedChange>,
}

impl LoggedChange {
    /// What leaves a scope is deleted there: where it went, and who of there did it, is for others to know.
    fn seen_by(self, scope: &Scope) -> LoggedChange {
        match self.left.clone().filter(|_| !scope.has(&self.group)) {
            Some(group) => LoggedChange { action: Action::Deleted, group, left: None, by: Author::Nobody, ..self },
            None => self,
        }
    }
}

impl From<Option<Arc<str>>> for Author {
    /// What nobody asked this server for, another one did.
    fn from(by: Option<Arc<str>>) -> Author {
        by.map_or(Author::AnotherServer, Author::Client)
    }
}

impl ChangeLog {
    pub(super) fn add(&mut self, change: LoggedChange) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    /// The latest changes, newest first, of a group (also those that left it) and an id, as far as the scope goes.
    pub(super) fn latest(
        &self,
        scope: &Scope,
        group: Option<&str>,
        id: Option<TargetId>,
        limit: usize,
    ) -> Vec<LoggedChange> {
        let concerns = |change: &&LoggedChange| {
            let mut groups = [Some(&change.group), change.left.as_ref()].into_iter().flatten();
            groups.any(|name| scope.has(name) && group.is_none_or(|group| group == &**name))
                && id.is_none_or(|id| id == change.id)
        };
        let seen = |change: &LoggedChange| change.clone().seen_by(scope);
        self.changes.iter().rev().filter(concerns).take(limit).map(seen).collect()
    }
}
