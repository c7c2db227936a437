//! The clock of the file, by which its deadlines are stored. It follows the monotonic clock while the server runs, so
//! steps of the wall clock do not change any lifetime. At the start it takes the wall clock's time, but never less than
//! it last showed: the difference is the time for which the server was stopped.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The stored form of no deadline.
pub(super) const NEVER: u64 = 0;

/// Converts instants into the milliseconds that are stored, and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileClock {
    origin: Instant,
    origin_millis: u64,
}

impl FileClock {
    /// Starts the clock of a file whose clock last showed `last`.
    pub(super) fn start(last: Option<u64>) -> FileClock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        FileClock { origin: Instant::now(), origin_millis: wall.max(last.unwrap_or_default()) }
    }

    /// What the clock shows at this instant.
    pub(super) fn at(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.origin) {
            Some(since) => self.origin_millis.saturating_add(millis(since)),
            None => self.origin_millis.saturating_sub(millis(self.origin - instant)),
        }
    }

    /// The instant at which the clock shows this, or showed it.
    pub(super) fn instant(&self, shown: u64) -> Option<Instant> {
        match shown.checked_sub(self.origin_millis) {
            Some(after) => self.origin.checked_add(Duration::from_millis(after)),
            None => self.origin.checked_sub(Duration::from_millis(self.origin_millis - shown)),
        }
    }

    /// A deadline as it is stored; `None` is never.
    pub(super) fn to_stored(self, deadline: Option<Instant>) -> u64 {
        deadline.map_or(NEVER, |deadline| self.at(deadline).max(1))
    }

    /// The deadline that was stored like this. One beyond the range of the system's clock counts as none.
    pub(super) fn instant_of(self, stored: u64) -> Option<Instant> {
        if stored == NEVER { None } else { self.instant(stored) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
