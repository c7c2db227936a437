//! What a store is: durable documents by id, and the order in which it tells the registry about them.
//! The backends live below; nothing here knows the registry or HTTP.

pub mod embedded;
pub mod redis;

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::registration::{TargetId, Ttl};

/// Keeps documents durably and mirrors every live one into a [`Mirror`].
///
/// The contract of every implementation:
/// - `put` and `delete` return `Ok` only after the change is durable *and* the mirror shows it.
/// - Changes of one id reach the mirror in the order in which the store made them durable.
/// - Every method returns within [`WAIT_MAX`] or a little more; a write whose outcome is unknown is an error.
/// - The mirror is complete before [`Mirror::loaded`] is first called; until then it holds part of the truth.
pub trait Store: Send + Sync {
    /// Stores a document under its id for `ttl`, replacing what was there and starting its lifetime anew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the outcome is not known to be durable.
    fn put(&self, id: TargetId, document: Vec<u8>, ttl: Ttl, now: SystemTime) -> Result<(), StoreError>;

    /// The stored value of a live id, read from the store itself; `None` when there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: absent and unreachable are different things.
    fn get(&self, id: TargetId, now: SystemTime) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes a document. `false` when there was none, or it had expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the outcome is not known to be durable.
    fn delete(&self, id: TargetId, now: SystemTime) -> Result<bool, StoreError>;

    /// Told of ids that ran out in the mirror, so that a store which does not expire by itself can drop them.
    /// Returns at once; what fails is tried again by the store.
    fn expired(&self, ids: Vec<TargetId>);

    /// Whether reads and writes are expected to succeed now.
    ///
    /// # Errors
    /// What is wrong, when they are not.
    fn health(&self) -> Result<(), StoreError>;

    /// Ends all work; every write acknowledged so far is durable. Later calls fail as unavailable.
    fn close(&self);
}

/// The longest that a caller waits for the store.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// Where a store shows its live documents. Calls come from one thread at a time.
pub trait Mirror: Send + Sync {
    /// Applies changes in this order; all of them are visible when it returns.
    fn apply(&self, changes: Vec<Change>);

    /// The mirror now holds every live document of the store; called after the first full load, and after each
    /// return from an outage. Ends what [`Mirror::lost`] began.
    fn loaded(&self);

    /// The store cannot be reached: what is shown may be out of date, and owners cannot renew.
    fn lost(&self);

    /// The live documents whose ids are not in `present`, with the rest of their lifetimes (`None`: for ever).
    fn missing_from(&self, present: &HashSet<TargetId>) -> Vec<Missing>;
}

/// A change that the store made durable, or is to make.
#[derive(Debug, Clone)]
pub enum Change {
    /// The value of this id is now this.
    Put {
        /// The key.
        id: TargetId,
        /// The stored value, which another program may have written: perhaps no document at all.
        value: Vec<u8>,
        /// The rest of its lifetime; `None` is for ever.
        expires_in: Option<Duration>,
    },
    /// This id is gone.
    Remove(TargetId),
}

impl Change {
    /// The key.
    pub fn id(&self) -> TargetId {
        match self {
            Change::Put { id, .. } | Change::Remove(id) => *id,
        }
    }
}

/// A document that the mirror shows and the store has not.
#[derive(Debug)]
pub struct Missing {
    /// The key.
    pub id: TargetId,
    /// The document as it would be stored.
    pub document: Vec<u8>,
    /// The rest of its lifetime; `None` is for ever.
    pub expires_in: Option<Duration>,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached, did not answer in time, or cannot write. For the log; clients are told less.
    Unavailable(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(why) => write!(f, "the store is unavailable: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
