//! What a store is: durable documents by id, and the order in which the registry learns of changes. The backends are
//! submodules; nothing here knows the registry or HTTP.
//!
//! # The course of an outage
//!
//! The store reports what it sees; the mirror decides what that means (`registry::outage` has the rule and its proof):
//!
//! | what happens | the store calls | what the mirror does |
//! |---|---|---|
//! | all is well | `writable(at)`, every [`HEARTBEAT`] and soon after `next_expiry()` | lets registrations with deadlines up to `at` expire |
//! | writes fail or hang | nothing | takes it for an outage when `writable` is overdue: nothing expires any more |
//! | one write fails | nothing; the caller gets the error | takes the refused write for a sign of life of the owner, and for the beginning of an outage |
//! | nobody was at work: a stop, another Redis process | `interrupted(since)` | takes the outage to have begun then |
//! | owners could not write for a moment | `trouble(now, wait)` | lets nothing expire until their signs of life must have arrived |
//! | writes are possible again | `settle(end, count)`, repeatedly | returns the next registrations with moved deadlines, until the last |
//! | some of these deadlines are in the store | `moved(kept)` | goes by them from now on |
//! | the store fails meanwhile | `settle` with a later end | starts over from the deadlines before the outage |
//! | all of them are in the store | `settled(end)` | ends the outage, as of `end` |
//! | Redis has restarted and lost documents | `compare(...)`, then, after writing them back, `restored(ids)` | notes it in the list of changes |

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

/// The longest that repeated trouble keeps registrations past their deadlines without an outage. After that they expire
/// when the store next takes a write, so within [`WAIT_MAX`].
pub const HELD_MAX: Duration = Duration::from_secs(5);

/// About how many bytes of documents a settlement writes at once, since callers' writes wait for it.
pub const SETTLED_BYTES: usize = 4 << 20;

/// The most refused values that one write returns.
pub const REFUSED_MAX: usize = 100;

/// Keeps documents durably and mirrors every live one into a [`Mirror`].
///
/// The contract of every implementation:
/// - `write` returns `Ok` only after the changes are durable *and* the mirror shows them.
/// - Changes of one id reach the mirror in the order in which the store made them durable.
/// - Nothing changes a value between the answer of a [`Check`] and the write. When a check is asked, the mirror shows
///   all earlier writes of this store to these ids; when it refuses, the mirror also shows the refused values.
/// - Every method returns within about [`WAIT_MAX`], except for a large write that is under way. A write with an
///   unknown outcome is an error.
/// - The mirror is complete before [`Mirror::loaded`] is called; until then it holds part of the documents.
/// - While writes succeed, [`Mirror::writable`] is called at least every [`HEARTBEAT`], and soon after
///   [`Mirror::next_expiry`]. While they fail, for whatever reason, it is never called: this silence means an outage.
/// - Whenever the store can take a write, it asks [`Mirror::settle`] whether an outage has to be settled. It then makes
///   the moved deadlines durable, a few at a time and between the writes of callers, and ends with [`Mirror::settled`].
pub trait Store: Send + Sync {
    /// Makes all of these changes in this order, or none, and shows them in the mirror at the same moment. A check must
    /// first pass the stored value of each of their ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] unless the changes are known to be durable.
    fn write(&self, updates: Vec<Update>, check: Option<Check>) -> Result<Outcome, StoreError>;

    /// The stored value of an id, read from the store itself; `None` if there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: absent and unreachable are different things.
    fn get(&self, id: TargetId) -> Result<Option<Vec<u8>>, StoreError>;

    /// What the store knows to be wrong with itself, for people. Whether there is an outage is for the mirror to
    /// decide.
    fn health(&self) -> Result<(), StoreError>;

    /// Ends all work; every write acknowledged so far is durable. Later calls fail as unavailable.
    fn close(&self);
}

/// Decides whether a write may replace the live value of an id; `None` means that there is none. A value that is not a
/// document may be passed as empty. The thread of the store calls it, perhaps more than once.
pub type Check = Arc<dyn Fn(TargetId, Option<&[u8]>) -> bool + Send + Sync>;

/// An id and its live value that a [`Check`] refused; `None` if it requires a value and there is none.
pub type Refused = (TargetId, Option<Vec<u8>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was changed. For each delete, whether it found a live document; without meaning for a put.
    Made(Vec<bool>),
    /// Nothing was changed: the check refused these, [`REFUSED_MAX`] at most.
    Refused(Vec<Refused>),
}

/// Where a store shows its live documents. Only one thread at a time makes calls; before the first full load, several
/// may apply changes at once, each to other ids.
pub trait Mirror: Send + Sync {
    /// Applies changes in this order; all of them are visible when it returns.
    fn apply(&self, changes: Vec<Change>);

    /// The mirror now holds every live document of the store; called once, after the first full load.
    fn loaded(&self);

    /// Nothing could be written between `since` and now, or it may be lost. Reports what only the store can know: its
    /// file was closed, or Redis was restarted.
    fn interrupted(&self, since: Instant);

