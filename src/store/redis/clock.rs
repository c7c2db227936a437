//! The clock of Redis, by which lifetimes end there, and whether somebody has set it. Pure.

use std::time::{Duration, Instant, SystemTime};

use ::redis::ConnectionAddr;

use super::connect::field;
use super::session::Contact;
use crate::store::{Kept, Settlement};

/// The smallest step of a clock that is noticed: more than the time that an answer takes.
const STEP_MIN: Duration = Duration::from_secs(3);

/// Two correct clocks may drift apart by this part of the time. More adds up to a step.
const DRIFT: u32 = 1000;

/// The precision of a measured step: an answer takes its time.
const PRECISION: Duration = Duration::from_secs(1);

/// What the clock of Redis showed, and the local time of that.
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
    /// Reads the answer to INFO, which was asked for at this moment; `None` if it took too long or lacks the time.
    pub(super) fn read(info: &str, here: Here) -> Option<Reading> {
        let here = Some(here).filter(|here| Contact::now().since(here.contact) < STEP_MIN / 2)?;
        let redis = field(info, "server_time_usec").parse().ok().map(Duration::from_micros)?;
        Some(Reading { redis, here })
    }

    /// What the clock would show now by an earlier reading if nobody had set it, and how much it may have drifted.
    fn expected_since(self, earlier: Reading) -> Option<(Duration, Duration)> {
        let passed = self.here.contact.since(earlier.here.contact);
        Some((earlier.redis.checked_add(passed)?, passed / DRIFT))
    }

    /// How far the clock of Redis was set since an earlier reading, if it was.
    fn step_since(self, earlier: Reading) -> Option<Step> {
        let (expected, drift) = self.expected_since(earlier)?;
        let (by, is_back) = (self.redis.abs_diff(expected), self.redis < expected);
        (by >= STEP_MIN + drift).then_some(Step { by, is_back })
    }

    /// Whether the clock of Redis itself was set forward. A machine that stood still with all of its clocks sees every
    /// other clock jump, although Redis was right. So this is believed only if the clock of Redis was behind before,
    /// and that of this machine was not set meanwhile, unless it is the same clock.
    fn is_believed_since(self, earlier: Reading, is_same_machine: bool) -> bool {
        let passed = self.here.contact.since(earlier.here.contact);
        let passed_here = self.here.wall.saturating_sub(earlier.here.wall);
        let is_steady = is_same_machine || passed_here.abs_diff(passed) < STEP_MIN;
        is_steady && self.redis <= self.here.wall + STEP_MIN
    }

    /// This reading, corrected to one that has only drifted from an earlier one.
    fn drifted_from(self, earlier: Reading) -> Reading {
        let redis = self
            .expected_since(earlier)
            .map(|(expected, drift)| self.redis.clamp(expected.saturating_sub(drift), expected.saturating_add(drift)));
        Reading { redis: redis.unwrap_or(self.redis), ..self }
    }
}

/// The distance and direction by which a clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) by: Duration,
    pub(super) is_back: bool,
}

impl Step {
    /// The deadline that Redis now has in place of this one; rather too early than too late.
    pub(super) fn moved(self, deadline: Instant) -> Instant {
        let moved =
            if self.is_back { deadline.checked_add(self.by) } else { deadline.checked_sub(self.by + PRECISION) };
        moved.unwrap_or(deadline)
    }

    /// Whether a registration with this deadline is gone from Redis at this time only because of the step.
    pub(super) fn ends_early(self, deadline: Instant, now: Instant) -> bool {
        !self.is_back && deadline > now + PRECISION && self.moved(deadline) <= now
    }

    /// Whether Redis has this deadline, and not the right one, because of the step. An earlier one may also come from a
    /// renewal just before it.
    pub(super) fn explains(self, deadline: Instant, right: Instant) -> bool {
        let moved = self.moved(right);
        let difference = deadline.max(moved) - deadline.min(moved);
        if self.is_back { difference <= PRECISION * 2 } else { deadline < right }
    }

    /// These registrations, with the deadlines that they have in Redis, except those that have just expired there
    /// anyway.
    pub(super) fn in_redis(self, mut all: Vec<Kept>, now: Instant) -> Vec<Kept> {
        all.retain(|kept| self.is_back || kept.deadline > Some(now + PRECISION));
        all.iter_mut().for_each(|kept| kept.moved_from = kept.moved_from.or(kept.deadline).map(|at| self.moved(at)));
        all
    }

    fn differs(self, other: Step) -> bool {
        let by = if self.is_back == other.is_back { self.by.abs_diff(other.by) } else { self.by + other.by };
        by >= STEP_MIN
    }
}

