//! What a store is: durable documents by id, and the order in which it tells the registry about them.
//! The backends live below; nothing here knows the registry or HTTP.
//!
//! # An outage, from its beginning to its end
//!
//! The store says what it sees, the mirror decides what that means (`registry::outage` has the rule and its proof):
//!
//! | what happens | the store says | the mirror does |
//! |---|---|---|
//! | all is well | `writable(at)`, every [`HEARTBEAT`] and soon after `next_expiry()` | what expired until `at` leaves the lists |
//! | writes fail, or hang | nothing | when `writable` is overdue, an outage has begun: nothing expires any more |
//! | one write fails | its caller learns it | the refusal is a sign of life of its owner, and begins an outage as well |
//! | nobody was at work: a stop, another Redis process | `interrupted(since)` | an outage began then |
//! | somebody could not write, and signs of life are on their way | `trouble(now, wait)` | nothing expires before they are here |
//! | a write could be made again | `settle(end, count)`, again and again | the next registrations with moved deadlines, until the last |
//! | some of these deadlines are in the store | `moved(kept)` | they count from now on |
//! | it fails meanwhile | `settle` with a later end | the outage went on: begins anew from the deadlines before it |
//! | all of them are in the store | `settled(end)` | the outage is over, as of `end` |
//! | Redis restarted and lost some | `compare(...)`, writes them back, `restored(ids)` | for the list of changes only |

pub mod backoff;
pub mod embedded;
mod mailbox;
pub mod redis;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::registration::{Content, TargetId, Ttl};

/// The longest that a caller waits for the store.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// How often a store that has nothing else to do shows that it would take a write.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// For how long at most trouble after trouble keeps registrations past their deadlines, unless it is an outage. After that
/// they go when the store is next seen to take a write, so within [`WAIT_MAX`].
pub const HELD_MAX: Duration = Duration::from_secs(5);

/// How many bytes of documents a settlement writes at once, about: the writes of callers wait for that.
pub const SETTLED_BYTES: usize = 4 << 20;

/// How many refused values are handed back to whoever wanted to write.
pub const REFUSED_MAX: usize = 100;

/// Keeps documents durably and mirrors every live one into a [`Mirror`].
///
/// The contract of every implementation:
/// - `write` returns `Ok` only after the changes are durable *and* the mirror shows them.
/// - Changes of one id reach the mirror in the order in which the store made them durable.
/// - Between the answer of a [`Check`] and the write, nothing changes the values that it was asked about. When it is asked,
///   the mirror shows every earlier write of this store under these ids; when it refuses, also what it was asked about.
/// - Every method returns within [`WAIT_MAX`] or a little more, but for a large write that the store is at work on; a write
///   whose outcome is unknown is an error.
/// - The mirror is complete before [`Mirror::loaded`] is first called; until then it holds part of the truth.
/// - While writes succeed, [`Mirror::writable`] is called at least every [`HEARTBEAT`], and soon after
///   [`Mirror::next_expiry`]. While they do not, it is not called at all, whatever the cause: that silence is how
///   everyone else learns of an outage.
/// - Whenever the store could take a write, it asks [`Mirror::settle`] whether an outage has to be settled. It then makes
///   the moved deadlines durable, a few at a time and between the writes of callers, and ends with [`Mirror::settled`].
pub trait Store: Send + Sync {
    /// Makes all of these changes, or none, in this order, and shows them in the mirror at once. With a check, only if
    /// that passes what is stored under each of their ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the outcome is not known to be durable.
    fn write(&self, updates: Vec<Update>, check: Option<Check>) -> Result<Outcome, StoreError>;

    /// The stored value of a live id, read from the store itself; `None` when there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: absent and unreachable are different things.
    fn get(&self, id: TargetId) -> Result<Option<Vec<u8>>, StoreError>;

    /// What the store knows to be wrong with it, for people. Whether there is an outage is for the mirror to decide.
    fn health(&self) -> Result<(), StoreError>;

    /// Ends all work; every write acknowledged so far is durable. Later calls fail as unavailable.
    fn close(&self);
}

