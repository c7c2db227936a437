//! What the server can do: put, get, delete, discover. It owns the view, which answers every poll,
//! and the store, which keeps what was acknowledged. It knows no HTTP.

mod allowance;
mod change_log;
mod condition;
mod criteria;
mod declaration;
mod duplicates;
mod errors;
mod exposition;
mod gzip;
mod kept_lists;
mod label_selector;
mod labels;
mod list;
mod look;
mod metrics;
mod now;
mod order;
mod outage;
mod pages;
mod render;
mod scope;
mod search;
mod selections;
mod shard;
mod state;
mod summaries;
mod target_info;
mod view;

use std::collections::HashMap;
use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

pub use allowance::{Allowance, Asker, NotLoaded, QUESTION_TIME_MAX, Unanswered};
pub use change_log::{Action, Author, LoggedChange};
pub use condition::Principal;
pub use criteria::{Criteria, GROUPS_MAX, Selector};
pub use declaration::{Declaration, Plan};
pub use duplicates::{Duplicate, Duplicates};
pub use errors::{GetError, WriteError};
pub use exposition::Exposition;
pub use label_selector::{LabelSelector, REQUIREMENTS_MAX, SelectorError, VALUES_MAX};
pub use labels::LabelRequest;
pub use list::{Rendering, Snapshot};
pub use look::Details;
pub use now::Now;
pub use order::{Order, Position, SortBy, SortKey, SortValue};
pub use pages::{Page, PageRequest};
pub use render::Form;
pub use scope::{GroupPattern, Scope};
pub use search::{QUESTION_BYTES_MAX, WORDS_MAX, Words};
pub use shard::Shard;
pub use state::Quarantined;
pub use summaries::{EXPIRY_SPANS, GroupSummary, Overview};
pub use view::{Counts, Discovered, Rules, View};

use parking_lot::{Mutex, MutexGuard};

use allowance::QuestionTurns;
use condition::{Condition, Seen};
use duplicates::Reckonings;
use metrics::StoreMetrics;
use order::Epoch;
use selections::Selections;

use crate::registration::{Content, Document, Registration, TargetId, Ttl};
use crate::store::{Check, Kept, Mirror, Outcome, Store, StoreError, Update, WAIT_MAX};

/// What counting some deadlines takes, compared with looking at bytes.
const COUNTED_BYTES: usize = 64 * 1024;

/// The registrations of this server.
pub struct Registry {
    view: Arc<View>,
    /// Set when the store is open; until then the server answers, but that it is not ready.
    store: OnceLock<Arc<dyn Store>>,
    rules: Rules,
    metrics: StoreMetrics,
    duplicates: Reckonings,
    turns: QuestionTurns,
    epoch: Epoch,
    /// Groups are declared one at a time, so that what is compared is what is changed.
    declaring: Mutex<()>,
}

impl Registry {
    /// A registry without a store: nothing can be read or written yet.
    pub fn new(rules: Rules, exposition: &prometheus::Registry) -> Registry {
        let metrics = StoreMetrics::new(exposition);
        let view = Arc::new(View::new(rules, metrics.expired(), Selections::new(exposition)));
        let Now { monotonic, wall } = Now::read();
        let nanos = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Registry {
            view,
            store: OnceLock::new(),
            rules,
            metrics,
            duplicates: Reckonings::default(),
            turns: QuestionTurns::new(),
            declaring: Mutex::new(()),
            epoch: Epoch { instant: monotonic, nanos: u64::try_from(nanos).unwrap_or_default() },
        }
    }

    /// Where the store is to show its documents.
    pub fn mirror(&self) -> Arc<dyn Mirror> {
        self.view.clone()
    }

    /// Takes the store, which mirrors into [`Registry::mirror`]. A second one is not taken.
    pub fn attach(&self, store: Arc<dyn Store>) {
        let _ = self.store.set(store);
    }

    fn store(&self) -> Result<&dyn Store, StoreError> {
        self.store.get().map(|store| &**store).ok_or_else(|| StoreError::Unavailable("not open yet".to_owned()))
    }

