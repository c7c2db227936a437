//! A session: the time from one connection to one Redis process until it is lost. Three kinds of thread meet here: the
//! tracker reports changed ids, handlers hand in their writes, and the applier takes the work in rounds. Reports to a
//! session that has ended are ignored.

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant};

use ::redis::ConnectionAddr;
use nix::time::{ClockId, clock_gettime};

use super::fault::Fault;
use crate::registration::TargetId;
use crate::store::mailbox::{Contents, Mailbox, Unwritten, Write};
use crate::store::{Check, Outcome, StoreError, Update};

/// The most changed ids that wait to be fetched; with more, a full scan is cheaper.
const CHANGED_MAX: usize = 200_000;

/// One connection to one Redis process.
pub(super) struct Session {
    /// Counts the sessions of this store.
    pub(super) number: u64,
    /// Where the process is.
    pub(super) address: ConnectionAddr,
    pub(super) run_id: String,
    /// It holds at most as many writes as there are handlers.
    mailbox: Mailbox<Notices>,
}

/// When a server answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contact {
    pub(super) instant: Instant,
    /// By the clock that counts sleep; `None` without one.
    since_boot: Option<Duration>,
}

impl Contact {
    pub(super) fn now() -> Contact {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from);
        Contact { instant: Instant::now(), since_boot }
    }

    /// This time and `by`.
    #[cfg(test)]
    pub(super) fn later(self, by: Duration) -> Contact {
        Contact { instant: self.instant + by, since_boot: self.since_boot.map(|since| since + by) }
    }

    /// The time between two contacts, including sleep of the machine.
    pub(super) fn since(self, earlier: Contact) -> Duration {
        let slept_through = self.since_boot.zip(earlier.since_boot);
        slept_through.map_or(Duration::MAX, |(later, earlier)| later.saturating_sub(earlier))
    }
}

/// The reports of the tracker and others.
#[derive(Default)]
struct Notices {
    changed: BTreeSet<TargetId>,
    rescan: Option<Cause>,
    ended: Option<Fault>,
}

/// Why everything is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Connected,
    /// The server forgot which keys changed: a database was emptied.
    Flushed,
    /// Too many changes to follow one by one.
    Overflow,
    /// No server reports some changes (SWAPDB).
    Periodic,
    /// This program stood still, and the reports from that time are old.
    Stood,
    /// Missing registrations after a restart may be on their way back.
    Confirm,
}

impl Cause {
    pub(super) const ALL: [Cause; 6] =
        [Cause::Connected, Cause::Flushed, Cause::Overflow, Cause::Periodic, Cause::Stood, Cause::Confirm];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Cause::Connected => "connected",
            Cause::Flushed => "flushed",
            Cause::Overflow => "overflow",
            Cause::Periodic => "periodic",
            Cause::Stood => "stood_still",
            Cause::Confirm => "confirm",
        }
    }
}

pub(super) struct Work {
    pub(super) ids: BTreeSet<TargetId>,
    /// In the order in which they must be made.
    pub(super) writes: Vec<Write>,
    pub(super) rescan: Option<Cause>,
    /// More ids have changed than are fetched in this round.
    pub(super) is_behind: bool,
}

impl Session {
    pub(super) fn new(number: u64, address: ConnectionAddr, run_id: String) -> Session {
        let mailbox = Mailbox::new(Notices { rescan: Some(Cause::Connected), ..Notices::default() });
        Session { number, address, run_id, mailbox }
    }

    /// Reports that these ids changed in some way.
    pub(super) fn changed(&self, ids: impl Iterator<Item = TargetId>) {
        self.mailbox.change(|Contents { notices, .. }| {
            notices.changed.extend(ids);
            if notices.changed.len() > CHANGED_MAX {
                notices.changed.clear();
                notices.rescan = Some(Cause::Overflow);
            }
        });
    }

    /// Has everything read again, because the changes are unknown.
    pub(super) fn rescan(&self, cause: Cause) {
        self.mailbox.change(|contents| contents.notices.rescan = Some(cause));
    }

    /// Whether a change of this id is, or may be, still to be fetched: before a rescan nobody knows.
    pub(super) fn may_have_changed(&self, id: TargetId) -> bool {
        let notices = &self.mailbox.contents().notices;
        notices.rescan.is_some() || notices.changed.contains(&id)
    }

    /// Ends the session. Only the first fault counts.
    pub(super) fn end(&self, fault: Fault) {
        self.mailbox.change(|contents| {
            contents.notices.ended.get_or_insert(fault);
            contents.writes.clear();
        });
    }

    pub(super) fn ended(&self) -> Option<Fault> {
        self.mailbox.contents().notices.ended.clone()
    }

    /// Has Redis make changes, if the check passes. Returns once the mirror shows them or something newer.
    ///
    /// # Errors
    /// `None` if nothing was sent to Redis: another session may send it. After any other error the change may have been
    /// made, but it is not sent later.
    pub(super) fn write(
        &self,
        updates: Vec<Update>,
        check: Option<Check>,
        deadline: Instant,
    ) -> Result<Outcome, Option<StoreError>> {
        let admit = |contents: &Contents<Notices>| match contents.notices.ended {
            Some(_) => Err(Unwritten::NotBegun),
            None => Ok(()),
        };
        self.mailbox.write(updates, check, deadline, admit).map_err(|unwritten| match unwritten {
            Unwritten::NotBegun => None,
            Unwritten::Failed(error) => Some(error),
            Unwritten::Lost => Some(self.ended().unwrap_or(Fault::Unanswered).into()),
            Unwritten::Late => Some(Fault::Silent.into()),
        })
    }

    /// The work of the next round: all writes, and up to `ids_max` changed ids. Waits for work for at most `patience`;
    /// then there may be none.
    pub(super) fn take(&self, ids_max: usize, patience: Duration) -> Result<Work, Fault> {
        let is_work = |Contents { writes, notices }: &Contents<Notices>| {
            !writes.is_empty() || !notices.changed.is_empty() || notices.rescan.is_some() || notices.ended.is_some()
        };
        let mut contents = self.mailbox.wait(Instant::now() + patience, is_work);
        let Contents { writes, notices } = &mut *contents;
        if let Some(fault) = &notices.ended {
            return Err(fault.clone());
        }
        let mut ids = BTreeSet::new();
        while ids.len() < ids_max
            && let Some(id) = notices.changed.pop_first()
        {
            ids.insert(id);
        }
        let is_behind = !notices.changed.is_empty();
        Ok(Work { ids, writes: mem::take(writes), rescan: notices.rescan.take(), is_behind })
    }
}

#[cfg(test)]
mod tests;
