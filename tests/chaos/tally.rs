//! What happened in a run: work that was done, and what is never to happen.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;

/// How much of what went wrong is told in full.
const TOLD_MAX: usize = 20;

/// What is never to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// A list that is no list, or in which something is missing that nobody touches.
    List,
    /// Two lists, or a list and the store, that do not agree at a quiet point.
    Difference,
    /// An owner who renews at least twice per lifetime is not listed.
    LiveOwnerDropped,
    /// What was confirmed is not shown, or what was deleted is.
    AcknowledgedLost,
    /// What nobody renews is listed for longer than by the rule.
    DeadStayed,
}

impl Wrong {
    const ALL: [(Wrong, &str); 5] = [
        (Wrong::List, "wrong lists"),
        (Wrong::Difference, "differences"),
        (Wrong::LiveOwnerDropped, "live owners dropped"),
        (Wrong::AcknowledgedLost, "acknowledged lost"),
        (Wrong::DeadStayed, "dead that stayed"),
    ];
}

/// Work that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Poll,
    Confirmed,
    Refused,
    Fault,
    /// A user of ours was late, because the machine was busy; what follows from that is nobody's fault.
    Late,
}

/// Counts, from several threads.
#[derive(Debug)]
pub(crate) struct Tally {
    began: Instant,
    work: Mutex<BTreeMap<Work, usize>>,
    wrong: Mutex<Vec<(Wrong, String)>>,
    /// What was done to the servers, told when something was wrong.
    faults: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally { began: Instant::now(), work: Mutex::default(), wrong: Mutex::default(), faults: Mutex::default() }
    }

    /// The time since the beginning, for people.
    pub(crate) fn at(&self) -> String {
        format!("{:.3} s", self.began.elapsed().as_secs_f64())
    }

    /// Takes note of something that is done to the servers.
    pub(crate) fn fault(&self, what: &str) {
        self.count(Work::Fault);
        self.faults.lock().push(format!("{}: {what}", self.at()));
    }

    /// Counts a piece of work.
    pub(crate) fn count(&self, work: Work) {
        *self.work.lock().entry(work).or_default() += 1;
    }

    /// Takes note of something that should not have happened.
    pub(crate) fn note(&self, wrong: Wrong, what: String) {
        self.wrong.lock().push((wrong, format!("{}: {what}", self.at())));
    }

    /// Prints the figures, and fails when anything was wrong or little was done.
    #[track_caller]
    pub(crate) fn conclude(&self, name: &str, seed: u64, seconds: u64) {
        let count = |work| self.work.lock().get(&work).copied().unwrap_or(0);
        let [polls, confirmed, refused, faults, late] =
            [Work::Poll, Work::Confirmed, Work::Refused, Work::Fault, Work::Late].map(count);
        let wrong = self.wrong.lock();
        let figures = Wrong::ALL
            .map(|(kind, text)| format!("{} {text}", wrong.iter().filter(|(found, _)| *found == kind).count()));
        println!(
            "{name}, seed {seed}, {seconds} s: {faults} faults, {polls} polls, {confirmed} writes confirmed, \
             {refused} refused, {late} late; {}",
            figures.join(", ")
        );
        let told: Vec<_> = wrong.iter().take(TOLD_MAX).map(|(kind, what)| format!("{kind:?}: {what}")).collect();
        let what = self.faults.lock().join("\n");
        assert!(told.is_empty(), "seed {seed}:\n{}\n\nWhat was done:\n{}", told.join("\n"), what);
        let least = usize::try_from(seconds).unwrap() * 5;
        assert!(confirmed > least && polls > least && faults > 0, "there was little work");
    }
}