    /// Stores a registration under its id for its lifetime. When this returns it is durable and in every list of this server.
    ///
    /// # Errors
    /// [`WriteError`]. If the outcome is not known, that the owner has tried counts as a sign of life.
    pub fn put(&self, id: TargetId, registration: &Registration, by: &Principal, now: Now) -> Result<(), WriteError> {
        let (content, ttl) = (Content::new(registration), registration.ttl().unwrap_or(self.rules.ttl));
        let put = Update::Put { id, content, updated_at: now.wall, ttl, by: Some(by.name.clone()) };
        self.write("put", vec![put], by, HashMap::new()).map(drop)
    }

    /// Has the store make all of these changes, or none, if the writer may replace what is there, and that is what was
    /// seen.
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
        let written = self.metrics.observe(operation, || {
            let outcome = self.store()?.write(updates, check)?;
            self.check_deletions(&ids, &outcome).map(|()| outcome)
        });
        match written {
            Ok(Outcome::Made(found)) => Ok(found),
            Ok(Outcome::Refused(refused)) => Err(condition::why(condition.as_deref(), &refused)),
            Err(error) => {
                if matches!(error, StoreError::Unavailable(_)) {
                    ids.into_iter().filter(|(_, is_put)| *is_put).for_each(|(id, _)| self.sign_of_life(id, by));
                }
                Err(WriteError::Store(error))
            }
        }
    }

    /// Other servers, which keep it as well, could not learn that something was deleted that is in no store.
    fn check_deletions(&self, ids: &[(TargetId, bool)], outcome: &Outcome) -> Result<(), StoreError> {
        let Outcome::Made(found) = outcome else { return Ok(()) };
        let is_kept = |id| self.view.kept(id, Instant::now()).is_some();
        match ids.iter().zip(found).any(|((id, is_put), found)| !is_put && !found && is_kept(*id)) {
            true => Err(StoreError::Unavailable(
                "what is to be deleted is not there, and is kept because of an outage".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// A registration could not be stored; its owner lives, if that is who wrote.
    fn sign_of_life(&self, id: TargetId, by: &Principal) {
        let now = Instant::now();
        if self.view.group_of(id, now).is_none_or(|group| by.scope.has(&group)) {
            self.view.refused(id, now);
        }
    }

    /// The turn to declare a group; `None` when others take too long with theirs.
    pub fn declaring(&self) -> Option<MutexGuard<'_, ()>> {
        self.declaring.try_lock_for(WAIT_MAX)
    }

    /// What is to be done so that a group is as it is declared.
    ///
    /// # Errors
    /// [`NotLoaded`] before the first full load.
    pub fn plan(&self, declaration: &Declaration<'_>, by: &Principal, now: Now) -> Result<Plan, NotLoaded> {
        declaration::plan(&self.view, declaration, self.rules.ttl, &by.name, now.wall, now.monotonic)
    }

    /// Does it: all of it, or nothing. When this returns it is durable, and the lists of this server have changed once.
    ///
    /// # Errors
    /// [`WriteError`]; it is [`WriteError::Changed`] when the plan follows from what is no longer so. If the outcome is
    /// not known, that the owner has tried counts as a sign of life.
    pub fn carry_out(&self, plan: &mut Plan, by: &Principal) -> Result<(), WriteError> {
        let (updates, seen) = (mem::take(&mut plan.updates), mem::take(&mut plan.seen));
        self.write("declare", updates, by, seen).map(drop)
    }

    /// The stored document of a live registration.
    ///
    /// # Errors
    /// [`GetError`]: an absent registration is `None`, not an error.
    pub fn get(&self, id: TargetId, scope: &Scope, now: Now) -> Result<Option<Document>, GetError> {
        let stored = self.metrics.observe("get", || self.store()?.get(id)).map_err(GetError::Store)?;
        let value = stored.or_else(|| self.view.kept(id, now.monotonic).map(|kept| kept.document()));
        let Some(value) = value else { return Ok(None) };
        // What is no registration is in no group.
        let is_visible = || self.view.read(&value).is_ok_and(|(content, _)| scope.has(&content.group()));
        if *scope != Scope::All && !is_visible() {
            return Err(GetError::Forbidden);
        }
        Document::decode(&value).map(Some).map_err(GetError::Undecodable)
    }

    /// Removes a registration, if it is just as it was `seen`. `false` when there was none.
    ///
    /// # Errors
    /// [`WriteError`], also when it is in no store but kept because of an outage.
    pub fn delete(&self, id: TargetId, seen: Option<Details>, by: &Principal) -> Result<bool, WriteError> {
        let update = Update::Delete { id, by: Some(by.name.clone()) };
        let seen = seen.map(|details| (id, Seen::Exactly(Box::new(details)))).into_iter().collect();
        let deleted = self.write("delete", vec![update], by, seen)?;
        Ok(deleted.first().is_some_and(|found| *found))
    }

    /// The list that a poll is answered with. No call to the store, nothing held while it is sent.
    ///
    /// # Errors
    /// [`NotLoaded`] before the first full load.
    pub fn discover(&self, selector: Selector<'_>, now: Now) -> Result<Discovered, NotLoaded> {
        self.view.list(selector, now.monotonic)
    }

    /// The list of the registrations that meet the criteria, ready to be sent as it is or compressed. What has changed
    /// since the last poll is worked out by this one.
    ///
    /// # Errors
    /// [`Unanswered`] before the first full load, and when it takes more than it may. What a scope has is always
    /// answered then.
    pub fn list(
        &self,
        criteria: &Criteria,
        gzip: bool,
        allowance: &Allowance<'_>,
        now: Now,
    ) -> Result<Discovered, Unanswered> {
        if criteria.is_all_of_source() {
            return Ok(self.view.list(criteria.source(), now.monotonic)?);
        }
        match criteria.is_scope() {
            true => self.view.select(criteria, gzip, &allowance.of_its_own()),
            false => self.view.select(criteria, gzip, allowance),
        }
    }

    /// A registration as the lists show it, with the time at which it runs out. No call to the store.
    pub fn registration(&self, id: TargetId, now: Now) -> Option<Kept> {
        self.view.registration(id, now.monotonic)
    }

    /// A live registration with what lists do not show of it.
    pub fn details(&self, id: TargetId, now: Now) -> Option<Details> {
        self.view.details(&[id], now.monotonic).pop().map(|(_, details)| details)
    }

    /// What one question of this asker may take.
    pub fn allowance<'a>(&'a self, asker: &'a dyn Asker) -> Allowance<'a> {
        Allowance::new(asker, &self.turns)
    }

    /// A page of registrations.
    ///
    /// # Errors
    /// [`Unanswered`] before the first full load, and when it takes more than it may.
    pub fn page(&self, request: &PageRequest, allowance: &Allowance<'_>, now: Now) -> Result<Page, Unanswered> {
        pages::page(&self.view, request, allowance, self.epoch, now.monotonic)
    }

    /// Names or values of labels, each with the number of registrations that have it, the most frequent first.
    ///
    /// # Errors
    /// [`Unanswered`], as for a page.
    pub fn labels(
        &self,
        request: &LabelRequest,
        allowance: &Allowance<'_>,
        now: Now,
    ) -> Result<Vec<(String, usize)>, Unanswered> {
        labels::labels(&self.view, request, allowance, now.monotonic)
    }

    /// The groups of a scope, by name.
    ///
    /// # Errors
    /// [`Unanswered`] before the first full load, and when it takes more than it may.
    pub fn groups(&self, scope: &Scope, allowance: &Allowance<'_>, now: Now) -> Result<Vec<GroupSummary>, Unanswered> {
        summaries::groups(&self.view, scope, allowance, now.monotonic)
    }

    /// The largest groups, and how many registrations they have.
    pub fn largest_groups(&self, count: usize, now: Now) -> Vec<(Arc<str>, usize)> {
        self.view.largest_groups(count, now.monotonic)
    }

    /// A group as it would be declared, and a number that is another one when it would be declared otherwise. Empty
    /// when there is no such group.
    ///
    /// # Errors
    /// [`Unanswered`] before the first full load, and when it takes more than it may.
    pub fn group(&self, name: &str, allowance: &Allowance<'_>, now: Now) -> Result<(Arc<Snapshot>, u64), Unanswered> {
        let list = self.view.list(Selector::Group(name), now.monotonic)?.list;
        for (_, content) in list.registrations() {
            // Its number is reckoned, and it is copied into an answer.
            allowance.spend(4 * content.byte_count())?;
        }
        let hash = summaries::declared_hash(list.registrations());
        Ok((list, hash))
    }

    /// What there is to be seen, in numbers.
    ///
    /// # Errors
    /// [`Unanswered`], as for the list.
    pub fn overview(&self, scope: &Scope, allowance: &Allowance<'_>, now: Now) -> Result<Overview, Unanswered> {
        let list = self.list(&Criteria::of(scope.clone(), Form::Plain), false, allowance, now)?.list;
        let (groups, expiring) = match scope {
            Scope::All => {
                let within = EXPIRY_SPANS.map(|(_, seconds)| Duration::from_secs(seconds));
                let expiring = self.view.expiring(within, now.monotonic, || allowance.spend(COUNTED_BYTES))?;
                (self.view.counts(now.monotonic).groups, expiring)
            }
            Scope::Groups(_) => (
                summaries::group_count(&list, allowance)?,
                summaries::expiring(&self.view, &list, allowance, now.monotonic)?,
            ),
        };
        Ok(Overview {
            registrations: list.len(),
            groups,
            addresses: list.address_count(),
            duplicates: self.duplicates.get(scope, &list, allowance)?.total,
            expiring,
            list_bytes: list.json().parts.iter().map(|part| part.len()).sum(),
        })
    }

    /// The addresses that stand in more than one registration, as they were at most ten seconds ago.
    ///
    /// # Errors
    /// [`Unanswered`], as for the list.
    pub fn duplicates(
        &self,
        scope: &Scope,
        allowance: &Allowance<'_>,
        now: Now,
    ) -> Result<Arc<Duplicates>, Unanswered> {
        let list = self.list(&Criteria::of(scope.clone(), Form::Plain), false, allowance, now)?.list;
        self.duplicates.get(scope, &list, allowance)
    }

    /// The latest changes of a scope, newest first: of a group, of an id, or of all.
    pub fn changes(
        &self,
        scope: &Scope,
        group: Option<&str>,
        id: Option<TargetId>,
        limit: usize,
        now: Now,
    ) -> Vec<LoggedChange> {
        self.view.changes(scope, group, id, limit, now.monotonic)
    }

    /// What is left out of all lists, by id.
    pub fn quarantine(&self) -> Vec<(TargetId, Arc<Quarantined>)> {
        self.view.quarantine()
    }

    /// The lifetime of registrations that ask for none.
    pub fn default_ttl(&self) -> Ttl {
        self.rules.ttl
    }

    /// For how long lists may have been out of date because the store takes no writes.
    pub fn outage(&self, now: Now) -> Option<Duration> {
        self.view.outage(now.monotonic)
    }

    /// Whether all registrations have been loaded.
    pub fn is_loaded(&self) -> bool {
        self.view.is_loaded()
    }

    /// Returns when all registrations are loaded for the first time, at the deadline at the latest.
    pub fn wait_until_loaded(&self, deadline: Instant) {
        self.view.wait_until_loaded(deadline);
    }

    /// Whether polls and writes are expected to succeed.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn health(&self, now: Now) -> Result<(), String> {
        if !self.view.is_loaded() {
            return Err("the registrations are not loaded yet".to_owned());
        }
        if self.view.outage(now.monotonic).is_none() {
            return Ok(());
        }
        match self.store().and_then(Store::health) {
            Err(e) => Err(e.to_string()),
            Ok(()) => Err("the store takes no writes".to_owned()),
        }
    }

    /// How many registrations are alive.
    pub fn registrations(&self) -> usize {
        self.view.counts(Instant::now()).registrations
    }

    /// Counts for the metrics.
    pub fn counts(&self, now: Now) -> Counts {
        self.view.counts(now.monotonic)
    }

    /// How many registrations expire within each of [`EXPIRY_SPANS`], unless they are renewed.
    pub fn expiring(&self, now: Now) -> [usize; 3] {
        let within = EXPIRY_SPANS.map(|(_, seconds)| Duration::from_secs(seconds));
        let goes_on = || Ok::<(), Infallible>(());
        self.view.expiring(within, now.monotonic, goes_on).unwrap_or_else(|never| match never {})
    }

    /// Closes the store; everything acknowledged is durable.
    pub fn close(&self) {
        if let Ok(store) = self.store() {
            store.close();
        }
    }
}
