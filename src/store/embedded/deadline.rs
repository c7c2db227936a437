//! When a document runs out, as it is written into the file: by the wall clock, so that time spent stopped counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::registration::Ttl;

/// Milliseconds since the Unix epoch; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline(u64);

impl Deadline {
    /// The end of a lifetime that begins `now`.
    pub(super) fn of(ttl: Ttl, now: SystemTime) -> Deadline {
        // A clock that stands at the epoch must not turn a lifetime into "never".
        Deadline(ttl.duration().map_or(0, |ttl| unix_millis(now).saturating_add(millis(ttl)).max(1)))
    }

    /// The deadline that was stored as this number.
    pub(super) fn from_stored(millis: u64) -> Deadline {
        Deadline(millis)
    }

    /// The number to store.
    pub(super) fn to_stored(self) -> u64 {
        self.0
    }

    /// Whether a document with this deadline has run out.
    pub(super) fn has_passed(self, now: SystemTime) -> bool {
        self.0 != 0 && self.0 <= unix_millis(now)
    }

    /// The rest of the lifetime, zero once it has passed; `None` is for ever.
    pub(super) fn rest(self, now: SystemTime) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_millis(self.0.saturating_sub(unix_millis(now))))
    }
}

fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
