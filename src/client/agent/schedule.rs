//! The schedule: which registrations there must be, the state of each, and the task that is due next.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::memory::Wanted;
use crate::client::Entry;
use crate::logging::News;
use crate::registration::{TargetId, Ttl};

/// Time since the boot, including sleep: neither a step of the wall clock nor a suspended machine makes a renewal late.
pub(super) type Time = Duration;

pub(super) fn now() -> Time {
    // Every Linux since 2.6.39 has this clock.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// The time between two renewals of a registration that lives for ever: they restore it if the server has lost it.
const FOREVER_RENEWED: Duration = Duration::from_secs(2 * 3600);

/// The time between two renewals if the server does not say how long registrations live.
pub(super) const UNKNOWN_RENEWED: Duration = Duration::from_secs(5 * 60);

/// Renewals per lifetime.
const RENEWALS: u32 = 3;

/// By which part of the interval a renewal may be earlier, so that hosts that started together do not stay together.
const EARLIER_MOST: f64 = 0.15;

/// The longest pause after the token was not accepted.
const UNAUTHORISED_RETRY: Duration = Duration::from_secs(60);

/// The first and the longest pause after a refusal; each is twice as long as the one before. For a registration that
/// was accepted before, no pause is longer than the time between two renewals.
const REFUSED_RETRY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// The first and the longest pause before an exporter is asked again; each is twice as long as the one before.
const EXPORTER_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Wait,
    Put,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its exporter has not answered yet.
    Waiting { pause: Duration },
    /// It must be registered or renewed.
    Registering,
    /// An earlier agent registered it, and no file has been read yet that might hold it.
    Remembered,
    /// Its file is gone: it must be deleted.
    Leaving,
}

#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) wanted: Wanted,
    state: State,
    due: Time,
    /// Whether the server has, or may have, it.
    attempted: bool,
    /// Whether the server may ever have accepted it, and so may let it expire.
    accepted: bool,
    /// Whether the server has it as the file says.
    pub(super) registered: bool,
    /// How often it was refused in a row.
    refusals: u32,
    /// The last report about it.
    told: News,
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    held: BTreeMap<TargetId, Scheduled>,
}

/// The longest time between two renewals, by the lifetime in the entry's file, or else the server's default, if known.
pub(super) fn interval(entry: &Entry, default: Option<Ttl>) -> Duration {
    match entry.ttl_seconds.map(Ttl::from_seconds).or(default).map(Ttl::duration) {
        Some(Some(lifetime)) => lifetime / RENEWALS,
        Some(None) => FOREVER_RENEWED,
        None => UNKNOWN_RENEWED,
    }
}

impl Scheduled {
    fn new(wanted: Wanted, state: State, due: Time) -> Scheduled {
        let told = News::default();
        Scheduled { wanted, state, due, attempted: false, accepted: false, registered: false, refusals: 0, told }
    }
}

impl Schedule {
    /// Adds the registrations of an earlier agent, which are deleted once no file holds them.
    pub(super) fn remember(&mut self, registered: BTreeMap<TargetId, Wanted>, now: Time) {
        for (id, wanted) in registered {
            let held = self.held.entry(id).or_insert_with(|| Scheduled::new(wanted, State::Remembered, now));
            (held.attempted, held.accepted) = (true, true);
        }
    }

    /// Makes the schedule hold these registrations. New ones wait for their exporters, if so configured.
    pub(super) fn update(&mut self, wanted: BTreeMap<TargetId, Wanted>, wait_for_exporters: bool, now: Time) {
        for (id, held) in &mut self.held {
            if !wanted.contains_key(id) && held.state != State::Leaving {
                (held.state, held.due, held.refusals) = (State::Leaving, now, 0);
                held.told.is_over();
            }
        }
        // A registration that was never sent needs no deletion.
        self.held.retain(|_, held| held.state != State::Leaving || held.attempted);
        let waiting = State::Waiting { pause: EXPORTER_RETRY.0 };
        let first = if wait_for_exporters { waiting } else { State::Registering };
        for (id, wanted) in wanted {
            match self.held.get_mut(&id) {
                Some(held) if held.state == State::Remembered => {
                    (held.wanted, held.state, held.due) = (wanted, first, now);
                }
                Some(held) if held.wanted.entry == wanted.entry && held.state != State::Leaving => held.wanted = wanted,
                Some(held) => {
                    held.wanted = wanted;
                    (held.registered, held.refusals) = (false, 0);
                    held.told.is_over();
                    if !matches!(held.state, State::Waiting { .. }) {
                        (held.state, held.due) = (State::Registering, now);
                    }
                }
                None => drop(self.held.insert(id, Scheduled::new(wanted, first, now))),
            }
        }
    }

