//! The condition of a write. The operation that makes the write checks it against the store at that moment, because the
//! view may lag behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::lookups::Details;
use super::view::View;
use crate::registration::{Content, TargetId};
use crate::store::{Refused, StoreError};
use crate::tokens::Scope;

/// Who writes, and in which groups it may.
#[derive(Debug, Clone)]
pub struct Principal {
    /// For the list of changes.
    pub name: Arc<str>,
    /// The groups in which the written and the replaced registrations must be.
    pub scope: Scope,
}

/// The state of an id when a write was planned. It must not have changed since.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    Nothing,
    /// A registration with this content and deadline. It may have been renewed since.
    Showing(Content, Option<Instant>),
    /// Exactly this registration, without a renewal since.
    Exactly(Box<Details>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objection {
    /// The stored value is not the one that was seen.
    Changed,
    /// The stored value is in a group of others.
    Forbidden,
}

pub(super) struct Condition {
    view: Arc<View>,
    scope: Scope,
    asked: Instant,
    /// Nothing is expected of other ids.
    seen: HashMap<TargetId, Seen>,
}

impl Condition {
    /// `None` if the write needs no condition.
    pub(super) fn of(view: &Arc<View>, writer: &Principal, seen: HashMap<TargetId, Seen>) -> Option<Condition> {
        let is_needed = writer.scope != Scope::All || !seen.is_empty();
        let (scope, asked) = (writer.scope.clone(), Instant::now());
        is_needed.then(|| Condition { view: view.clone(), scope, asked, seen })
    }

    /// Whether this value may be replaced or removed; `None` means that there is none.
    pub(super) fn check(&self, id: TargetId, value: Option<&[u8]>) -> Result<(), Objection> {
        let now = Instant::now();
        let present = value.map(|value| self.read(id, value, now));
        let found = present.as_ref().and_then(Option::as_ref).map(|(content, updated_at)| (content, *updated_at));
        if !self.seen.get(&id).is_none_or(|seen| self.is_still_so(id, seen, found, now)) {
            return Err(Objection::Changed);
        }
        let is_ours = match (&self.scope, &present) {
            (Scope::All, _) => true,
            // Nobody knows whose an unreadable value is.
            (_, Some(None)) => false,
            (scope, Some(Some((content, _)))) => scope.has(&content.group()),
            // An outage may keep a registration that is in no store.
            (scope, None) => self.view.kept(id, self.asked, now).is_none_or(|kept| scope.has(&kept.content.group())),
        };
        if is_ours { Ok(()) } else { Err(Objection::Forbidden) }
    }

    /// The content of a stored value; `None` if it cannot be read. It is compared with the content that was seen or is
    /// shown before it is decoded, because the store waits for this.
    fn read(&self, id: TargetId, value: &[u8], now: Instant) -> Option<(Content, Option<SystemTime>)> {
        let seen = match self.seen.get(&id) {
            Some(Seen::Showing(content, _)) => Some(content.clone()),
            Some(Seen::Exactly(details)) => Some(details.content.clone()),
            Some(Seen::Nothing) | None => None,
        };
        let is_in = |content: Content| content.written_in(value, id).map(|updated_at| (content, updated_at));
        let shown = || self.view.details(id, now).map(|details| details.content);
        seen.and_then(is_in).or_else(|| shown().and_then(is_in)).or_else(|| self.view.read(value).ok())
    }

    fn is_still_so(
        &self,
        id: TargetId,
        seen: &Seen,
        found: Option<(&Content, Option<SystemTime>)>,
        now: Instant,
    ) -> bool {
        match (seen, found) {
            (Seen::Nothing, found) => found.is_none(),
            (Seen::Showing(content, _), Some((found, _))) => found.shows_the_same(content),
            // Either it has expired, and the view keeps it; or it was deleted, which is a change.
            (Seen::Showing(_, deadline), None) => deadline.is_some_and(|deadline| deadline <= now),
            (Seen::Exactly(details), Some((found, updated_at))) => {
                let is_renewed_here = || {
                    let shown = self.view.details(id, now);
                    shown.is_some_and(|shown| shown.deadline != details.deadline)
                };
                let updated_at = updated_at.filter(|at| *at > SystemTime::UNIX_EPOCH);
                *found == details.content && updated_at == details.updated_at && !is_renewed_here()
            }
            // A registration that is gone has not become another one.
            (Seen::Exactly(_), None) => true,
        }
    }
}

/// Why a write was refused because of these values.
pub(super) fn why(condition: Option<&Condition>, refused: &[Refused]) -> WriteError {
    let refusal = |(id, value): &Refused| condition.and_then(|condition| condition.check(*id, value.as_deref()).err());
    match refused.iter().all(|refused| refusal(refused) == Some(Objection::Forbidden)) {
        true => WriteError::Forbidden(refused.iter().map(|(id, _)| *id).collect()),
        false => WriteError::Changed,
    }
}

#[derive(Debug)]
pub enum GetError {
    Store(StoreError),
    /// Another program stored something that is no document.
    Undecodable(serde_json::Error),
    /// Its group is outside the reader's scope.
    Forbidden,
}

/// Why a write was not made. No part of it was, unless the outcome is unknown.
#[derive(Debug)]
pub enum WriteError {
    /// The store failed, or a registration to be deleted is in no store but kept because of an outage.
    Store(StoreError),
    /// The values under these ids are in groups of others.
    Forbidden(Vec<TargetId>),
    /// The stored value is not the one that was seen.
    Changed,
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> WriteError {
        WriteError::Store(error)
    }
}

#[cfg(test)]
mod tests;
