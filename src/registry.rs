//! What the server can do: put, get, delete, discover. It owns the view, which answers every poll,
//! and the store, which keeps what was acknowledged. It knows no HTTP.

mod discovery;
mod gzip;
mod list;
mod target_info;
mod view;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

pub use list::{Rendering, Snapshot};
pub use view::{Counts, NotLoaded, Rules, View};

use crate::metrics::StoreMetrics;
use crate::registration::{Content, Document, Registration, TargetId, Undecodable};
use crate::store::{Mirror, Store, StoreError};

/// How often what ran out is dropped when nobody polls.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// The time, read where a request comes in.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Instant,
    /// For what is written down.
    pub wall: SystemTime,
}

impl Now {
    /// Reads the clocks.
    pub fn read() -> Now {
        Now { monotonic: Instant::now(), wall: SystemTime::now() }
    }
}

/// Which registrations a list holds.
#[derive(Debug, Clone, Copy)]
pub enum Selector<'a> {
    /// All of them.
    All,
    /// Those of the group with exactly this name.
    Group(&'a str),
}

/// A list, and for how long it may have been out of date because the store is lost.
#[derive(Debug)]
pub struct Discovered {
    /// The list.
    pub list: Arc<Snapshot>,
    /// `None` when it is up to date.
    pub stale: Option<Duration>,
}

/// Why a stored registration cannot be read.
#[derive(Debug)]
pub enum GetError {
    /// The store did not answer.
    Store(StoreError),
    /// Another program stored something that is no document.
    Undecodable(Undecodable),
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Store(e) => e.fmt(f),
            GetError::Undecodable(e) => write!(f, "the stored value is no registration: {e}"),
        }
    }
}

impl std::error::Error for GetError {}

/// The registrations of this server.
pub struct Registry {
    view: Arc<View>,
    /// Set when the store is open; until then the server answers, but that it is not ready.
    store: OnceLock<Arc<dyn Store>>,
    rules: Rules,
    metrics: StoreMetrics,
    closed: Mutex<bool>,
    closing: Condvar,
}

impl Registry {
    /// A registry without a store: nothing can be read or written yet.
    pub fn new(rules: Rules, metrics: StoreMetrics) -> Registry {
        let view = Arc::new(View::new(rules));
        Registry { view, store: OnceLock::new(), rules, metrics, closed: Mutex::new(false), closing: Condvar::new() }
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
    /// [`StoreError`] when the outcome is not known.
    pub fn put(&self, id: TargetId, registration: &Registration, now: Now) -> Result<(), StoreError> {
        let document = Content::new(registration).document(id, now.wall);
        self.metrics
            .observe("put", || self.store()?.put(id, document, registration.ttl().unwrap_or(self.rules.ttl), now.wall))
    }

    /// The stored document of a live registration.
    ///
    /// # Errors
    /// [`GetError`]: an absent registration is `None`, not an error.
    pub fn get(&self, id: TargetId, now: Now) -> Result<Option<Document>, GetError> {
        let value = self.metrics.observe("get", || self.store()?.get(id, now.wall)).map_err(GetError::Store)?;
        value.map(|value| Document::decode(&value)).transpose().map_err(GetError::Undecodable)
    }

    /// Removes a registration. `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when the outcome is not known.
    pub fn delete(&self, id: TargetId, now: Now) -> Result<bool, StoreError> {
        let stored = self.metrics.observe("delete", || self.store()?.delete(id, now.wall))?;
        let kept = self.view.remove_kept(id, now.monotonic);
        Ok(stored || kept)
    }

    /// The list that a poll is answered with. No call to the store, nothing held while it is sent.
    ///
    /// # Errors
    /// [`NotLoaded`] before the first full load.
    pub fn discover(&self, selector: Selector<'_>, now: Now) -> Result<Discovered, NotLoaded> {
        let (list, stale) = match selector {
            Selector::All => self.view.all(now.monotonic)?,
            Selector::Group(name) => self.view.group(name, now.monotonic)?,
        };
        Ok(Discovered { list, stale })
    }

    /// Returns when all registrations are loaded for the first time, at the deadline at the latest.
    pub fn wait_until_loaded(&self, deadline: Instant) {
        self.view.wait_until_loaded(deadline);
    }

    /// Whether polls and writes are expected to succeed.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn health(&self) -> Result<(), String> {
        if !self.view.is_loaded() {
            return Err("the registrations are not loaded yet".to_owned());
        }
        self.store().and_then(Store::health).map_err(|e| e.to_string())
    }

    /// How many registrations are alive.
    pub fn registrations(&self) -> usize {
        self.view.counts(Instant::now()).registrations
    }

    /// Counts for the metrics.
    pub fn counts(&self, now: Now) -> Counts {
        self.view.counts(now.monotonic)
    }

    /// How many registrations run out within `span`, unless they are renewed.
    pub fn expiring_within(&self, span: Duration, now: Now) -> usize {
        self.view.expiring_within(span, now.monotonic)
    }

    /// Drops what ran out until [`Registry::close`] is called, and counts it; the work of one thread.
    pub fn expire_until_closed(&self) {
        let mut closed = self.closed.lock();
        while !*closed {
            let expired = self.view.expire(Instant::now());
            self.metrics.expired(expired.len());
            if let (false, Ok(store)) = (expired.is_empty(), self.store()) {
                store.expired(expired);
            }
            self.closing.wait_for(&mut closed, EXPIRY_INTERVAL);
        }
    }

    /// Closes the store; everything acknowledged is durable.
    pub fn close(&self) {
        *self.closed.lock() = true;
        self.closing.notify_all();
        if let Ok(store) = self.store() {
            store.close();
        }
    }
}
