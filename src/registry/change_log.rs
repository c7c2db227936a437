//! The latest changes of the lists, for people: what was registered, changed, deleted or expired, and by whom.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::allowance::ANSWER_BYTES_MAX;
use super::criteria::Scope;
use crate::registration::{Content, TargetId};

/// The most changes that are remembered; fewer if together they have more than [`ANSWER_BYTES_MAX`].
pub(super) const CHANGES_MAX: usize = 1000;

/// A change of the lists.
#[derive(Debug, Clone)]
pub struct LoggedChange {
    pub at: Instant,
    pub action: Action,
    pub id: TargetId,
    /// The group after the change, or the last one.
    pub group: Arc<str>,
    /// The group that it has left, if it moved.
    pub left: Option<Arc<str>>,
    /// The content after the change, or the last one.
    pub content: Content,
    pub by: Author,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Registered,
    /// Labels, modules or group have changed. A renewal is not a change.
    Changed,
    Deleted,
    Expired,
    /// Redis had lost it, and a server wrote it back.
    Restored,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// Time, or this server by itself.
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
    /// The size of all of them.
    bytes: usize,
}

impl LoggedChange {
    fn byte_count(&self) -> usize {
        self.content.byte_count() + self.left.as_ref().map_or(0, |left| left.len())
    }

    /// The change as a reader with this scope sees it. A registration that leaves the scope is deleted there; its new
    /// group and the author are not shown.
    fn seen_by(self, scope: &Scope) -> LoggedChange {
        match self.left.clone().filter(|_| !scope.has(&self.group)) {
            Some(group) => LoggedChange { action: Action::Deleted, group, left: None, by: Author::Nobody, ..self },
            None => self,
        }
    }
}

impl From<Option<Arc<str>>> for Author {
    /// A change without a client of this server was made by another server.
    fn from(by: Option<Arc<str>>) -> Author {
        by.map_or(Author::AnotherServer, Author::Client)
    }
}

impl ChangeLog {
    pub(super) fn add(&mut self, change: LoggedChange) {
        self.bytes += change.byte_count();
        self.changes.push_back(change);
        while self.changes.len() > CHANGES_MAX || self.bytes > ANSWER_BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else { return };
            self.bytes -= oldest.byte_count();
        }
    }

    /// The latest changes in the scope, newest first. A group includes the registrations that have left it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{LabelNames, Registration, TtlBounds};

    fn change(n: usize, group_bytes: usize) -> LoggedChange {
        let group = "x".repeat(group_bytes);
        let body = format!(r#"{{"static_config":{{"targets":["host-{n}:1"],"target_group":"{group}"}}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        let content = Content::new(&registration);
        let (action, by, at) = (Action::Deleted, Author::Nobody, Instant::now());
        LoggedChange { at, action, id: registration.id(), group: group.into(), left: None, content, by }
    }

    #[test]
    fn the_latest_are_remembered_as_far_as_they_go() {
        let mut log = ChangeLog::default();
        (0..CHANGES_MAX + 10).for_each(|n| log.add(change(n, 10)));
        assert_eq!(log.latest(&Scope::All, None, None, usize::MAX).len(), CHANGES_MAX);
        let large = 2 * ANSWER_BYTES_MAX / 50_000;
        (0..large).for_each(|n| log.add(change(n, 50_000)));
        let latest = log.latest(&Scope::All, None, None, usize::MAX);
        let bytes: usize = latest.iter().map(LoggedChange::byte_count).sum();
        assert_eq!(log.bytes, bytes);
        assert!((ANSWER_BYTES_MAX - 100_000..=ANSWER_BYTES_MAX).contains(&bytes), "{bytes}");
        assert_eq!(latest[0].id, change(large - 1, 50_000).id);
        (0..CHANGES_MAX).for_each(|n| log.add(change(n, 10)));
        assert_eq!(log.latest(&Scope::All, None, None, usize::MAX).len(), CHANGES_MAX);
    }
}