    /// The task that is due first, and when. Exporters are asked after everything else that is due.
    pub(super) fn next(&self, now: Time) -> Option<(Time, TargetId, Task)> {
        let tasks = self.held.iter().filter_map(|(id, held)| Some((held.due, *id, held.task()?)));
        tasks.min_by_key(|(due, _, task)| (*due > now, *task == Task::Wait, *due))
    }

    pub(super) fn get(&self, id: TargetId) -> Option<&Scheduled> {
        self.held.get(&id)
    }

    /// The server now has the registration as its file says.
    pub(super) fn is_registered(&mut self, id: TargetId, interval: Duration, now: Time) {
        let Some(held) = self.held.get_mut(&id) else { return };
        // The first renewal comes at a random time, so that those of hosts that start or change together are spread.
        let share = if held.registered { 1.0 - EARLIER_MOST * fastrand::f64() } else { 1.0 - 0.9 * fastrand::f64() };
        held.due = now + interval.mul_f64(share);
        (held.attempted, held.accepted, held.registered, held.refusals) = (true, true, true, 0);
        held.told.is_over();
    }

    /// The server refused the registration. It is always retried: the server may be wrong, or be corrected.
    pub(super) fn is_refused(&mut self, id: TargetId, interval: Duration, now: Time) {
        let (first, longest) = REFUSED_RETRY;
        if let Some(held) = self.held.get_mut(&id) {
            let pause = first.saturating_mul(2_u32.saturating_pow(held.refusals)).min(longest);
            held.refusals = held.refusals.saturating_add(1);
            held.is_tried_again_after(pause, interval, now);
        }
    }

    /// The token is not sufficient for the registration.
    pub(super) fn is_unauthorised(&mut self, id: TargetId, interval: Duration, now: Time) {
        if let Some(held) = self.held.get_mut(&id) {
            held.is_tried_again_after(UNAUTHORISED_RETRY, interval, now);
        }
    }

    /// Nobody knows whether the server has it. Others are tried before it is retried.
    pub(super) fn is_unknown(&mut self, id: TargetId, retry: Time) {
        if let Some(held) = self.held.get_mut(&id) {
            (held.attempted, held.due) = (true, retry);
        }
    }

    pub(super) fn is_gone(&mut self, id: TargetId) {
        self.held.remove(&id);
    }

    /// Its exporter has answered, or it was registered before: it never waits again.
    pub(super) fn is_answered(&mut self, id: TargetId, now: Time) {
        if let Some(held) = self.held.get_mut(&id) {
            (held.state, held.due) = (State::Registering, now);
        }
    }

    pub(super) fn is_silent(&mut self, id: TargetId, now: Time) {
        if let Some(held) = self.held.get_mut(&id)
            && let State::Waiting { pause } = &mut held.state
        {
            held.due = now + *pause;
            *pause = (*pause * 2).min(EXPORTER_RETRY.1);
        }
    }

    /// Whether this must be reported, because it was not the last report.
    pub(super) fn is_news(&mut self, id: TargetId, text: &str) -> bool {
        let Some(held) = self.held.get_mut(&id) else { return false };
        held.told.is(text)
    }

    /// Retries everything that was refused, for whatever reason.
    pub(super) fn retry_refused(&mut self, now: Time) {
        for held in self.held.values_mut().filter(|held| !held.registered) {
            (held.due, held.refusals) = (held.due.min(now), 0);
        }
    }

    /// The shortest time between two renewals, by what is known of the server's default.
    pub(super) fn shortest_interval(&self, default: Option<Ttl>) -> Option<Duration> {
        self.held.values().map(|held| interval(&held.wanted.entry, default)).min()
    }

    /// The registrations that the server has, or may have, and that would be left behind.
    pub(super) fn left_behind(&self) -> Vec<TargetId> {
        let is_left = |held: &Scheduled| held.attempted && held.state != State::Remembered;
        self.held.iter().filter(|(_, held)| is_left(held)).map(|(id, _)| *id).collect()
    }

