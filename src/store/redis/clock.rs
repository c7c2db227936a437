//! The clock of Redis, by which lifetimes end there, and whether it was set forward. Pure.

use std::time::{Duration, Instant, SystemTime};

use ::redis::ConnectionAddr;

use super::connect::field;
use super::session::Contact;
use crate::store::HEARTBEAT;

/// How far a clock has to be set for that to be known: more than the time that an answer takes.
const STEP_MIN: Duration = Duration::from_secs(3);

/// What the clock of Redis showed, and when that was here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Since the epoch.
    redis: Duration,
    here: Here,
}

/// A moment by the clocks of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here {
    /// By the wall clock, since the epoch.
    wall: Duration,
    contact: Contact,
}

impl Here {
    pub(super) fn now() -> Here {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Here { wall, contact: Contact::now() }
    }
}

impl Reading {
    /// From the answer to INFO, which was asked for at this moment; `None` when it has taken too long, or does not say it.
    pub(super) fn read(info: &str, here: Here) -> Option<Reading> {
        let here = Some(here).filter(|here| here.contact.instant.elapsed() < STEP_MIN / 2)?;
        let redis = field(info, "server_time_usec").parse().ok().map(Duration::from_micros)?;
        Some(Reading { redis, here })
    }

    /// How far the clock of Redis was set forward since an earlier reading. A machine that stood still with all of its clocks
    /// sees the same of every other one, and then Redis was right: so this is believed only where the clock of Redis was
    /// behind before, and that of this machine was not set meanwhile, unless it is the same clock.
    pub(super) fn set_forward_since(self, earlier: Reading, is_same_machine: bool) -> Option<Duration> {
        let passed = self.here.contact.since(earlier.here.contact);
        let step = self.redis.checked_sub(earlier.redis)?.checked_sub(passed)?;
        let passed_here = self.here.wall.saturating_sub(earlier.here.wall);
        let is_steady = is_same_machine || passed_here.abs_diff(passed) < STEP_MIN;
        let is_ahead = self.redis > self.here.wall + STEP_MIN;
        (step >= STEP_MIN && is_steady && !is_ahead).then_some(step)
    }
}

/// The clock of Redis, as far as it is known.
pub(super) struct Clock {
    /// What it showed last, before it was set; `None` when it has not said it yet.
    before: Option<Reading>,
    /// What it showed when it was seen to be set forward, until all deadlines are back.
    noticed: Option<Reading>,
    is_same_machine: bool,
    asked_at: Option<Instant>,
}

impl Clock {
    pub(super) fn new(address: &ConnectionAddr) -> Clock {
        Clock { before: None, noticed: None, is_same_machine: is_same_machine(address), asked_at: None }
    }

    /// Whether it is to be read now, as it is every [`HEARTBEAT`].
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.asked_at.is_none_or(|asked_at| asked_at + HEARTBEAT <= now);
        if is_due {
            self.asked_at = Some(now);
        }
        is_due
    }

    /// How far it was set forward, if it was.
    pub(super) fn step(&mut self, now: Reading) -> Option<Duration> {
        let step = self.before.and_then(|before| now.set_forward_since(before, self.is_same_machine));
        if step.is_none() && self.noticed.is_none() {
            self.before = Some(now);
        }
        step
    }

    /// Deadlines are moved back. `true` when this has just begun.
    pub(super) fn notice(&mut self, reading: Reading) -> bool {
        self.noticed.replace(reading).is_none()
    }

    /// All deadlines are where they were.
    pub(super) fn settled(&mut self) {
        self.before = self.noticed.take().or(self.before);
    }
}

/// Whether a server there has the clock of this machine, as far as the address tells.
fn is_same_machine(address: &ConnectionAddr) -> bool {
    match address {
        ConnectionAddr::Unix(_) => true,
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A reading after this time by the monotonic clock, by the wall clock, and by the clock of Redis.
    fn after(first: Reading, passed: Duration, wall: Duration, redis: Duration) -> Reading {
        let here = Here { wall: first.here.wall + wall, contact: first.here.contact.later(passed) };
        Reading { redis: first.redis + redis, here }
    }

    fn first(behind: Duration) -> Reading {
        let here = Here::now();
        Reading { redis: here.wall - behind, here }
    }

    #[test]
    fn a_clock_that_was_behind_and_is_set_right_is_seen() {
        let (right, late) = (first(Duration::ZERO), first(HOUR));
        let step =
            |first, passed, wall, redis, is_same| after(first, passed, wall, redis).set_forward_since(first, is_same);
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE + HOUR, false), Some(HOUR));
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE + STEP_MIN, false), Some(STEP_MIN), "also a part of the way");
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE + STEP_MIN / 2, false), None, "an answer may take as long");
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE, false), None);
        assert_eq!(step(right, MINUTE, MINUTE, Duration::ZERO, false), None, "it is set back");
        assert_eq!(step(right, MINUTE, MINUTE, MINUTE + HOUR, false), None, "or this machine has stood still");
        assert_eq!(step(right, MINUTE, MINUTE + HOUR, MINUTE + HOUR, false), None, "and was told so");
        assert_eq!(step(right, MINUTE, MINUTE + HOUR, MINUTE + HOUR, true), Some(HOUR), "they have one clock");
        assert_eq!(step(right, HOUR, HOUR, HOUR, true), None);
    }
}
