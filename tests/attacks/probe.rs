//! The honest clients: they ask ten times a second, each time on a new connection, and want an answer at once.

use std::fmt;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::target::Target;

const INTERVAL: Duration = Duration::from_millis(100);

/// How long nine of ten answers may take, on a machine that has a turn for everybody, and how long the last may.
const LATENCY_USUAL_MAX: Duration = Duration::from_millis(250);
const LATENCY_MAX: Duration = Duration::from_secs(1);

/// So few answers tell nothing of what is usual.
const FEW: usize = 30;

/// How often a request and its answer have to wait until it is the turn of some thread, at either side.
pub(crate) const TURNS: u32 = 8;

/// How long the control sleeps at a time.
const CONTROL_SLEEP: Duration = Duration::from_millis(5);

/// A registration, and its renewals.
pub(crate) const PUT: &str = "PUT /target HTTP/1.1\r\nHost: a\r\nx-api-token: secret\r\nConnection: close\r\n\
     Content-Length: 64\r\n\r\n{\"static_config\":{\"targets\":[\"probe:1\"],\"target_group\":\"probe\"}}";

/// What honest clients ask.
const QUESTIONS: [&str; 3] = [
    "GET /healthcheck HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /discover HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    PUT,
];

/// How the probes were answered.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    sent: usize,
    answered: usize,
    /// How long each answer took; the shortest first.
    latencies: Vec<Duration>,
    /// How long a thread which did nothing but sleep had to wait for its turns, because the machine was busy; the
    /// shortest first.
    pub(crate) turns: Vec<Duration>,
    /// What came instead of an answer, for one of those that did not get one.
    failure: Option<String>,
}

impl Probes {
    /// Asks until told that it is over.
    pub(crate) fn send_until(target: &Target, over: &AtomicBool) -> Probes {
        thread::scope(|scope| {
            let control = scope.spawn(|| waits_for_turn(over));
            let ask = |question| move || Probes::ask_until(target, over, question);
            let asking: Vec<_> = QUESTIONS.into_iter().map(|question| scope.spawn(ask(question))).collect();
            let mut sum = Probes::default();
            for one in asking.into_iter().map(|asking| asking.join().expect("asking does not panic")) {
                sum.sent += one.sent;
                sum.answered += one.answered;
                sum.latencies.extend(one.latencies);
                sum.failure = sum.failure.or(one.failure);
            }
            sum.latencies.sort_unstable();
            sum.turns = control.join().expect("sleeping does not panic");
            sum
        })
    }

    fn ask_until(target: &Target, over: &AtomicBool, question: &str) -> Probes {
        let mut probes = Probes::default();
        while !over.load(Ordering::SeqCst) {
            let begun = Instant::now();
            probes.sent += 1;
            match ask(target, question) {
                Ok(answer) if is_complete(&answer) => probes.answered += 1,
                Ok(answer) => probes.failure = Some(answer.chars().take(1000).collect()),
                Err(error) => probes.failure = Some(error.to_string()),
            }
            probes.latencies.push(begun.elapsed());
            thread::sleep(INTERVAL.saturating_sub(begun.elapsed()));
        }
        probes
    }

    /// What nine of ten stay below, unless they are [`FEW`], and the longest.
    fn usual_and_worst(&self) -> [Duration; 2] {
        let count = self.latencies.len();
        let usual = self.latencies.get(count * 9 / 10).filter(|_| count >= FEW);
        [usual, self.latencies.last()].map(|latency| latency.copied().unwrap_or_default())
    }

    fn longest_turn(&self) -> Duration {
        self.turns.last().copied().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn check(&self, attack: &str) {
        assert_eq!(self.answered, self.sent, "{attack}: not every probe is answered, but {:?}", self.failure);
        let turns = TURNS * self.longest_turn();
        for (waited, allowed) in self.usual_and_worst().into_iter().zip([LATENCY_USUAL_MAX, LATENCY_MAX]) {
            let allowed = allowed + turns;
            assert!(waited <= allowed, "{attack}: probes waited for {waited:?}, longer than {allowed:?}");
        }
    }
}

/// What the machine alone does to latency, whoever is to blame for its being busy.
fn waits_for_turn(over: &AtomicBool) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        thread::sleep(CONTROL_SLEEP);
        waits.push(begun.elapsed().saturating_sub(CONTROL_SLEEP));
    }
    waits.sort_unstable();
    waits
}

fn ask(target: &Target, question: &str) -> std::io::Result<String> {
    let mut client = target.try_open()?;
    client.write_all(question.as_bytes())?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_complete(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    head.starts_with("HTTP/1.1 200 OK\r\n") && length == Some(body.len())
}

impl fmt::Display for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answered, sent, turn) = (self.answered, self.sent, self.longest_turn().as_millis());
        let [usual, worst] = self.usual_and_worst().map(|latency| latency.as_millis());
        write!(
            f,
            "{answered} of {sent} probes answered, 9 of 10 within {usual} ms, all within {worst} ms (turns up to {turn} ms)"
        )
    }
}
