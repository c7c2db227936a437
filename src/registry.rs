//! What the server can do: put, get, delete, discover. It owns the view, which answers every poll, and the store, which
//! keeps every acknowledged write. It knows no HTTP.

mod allowance;
mod change_log;
mod condition;
mod criteria;
mod declaration;
mod deletions;
mod diagnostics;
mod kept_lists;
mod label_selector;
mod list;
mod lookups;
mod metrics;
mod outage;
mod pages;
mod render;
mod selections;
mod state;
mod summaries;
mod view;

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

pub use allowance::{Allowance, Asker, QUESTION_TIME_MAX, Unanswered, within_answer};
pub use change_log::{Action, Author, LoggedChange};
pub use condition::{GetError, Principal, WriteError};
pub use criteria::{Criteria, GROUPS_MAX, GroupPattern, QUESTION_BYTES_MAX, Scope, Shard, WORDS_MAX, Words};
pub use declaration::{Declaration, Plan, Turn};
pub use diagnostics::{Duplicate, Duplicates, LabelProblem, LabelProblems};
pub use label_selector::{LabelSelector, REQUIREMENTS_MAX, SelectorError, VALUES_MAX};
pub use list::{Rendering, Snapshot};
pub use lookups::Details;
pub use pages::{Order, Page, PageRequest, Position, SortBy, SortKey, SortValue};
pub use render::Form;
pub use state::Quarantined;
pub use summaries::{EXPIRY_SPANS, GroupSummary, LabelRequest, Overview};
pub use view::{Counts, Discovered, Now, Rules, View};

use allowance::QuestionTurns;
use condition::{Condition, Seen};
use declaration::Declaring;
use metrics::StoreMetrics;

use crate::registration::{Content, Document, Registration, TargetId};
use crate::store::{Check, Outcome, Store, StoreError, Update};

pub struct Registry {
    /// Answers all reads without the store. The store shows its documents in it.
    pub view: Arc<View>,
    /// Set when the store is open. Until then the server answers only that it is not ready.
    store: OnceLock<Arc<dyn Store>>,
    metrics: StoreMetrics,
    turns: QuestionTurns,
    declaring: Declaring,
}

impl Registry {
    /// A registry without a store: nothing can be read or written yet.
    pub fn new(rules: Rules, exposition: &prometheus::Registry) -> Registry {
        Registry {
            view: Arc::new(View::new(rules, exposition)),
            store: OnceLock::new(),
            metrics: StoreMetrics::new(exposition),
            turns: QuestionTurns::new(),
            declaring: Declaring::default(),
        }
    }

    /// Takes the store, which mirrors into the view. A second one is not taken.
    pub fn attach(&self, store: Arc<dyn Store>) {
        let _ = self.store.set(store);
    }

    fn store(&self) -> Result<&dyn Store, StoreError> {
        self.store.get().map(|store| &**store).ok_or_else(|| StoreError::Unavailable("not open yet".to_owned()))
    }

    /// Stores a registration under its id for its lifetime. When this returns it is durable and in every list of this server.
    ///
    /// # Errors
    /// [`WriteError`]. If the outcome is unknown, the attempt counts as a sign of life of the owner.
    pub fn put(&self, id: TargetId, registration: &Registration, by: &Principal, now: Now) -> Result<(), WriteError> {
        let (content, ttl) = (Content::new(registration), registration.ttl().unwrap_or(self.view.rules.ttl));
        let put = Update::Put { id, content, updated_at: now.wall, ttl, by: Some(by.name.clone()) };
        self.write("put", vec![put], by, HashMap::new()).map(drop)
    }

    /// Has the store make all of these changes or none. The writer must be permitted to replace the stored values, and
    /// they must still be as they were `seen`.
    fn write(
        &self,
        operation: &str,
        updates: Vec<Update>,
        by: &Principal,
        seen: HashMap<TargetId, Seen>,
    ) -> Result<Vec<bool>, WriteError> {
        let condition = Condition::of(&self.view, by, seen).map(Arc::new);
        let check = condition.clone().map(|condition| -> Check {
            Arc::new(move |id, present: Option<&[u8]>| condition.check(id, present).is_ok())
        });
        let is_put = |update: &Update| matches!(update, Update::Put { .. });
        let ids: Vec<(TargetId, bool)> = updates.iter().map(|update| (update.id(), is_put(update))).collect();
        let asked = Instant::now();
        let written = self.metrics.observe(operation, || {
            let outcome = self.store()?.write(updates, check)?;
            self.check_deletions(&ids, &outcome, asked).map(|()| outcome)
        });
        match written {
            Ok(Outcome::Made(found)) => Ok(found),
            Ok(Outcome::Refused(refused)) => Err(condition::why(condition.as_deref(), &refused)),
            Err(error) => {
                if !matches!(error, StoreError::Unsupported(_)) {
                    let is_outage = matches!(error, StoreError::Unavailable(_));
                    let puts = ids.into_iter().filter(|(_, is_put)| *is_put);
                    puts.for_each(|(id, _)| self.sign_of_life(id, is_outage, by));
                }
                Err(WriteError::Store(error))
            }
        }
    }