/// Says whether a write may replace the live value under one of its ids; `None` when there is none. A value that is no
/// document may come as an empty one. May be asked more than once, on the thread of a store.
pub type Check = Arc<dyn Fn(TargetId, Option<&[u8]>) -> bool + Send + Sync>;

/// A value that a [`Check`] has refused, or the lack of one.
pub type Refused = (TargetId, Option<Vec<u8>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was made. Says of each update whether there was a live document under its id to be removed; of puts nothing.
    Made(Vec<bool>),
    /// Nothing was changed: the check refused these, [`REFUSED_MAX`] at most.
    Refused(Vec<Refused>),
}

/// Where a store shows its live documents. Calls come from one thread at a time; only before the first full load several
/// threads may apply changes at once, each of other ids.
pub trait Mirror: Send + Sync {
    /// Applies changes in this order; all of them are visible when it returns.
    fn apply(&self, changes: Vec<Change>);

    /// The mirror now holds every live document of the store; called once, after the first full load.
    fn loaded(&self);

    /// Nothing could be written between `since` and now, or what was written may be lost. For what is not seen from the
    /// outside: an embedded store was closed, a Redis was started anew.
    fn interrupted(&self, since: Instant);

    /// If there is an outage, it ended at `end`: the next of the registrations whose deadlines it moves, about `count` of
    /// them, or [`SETTLED_BYTES`]. The same `end` goes on with the next ones; another one, after the store has failed
    /// again, begins anew from the deadlines before the outage. `None`: no outage.
    fn settle(&self, end: Instant, count: usize) -> Option<Settlement>;

    /// These deadlines, which are part of a settlement, are in the store.
    fn moved(&self, moved: &[Kept]);

    /// Everything that the outage moved is in the store: it is over, as of `end`. Ignored if it was settled for another end.
    fn settled(&self, end: Instant);

    /// The store took a write at this time, or would have taken one. During a settlement it says no more than that.
    fn writable(&self, at: Instant);

    /// Until now somebody could not write. It takes `wait` until all signs of life have arrived; until then nothing
    /// expires, for [`HELD_MAX`] at most.
    fn trouble(&self, now: Instant, wait: Duration);

    /// These were lost by the store and have been given back to it. For people: nothing else depends on it.
    fn restored(&self, _ids: &[TargetId]) {}

    /// What was to expire by then has expired; `None` before the first evidence that the store takes writes.
    fn expired_until(&self) -> Option<Instant>;

    /// When the next registration expires, if any does, unless there is more trouble.
    fn next_expiry(&self) -> Option<Instant>;

    /// Takes out of these changes every value that is older than what is shown, where that had expired in the store during
    /// an outage that is not settled: another server has put back what it knew, and missed a later write. Returns what is
    /// to be written over it.
    fn take_older(&self, _changes: &mut Vec<Change>) -> Vec<Newer> {
        Vec::new()
    }

    /// What is shown and has a deadline, of these ids or of all.
    fn lifetimes(&self, _of: Option<&[TargetId]>) -> Vec<Kept> {
        Vec::new()
    }

    /// Compares what is shown with the store, which holds a value under each id of `present`. Writes after `until` do not
    /// count as known to the mirror; registrations that were to expire before `since` do not count as shown.
    fn compare(&self, present: &HashSet<TargetId>, until: Instant, since: Instant) -> Comparison;
}

/// A change that a store is asked to make.
#[derive(Debug, Clone)]
pub enum Update {
    /// Store a document under its id for a lifetime, replacing what was there.
    Put {
        id: TargetId,
        content: Content,
        updated_at: SystemTime,
        /// How long it lives from now on.
        ttl: Ttl,
        /// Who asks for it; `None` is nobody that people know.
        by: Option<Arc<str>>,
    },
    Delete {
        id: TargetId,
        /// Who asks for it; `None` is nobody that people know.
        by: Option<Arc<str>>,
    },
}

impl Update {
    pub fn id(&self) -> TargetId {
        match self {
            Update::Put { id, .. } | Update::Delete { id, .. } => *id,
        }
    }