    /// The next registrations whose deadlines an outage moves that ended at `end`: about `count` of them, or
    /// [`SETTLED_BYTES`]. The next call with the same `end` continues. Another `end`, after the store has failed again,
    /// starts over from the deadlines before the outage. `None` if there is no outage.
    fn settle(&self, end: Instant, count: usize) -> Option<Settlement>;

    /// These deadlines of a settlement are in the store.
    fn moved(&self, moved: &[Kept]);

    /// All moved deadlines are in the store: the outage is over, as of `end`. Ignored if the settlement was for another
    /// `end`.
    fn settled(&self, end: Instant);

    /// The store took a write at this time, or would have taken one. During a settlement this does not end the outage.
    fn writable(&self, at: Instant);

    /// Some owners could not write until now. Their signs of life arrive within `wait`; until then nothing expires, for
    /// [`HELD_MAX`] at most.
    fn trouble(&self, now: Instant, wait: Duration);

    /// The store lost these documents and got them back. Only people need to know.
    fn restored(&self, _ids: &[TargetId]) {}

    /// Registrations with deadlines up to this have expired; `None` before the store is first known to take writes.
    fn expired_until(&self) -> Option<Instant>;

    /// When the next registration expires, if any does and no more trouble comes.
    fn next_expiry(&self) -> Option<Instant>;

    /// Takes out of these changes every outdated value: what is older than the shown registration, if that had expired in
    /// the store during an outage that is not settled; and, if `deleted`, what a client of this server had deleted and an
    /// outage brought back. Another server has put back what it knew, or the store has restarted with older data.
    fn take_outdated(&self, _changes: &mut Vec<Change>, _deleted: bool) -> Vec<Outdated> {
        Vec::new()
    }

    /// Others may have changed anything unseen: what was deleted here may have been registered again.
    fn forget_deletions(&self) {}

    /// The shown registrations that have a deadline, of these ids or of all.
    fn lifetimes(&self, _of: Option<&[TargetId]>) -> Vec<Kept> {
        Vec::new()
    }

    /// The ids of the shown registrations that expire after `at` or never.
    fn living_after(&self, at: Instant) -> HashSet<TargetId>;

    /// Compares the shown registrations with the store, which holds a value under each id of `present`. Until `until` the
    /// mirror knew all writes; `before` are the registrations that it showed then, `None` for those that it shows now.
    fn compare(&self, present: &HashSet<TargetId>, until: Instant, before: Option<&HashSet<TargetId>>) -> Comparison;
}

/// A change that a store is asked to make.
#[derive(Debug, Clone)]
pub enum Update {
    /// Store a document under its id for a lifetime, replacing what was there.
    Put {
        id: TargetId,
        content: Content,
        updated_at: SystemTime,
        /// Counts from the moment of the write.
        ttl: Ttl,
        /// Who asks for it; `None` if the server itself does.
        by: Option<Arc<str>>,
    },
    Delete {
        id: TargetId,
        /// Who asks for it; `None` if the server itself does.
        by: Option<Arc<str>>,
    },
}

impl Update {
    pub fn id(&self) -> TargetId {
        match self {
            Update::Put { id, .. } | Update::Delete { id, .. } => *id,
        }
    }

    /// This update as a change for a mirror, made at `made_at`; `found` says whether a delete found a live document.
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
        /// The owner's deadline, if the store knows that outages have moved it.
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

    /// The value, if it was read from the store.
    pub fn read(&self) -> Option<&[u8]> {
        if let Change::Put { stored: Stored::Read(value), .. } = self { Some(value) } else { None }
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
    /// It was read from the store. Another program may have written it: it may be no document at all.
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
    /// The deadline in the store, if an outage moves it to `deadline`.
    pub moved_from: Option<Instant>,
    /// When its lifetime in the store began, with its last write, if that is known.
    pub written_at: Option<Instant>,
}

/// A value in the store that is outdated.
#[derive(Debug)]
pub struct Outdated {
    pub id: TargetId,
    pub value: Vec<u8>,
    /// What the mirror shows instead; `None` if it was deleted.
    pub newer: Option<Kept>,
}

impl Outdated {
    /// `None` if the change is not a value that was read.
    pub fn of(change: Change, newer: Option<Kept>) -> Option<Outdated> {
        match change {
            Change::Put { id, stored: Stored::Read(value), .. } => Some(Outdated { id, value, newer }),
            _ => None,
        }
    }
}

/// Some registrations whose deadlines an outage has moved, to be made durable.
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
    /// Registrations that are shown but are not in the store.
    pub missing: Vec<Missing>,
    /// How many registrations were shown before, or were deleted before and are in the store, which has gone back to an
    /// earlier time.
    pub shown: usize,
    /// How many registrations of the store were written before `until`, or were shown before.
    pub known: usize,
    /// The latest write of these, among those that were not written again since and whose deadlines no outage has moved.
    pub latest_write: Option<Instant>,
    /// The same by the owners' clocks, in whole seconds.
    pub latest_update: Option<SystemTime>,
}

/// A registration that is shown but is not in the store.
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
    /// It takes writes, but not of this kind: there is no outage.
    Unsupported(String),
    /// It takes writes, but had no time for this one: nothing was changed, and there is no outage.
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