    /// How many registrations there are, and how many of these are registered.
    pub(super) fn counts(&self) -> (usize, usize) {
        let known = self.held.values().filter(|held| held.state != State::Remembered);
        (known.clone().count(), known.filter(|held| held.registered).count())
    }
}

impl Scheduled {
    /// A registration that the server may let expire is retried as often as it would be renewed.
    fn is_tried_again_after(&mut self, pause: Duration, interval: Duration, now: Time) {
        let pause = if self.accepted { pause.min(interval) } else { pause };
        self.due = now + pause.mul_f64(1.0 - EARLIER_MOST * fastrand::f64());
        self.registered = false;
    }

    fn task(&self) -> Option<Task> {
        match self.state {
            State::Waiting { .. } => Some(Task::Wait),
            State::Registering => Some(Task::Put),
            State::Leaving => Some(Task::Delete),
            State::Remembered => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(targets: &str) -> BTreeMap<TargetId, Wanted> {
        let entry = Entry { targets: vec![targets.to_owned()], ttl_seconds: Some(21_600), ..Entry::default() };
        BTreeMap::from([(entry.id(), Wanted { entry, file: "a.json".to_owned() })])
    }

    #[test]
    fn no_sequence_of_answers_ends_renewals() {
        let mut random = fastrand::Rng::with_seed(19);
        let interval = Duration::from_secs(7200);
        for _ in 0..500 {
            let mut schedule = Schedule::default();
            let mut now = Duration::from_secs(1000);
            schedule.update(wanted("a:1"), false, now);
            let mut accepted = false;
            for _ in 0..random.usize(1..60) {
                let Some((due, id, Task::Put)) = schedule.next(now) else { panic!("nothing is to be done any more") };
                assert!(due <= now + REFUSED_RETRY.1 || accepted && due <= now + interval, "{due:?} at {now:?}");
                now = now.max(due);
                match random.u8(..5) {
                    0 => {
                        schedule.is_registered(id, interval, now);
                        accepted = true;
                    }
                    1 => schedule.is_unauthorised(id, interval, now),
                    2 => schedule.is_unknown(id, now + Duration::from_secs(30)),
                    _ => schedule.is_refused(id, interval, now),
                }
                if random.u8(..10) == 0 {
                    schedule.retry_refused(now);
                }
            }
        }
    }

    #[test]
    fn what_may_expire_is_tried_as_often_as_it_would_be_renewed() {
        let now = Duration::from_secs(1000);
        let interval = Duration::from_secs(2);
        let mut schedule = Schedule::default();
        schedule.update(wanted("a:1"), false, now);
        let id = schedule.next(now).unwrap().1;
        schedule.is_registered(id, interval, now);
        for _ in 0..100 {
            schedule.is_refused(id, interval, now);
            assert!(schedule.next(now).unwrap().0 <= now + Duration::from_secs(2));
        }
    }

    #[test]
    fn what_an_agent_before_has_registered_may_expire_as_well() {
        let now = Duration::from_secs(1000);
        let interval = Duration::from_secs(10);
        let mut schedule = Schedule::default();
        schedule.remember(wanted("a:1"), now);
        schedule.update(wanted("a:1"), false, now);
        let id = schedule.next(now).unwrap().1;
        let refused: [fn(&mut Schedule, TargetId, Duration, Time); 2] =
            [Schedule::is_refused, Schedule::is_unauthorised];
        for refuse in refused {
            refuse(&mut schedule, id, interval, now);
            assert!(schedule.next(now).unwrap().0 <= now + interval);
        }
    }

    #[test]
    fn what_is_remembered_is_neither_deleted_nor_renewed_before_files_are_seen() {
        let now = Duration::from_secs(1000);
        let mut schedule = Schedule::default();
        schedule.remember(wanted("a:1"), now);
        assert_eq!((schedule.next(now), schedule.counts()), (None, (0, 0)));
        assert!(schedule.left_behind().is_empty());
        schedule.update(wanted("b:1"), false, now);
        let tasks: Vec<Task> = schedule.held.values().filter_map(Scheduled::task).collect();
        assert!(tasks.contains(&Task::Delete) && tasks.contains(&Task::Put), "{tasks:?}");
    }
}