/// What is known of the clock of Redis. It outlives sessions: a new master, or one that has restarted, goes on with the
/// same deadlines, and perhaps with another clock.
#[derive(Default)]
pub(super) struct Clock {
    /// What it last showed while all deadlines were right; `None` before the first reading.
    right: Option<Reading>,
    /// The step since then and the reading that showed it, until all deadlines are right again.
    step: Option<(Step, Reading)>,
    is_same_machine: bool,
}

impl Clock {
    /// A session with the server at this address begins.
    pub(super) fn begin(&mut self, address: &ConnectionAddr) {
        (self.step, self.is_same_machine) = (None, is_same_machine(address));
    }

    /// The step that is not corrected yet.
    pub(super) fn step(&self) -> Option<Step> {
        self.step.map(|(step, _)| step)
    }

    /// Takes note of a reading. Returns the step, if it is news.
    pub(super) fn note(&mut self, now: Reading) -> Option<Step> {
        let right = *self.right.get_or_insert(now);
        let Some(step) = now.step_since(right) else {
            self.right = Some(if self.step.is_none() { now.drifted_from(right) } else { right });
            return None;
        };
        if !step.is_back && !now.is_believed_since(right, self.is_same_machine) {
            (self.right, self.step) = (Some(now), None);
            return None;
        }
        let is_news = self.step.is_none_or(|(known, _)| known.differs(step));
        if is_news {
            self.step = Some((step, now));
        }
        is_news.then_some(step)
    }

    /// A part of a settlement, with the deadlines that Redis has.
    pub(super) fn in_redis(&self, mut settlement: Settlement) -> Settlement {
        if let Some(step) = self.step() {
            settlement.moved.iter_mut().for_each(|kept| kept.moved_from = kept.moved_from.map(|at| step.moved(at)));
        }
        settlement
    }

    /// All deadlines are where they were.
    pub(super) fn settled(&mut self) {
        self.right = self.step.take().map(|(_, at)| at).or(self.right);
    }
}

/// Whether a server at this address has the clock of this machine, as far as the address tells.
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
        let step = |first, passed, wall, redis, is_same_machine| {
            let mut clock = Clock { right: Some(first), step: None, is_same_machine };
            clock.note(after(first, passed, wall, redis)).map(|step| (step.by, step.is_back))
        };
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE + HOUR, false), Some((HOUR, false)));
        let short = STEP_MIN + MINUTE / DRIFT;
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE + short, false), Some((short, false)), "also a part of the way");
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE + STEP_MIN / 2, false), None, "an answer may take as long");
        assert_eq!(step(late, MINUTE, MINUTE, MINUTE, false), None);
        assert_eq!(step(right, MINUTE, MINUTE, Duration::ZERO, false), Some((MINUTE, true)), "it is set back");
        assert_eq!(step(right, MINUTE, MINUTE, MINUTE + HOUR, false), None, "or this machine has stood still");
        assert_eq!(step(right, MINUTE, MINUTE + HOUR, MINUTE + HOUR, false), None, "and was told so");
        assert_eq!(step(right, MINUTE, MINUTE + HOUR, MINUTE + HOUR, true), Some((HOUR, false)), "they have one clock");
        assert_eq!(step(right, HOUR, HOUR, HOUR, true), None);
    }

    #[test]
    fn small_steps_add_up_and_drift_does_not() {
        let second = Duration::from_secs(1);
        let steps = |by: Duration| {
            let (mut clock, mut last) = (Clock::default(), first(HOUR));
            let mut note = |_: &u32| {
                last = after(last, second, second, second + by);
                clock.note(last).inspect(|_| clock.settled()).is_some()
            };
            (0..100).filter(|n| note(n)).count()
        };
        assert_eq!(steps(Duration::from_millis(1)), 0);
        assert!(steps(second / 10) >= 2, "it gains ten seconds");
        assert!(steps(second) >= 20, "it gains a hundred");
    }

    #[test]
    fn what_a_step_does_to_deadlines_is_told_from_what_owners_do() {
        let now = Instant::now();
        let [forward, back] = [false, true].map(|is_back| Step { by: HOUR, is_back });
        assert!(forward.ends_early(now + MINUTE, now) && !back.ends_early(now + MINUTE, now));
        assert!(!forward.ends_early(now + 2 * HOUR, now), "it goes on");
        assert!(!forward.ends_early(now + PRECISION / 2, now), "it has expired");
        assert!(forward.explains(now + HOUR, now + 2 * HOUR) && !forward.explains(now + 3 * HOUR, now + 2 * HOUR));
        assert!(back.explains(now + 2 * HOUR, now + HOUR) && !back.explains(now + 3 * HOUR, now + HOUR));
    }
}