    /// The change that this is for a mirror, when it was made at `made_at` and, if it is a removal, found something.
    pub fn made(self, made_at: Instant, found: bool) -> Change {
        match self {
            // A lifetime beyond what the clock can represent never ends.
            Update::Put { id, content, updated_at, ttl, by } => {
                let deadline = ttl.duration().and_then(|ttl| made_at.checked_add(ttl));
                Change::Put { id, stored: Stored::Own { content, updated_at, by }, deadline, original: None }
            }
            Update::Delete { id, by } if found => Change::Deleted { id, by },
            Update::Delete { id, .. } => Change::Gone(id),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Change {
    Put {
        id: TargetId,
        stored: Stored,
        /// When it expires; `None` is never.
        deadline: Option<Instant>,
        /// The deadline that its owner gave it, if the store knows that outages have moved that.
        original: Option<Instant>,
    },
    /// This id is gone from the store: it expired, or another program deleted it.
    Gone(TargetId),
    /// This id was deleted by [`Store::write`].
    Deleted {
        id: TargetId,
        /// Who asked for it.
        by: Option<Arc<str>>,
    },
}

impl Change {
    pub fn id(&self) -> TargetId {
        match self {
            Change::Put { id, .. } | Change::Gone(id) | Change::Deleted { id, .. } => *id,
        }
    }

    /// How many bytes were read to know of it.
    pub fn size(&self) -> usize {
        match self {
            Change::Put { stored: Stored::Read(value), .. } => value.len(),
            _ => 0,
        }
    }
}

/// A value in a store.
#[derive(Debug, Clone)]
pub enum Stored {
    /// [`Store::write`] put it there.
    Own {
        content: Content,
        updated_at: SystemTime,
        /// Who asked for it.
        by: Option<Arc<str>>,
    },
    /// It was read. Another program may have written it: perhaps it is no document at all.
    Read(Vec<u8>),
}

/// A registration that the mirror shows, to be written to the store.
#[derive(Debug, Clone)]
pub struct Kept {
    pub id: TargetId,
    pub content: Content,
    /// When its owner last wrote it.
    pub updated_at: SystemTime,
    /// When it expires; `None` is never.
    pub deadline: Option<Instant>,
    /// The deadline in the store that an outage moves to this one, if it does.
    pub moved_from: Option<Instant>,
    /// When the lifetime began that it has in the store, as far as that is known: the time of its last write.
    pub written_at: Option<Instant>,
}

/// A registration that the mirror shows, and the older value that stands in its place in the store.
#[derive(Debug)]
pub struct Newer {
    pub kept: Kept,
    pub older: Vec<u8>,
}

/// A part of what an outage leaves behind, to be made durable.
#[derive(Debug, Default)]
pub struct Settlement {
    pub moved: Vec<Kept>,
    /// No more follow.
    pub is_last: bool,
}

impl Kept {
    pub fn document(&self) -> Vec<u8> {
        self.content.document(self.id, self.updated_at)
    }
}

/// What a store has, compared with what the mirror shows.
#[derive(Debug)]
pub struct Comparison {
    /// What is shown and is not in the store.
    pub missing: Vec<Missing>,
    /// How many are shown that had not expired at `since`.
    pub shown: usize,
    /// How many are in the store of those that the mirror has known since before `until`.
    pub known: usize,
    /// The latest write that both the store and the mirror have, and that nothing has touched since.
    pub latest_write: Option<Instant>,
    /// The same by the clocks of the owners, in whole seconds.
    pub latest_update: Option<SystemTime>,
}

/// A registration that is shown and is not in the store.
#[derive(Debug)]
pub struct Missing {
    pub kept: Kept,
    /// Half of its lifetime; of the default one if it never expires.
    pub half_lifetime: Duration,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached, did not answer in time, or cannot write. For the log; clients are told less.
    Unavailable(String),
    /// It does not take this kind of write, and takes others: there is no outage.
    Unsupported(String),
    /// It takes writes, and had no time for this one: nothing was changed, and there is no outage.
    Busy(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(why) => write!(f, "the store is unavailable: {why}"),
            StoreError::Unsupported(why) => write!(f, "the store does not take this kind of write: {why}"),
            StoreError::Busy(why) => write!(f, "the store has no time for this write: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