    /// Fails for the deletion of a registration that is in no store but kept because of an outage: other servers keep
    /// it as well, and could not learn of the deletion.
    fn check_deletions(&self, ids: &[(TargetId, bool)], outcome: &Outcome, asked: Instant) -> Result<(), StoreError> {
        let Outcome::Made(found) = outcome else { return Ok(()) };
        let is_kept = |id| self.view.kept(id, asked, Instant::now()).is_some();
        match ids.iter().zip(found).any(|((id, is_put), found)| !is_put && !found && is_kept(*id)) {
            true => Err(StoreError::Unavailable(
                "the registration is in no store, and is kept because of an outage".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Takes a failed write for a sign of life of the owner, if the writer may write in that group.
    fn sign_of_life(&self, id: TargetId, is_outage: bool, by: &Principal) {
        let now = Instant::now();
        if self.view.details(id, now).is_none_or(|details| by.scope.has(&details.content.group())) {
            self.view.refused(id, is_outage, now);
        }
    }

    /// The turn to declare this group; `None` if others take too long with theirs.
    pub fn declaring(&self, group: &str) -> Option<Turn<'_>> {
        self.declaring.take(group)
    }

    /// Carries out a plan, all of it or nothing. When this returns it is durable, and the lists of this server have
    /// changed once.
    ///
    /// # Errors
    /// [`WriteError`]; [`WriteError::Changed`] if the state that the plan follows from has changed. If the outcome is
    /// unknown, the attempt counts as a sign of life of the owner.
    pub fn carry_out(&self, plan: &mut Plan, by: &Principal) -> Result<(), WriteError> {
        let (updates, seen) = (mem::take(&mut plan.updates), mem::take(&mut plan.seen));
        self.write("declare", updates, by, seen).map(drop)
    }

    /// The stored document of a live registration; `None` when it is absent.
    pub fn get(&self, id: TargetId, scope: &Scope, now: Now) -> Result<Option<Document>, GetError> {
        let stored = self.metrics.observe("get", || self.store()?.get(id)).map_err(GetError::Store)?;
        let value = stored.or_else(|| {
            let kept = self.view.kept(id, now.monotonic, Instant::now())?;
            Some(kept.document())
        });
        let Some(value) = value else { return Ok(None) };
        // A value that is not a registration is in no group.
        let is_visible = || self.view.read(&value).is_ok_and(|(content, _)| scope.has(&content.group()));
        if *scope != Scope::All && !is_visible() {
            return Err(GetError::Forbidden);
        }
        Document::decode(&value).map(Some).map_err(GetError::Undecodable)
    }

    /// Removes a registration, if it is exactly as it was `seen`. `false` if there was none.
    ///
    /// # Errors
    /// [`WriteError`], also if it is in no store but kept because of an outage.
    pub fn delete(&self, id: TargetId, seen: Option<Details>, by: &Principal) -> Result<bool, WriteError> {
        let update = Update::Delete { id, by: Some(by.name.clone()) };
        let seen = seen.map(|details| (id, Seen::Exactly(Box::new(details)))).into_iter().collect();
        let deleted = self.write("delete", vec![update], by, seen)?;
        Ok(deleted.first().is_some_and(|found| *found))
    }

    /// The time and turns for one question of this asker.
    pub fn allowance<'a>(&'a self, asker: &'a dyn Asker) -> Allowance<'a> {
        Allowance::new(asker, &self.turns)
    }

    /// Whether polls and writes are expected to succeed.
    ///
    /// # Errors
    /// The fault that the store reports, or else what is missing.
    pub fn health(&self, now: Now) -> Result<(), String> {
        // The view may be loaded a moment before the store is attached.
        let store = self.store();
        let lack = match (store.is_ok() && self.view.is_loaded(), self.view.outage(now.monotonic)) {
            (true, None) => return Ok(()),
            (true, Some(_)) => "the store takes no writes",
            (false, _) => "the registrations are not loaded yet",
        };
        match store.and_then(Store::health) {
            Err(StoreError::Unavailable(why)) => Err(why),
            Err(e) => Err(e.to_string()),
            Ok(()) => Err(lack.to_owned()),
        }
    }

    /// Closes the store; everything acknowledged is durable.
    pub fn close(&self) {
        if let Ok(store) = self.store() {
            store.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Mirror;

    #[test]
    fn without_a_store_it_is_not_well_even_when_all_is_loaded() {
        let registry = Registry::new(Rules::USUAL, &prometheus::Registry::new());
        registry.view.loaded();
        assert_eq!(registry.health(Now::read()), Err("not open yet".to_owned()));
    }
}
