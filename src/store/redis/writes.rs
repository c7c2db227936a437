//! What is known about whether Redis takes writes. The applier finds it out; the link reports it to callers.

use std::time::{Duration, Instant};

use log::warn;

use super::answers::{Answers, Rights};
use super::fault::Fault;
use super::round::Probe;
use crate::store::HEARTBEAT;

/// How often a Redis that refuses writes is asked again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Default)]
pub(super) struct Writes {
    /// Why the last write was refused, until one is taken: a Redis that refuses writes can still be read.
    refused: Option<Fault>,
    /// When this session last saw Redis take a write.
    taken_at: Option<Instant>,
    /// The missing rights that not every write needs.
    rights: Rights,
    trial: Trial,
}

/// Whether a session has tried every kind of command that it may need: a missing right should be known before it is
/// needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Trial {
    #[default]
    Due,
    /// Tried, and tried again until it passes.
    Begun,
    /// Passed, except for rights that only some writes need: these writes are refused, and the trial is repeated.
    Lacking,
    Passed,
}

impl Writes {
    /// The part that is still valid in a new session.
    pub(super) fn in_new_session(self) -> Writes {
        Writes { taken_at: None, trial: Trial::Due, ..self }
    }

    pub(super) fn taken_since(&self, since: Instant) -> bool {
        self.taken_at >= Some(since)
    }

    pub(super) fn is_untried(&self) -> bool {
        self.trial == Trial::Due
    }

    /// How often Redis must show that it takes writes.
    pub(super) fn heartbeat(&self) -> Duration {
        if self.refused.is_some() { RETRY_AFTER } else { HEARTBEAT }
    }

    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.taken_at.is_none_or(|at| at + self.heartbeat() <= now)
    }

    /// The next probe. `proves` says that the round itself shows whether Redis takes writes. Not everything can be
    /// tried while values are watched.
    pub(super) fn next_probe(&mut self, proves: bool, is_watching: bool) -> Option<Probe> {
        match self.trial {
            Trial::Passed => (!proves).then_some(Probe::Put),
            _ if is_watching => Some(Probe::Put),
            trial => {
                self.trial = if trial == Trial::Due { Trial::Begun } else { trial };
                Some(Probe::Everything)
            }
        }
    }

    /// Takes note of the answers to a round that was sent at `at`. `true` if they show that Redis takes writes: it took
    /// one, and is known to take all kinds that registrations need.
    pub(super) fn note(&mut self, read: &Answers, at: Instant) -> bool {
        self.trial = match (&read.rights, self.trial) {
            (Some(_), _) if read.refused.is_some() => Trial::Begun,
            (Some(rights), _) if rights.missing().is_some() => Trial::Lacking,
            (Some(_), _) => Trial::Passed,
            (None, Trial::Passed) if read.lacks_right => Trial::Lacking,
            (None, unchanged) => unchanged,
        };
        if let Some(rights) = &read.rights {
            if let Some(fault) = rights.missing().filter(|_| self.rights.missing().is_none()) {
                warn!(fault:%; "Redis refuses some kinds of writes");
            }
            self.rights = rights.clone();
        }
        if read.refused.is_some() {
            self.refused.clone_from(&read.refused);
            return false;
        }
        let is_taken = read.is_writable && matches!(self.trial, Trial::Passed | Trial::Lacking);
        if is_taken {
            (self.refused, self.taken_at) = (None, Some(at));
        }
        is_taken
    }

    /// A write failed for lack of a right that only some writes need: everything is tried again.
    pub(super) fn note_missing_right(&mut self) {
        if self.trial == Trial::Passed {
            self.trial = Trial::Lacking;
        }
    }

    /// Why writes are refused, all of them or some kinds.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.refused().or(self.rights.missing())
    }

    /// Why the last write was refused, if it was.
    pub(super) fn refused(&self) -> Option<&Fault> {
        self.refused.as_ref()
    }

    /// Why nothing can be deleted, if so.
    pub(super) fn deletion_fault(&self) -> Option<&Fault> {
        self.rights.deletion.as_ref()
    }

    /// Why nothing can be made as a whole or on a condition, if so.
    pub(super) fn transaction_fault(&self) -> Option<&Fault> {
        self.rights.transaction.as_ref()
    }
}
