//! Registrations: the first ones, renewals, and changes, beside what the store alone could keep.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::connection::put;
use crate::limits::synced_records;
use crate::load::{self, Load};
use crate::polls::slice;
use crate::redis::Redis;
use crate::registrations::{body, document};
use crate::report::{Goal, Row, Unit};
use crate::server::{Server, Setup};
use crate::{Bench, ROUNDS};

/// How many connections register at once when it is measured.
const OWNERS: usize = 16;

/// How many connections register at once when the registrations are only to be there.
const LOADERS: usize = 64;

/// The most requests that are made in advance for one measurement.
const PREPARED_MAX: usize = 10_000;

/// How many SETs `redis-benchmark` is asked for in a round: about a second's.
const SETS: usize = 60_000;

/// Requests prepared in advance, handed out one after the other and over again.
pub(crate) struct Writes {
    requests: Vec<Vec<u8>>,
    sent: AtomicUsize,
}

impl Writes {
    /// Registrations as they were first sent.
    pub(crate) fn renewals(count: usize) -> Writes {
        Writes::new(0, count, &[0])
    }

    /// Registrations of which each differs in one label from what was last sent; none is among the renewals.
    pub(crate) fn changes(count: usize) -> Writes {
        Writes::new(count / 2, count, &[1, 2])
    }

    fn new(from: usize, count: usize, versions: &[u32]) -> Writes {
        let several = PREPARED_MAX.min(count / 2);
        let numbers = (from..from + several).map(|at| spread(at, count));
        let requests = versions.iter().flat_map(|version| {
            let version = *version;
            numbers.clone().map(move |number| put(&body(number, version)))
        });
        Writes { requests: requests.collect(), sent: AtomicUsize::new(0) }
    }

    pub(crate) fn next(&self) -> &[u8] {
        &self.requests[self.sent.fetch_add(1, Ordering::Relaxed) % self.requests.len()]
    }
}

/// The numbers below `count` in another order, in which neighbours are far from each other.
pub(crate) fn spread(at: usize, count: usize) -> usize {
    // The factor has no divisor in common with the counts, so that no number comes twice.
    at * 7919 % count
}

/// Registers everything for the first time.
pub(crate) fn load(bench: &mut Bench<'_>, server: &Server) {
    eprintln!("registering {}", bench.count);
    let rate = register(server, bench.count);
    let row = Row::new(bench, format!("PUT, the first of each, {LOADERS} connections"), Unit::PerSecond, rate);
    bench.report.add(row);
}

/// Registers so many, and returns how many it were in a second.
pub(crate) fn register(server: &Server, count: usize) -> f64 {
    load::each(&server.target(), LOADERS, count, |number| put(&body(number, 0)))
}

/// Beside writers that wait for the same disk.
pub(crate) fn measure_embedded(bench: &mut Bench<'_>, server: &Server, setup: &Setup) {
    let (directory, bytes, duration) = (setup.directory(), document_bytes(), slice(bench.count));
    let limit = || synced_records(directory, OWNERS, bytes, duration);
    measure(bench, server, limit, &[]);
}

/// Beside `redis-benchmark` on a Redis of its own, because the server hears of every key that is set in its Redis.
pub(crate) fn measure_redis(bench: &mut Bench<'_>, server: &Server) {
    let redis = Redis::start().expect("Redis could be started before");
    let limit = || {
        let (rate, p99) = redis.benchmark(OWNERS, document_bytes(), SETS);
        Load { rate, latencies: vec![p99], ..Load::default() }
    };
    measure(bench, server, limit, &[Goal::Share(0.35), Goal::P99(0.003)]);
}

fn measure(bench: &mut Bench<'_>, server: &Server, limit: impl Fn() -> Load, goals: &[Goal]) {
    let kinds = [("PUT, renewals", Writes::renewals(bench.count)), ("PUT, changes", Writes::changes(bench.count))];
    for (what, writes) in &kinds {
        let (mut rounds, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            limits.push(limit());
            rounds.push(load::run(server.target(), OWNERS, slice(bench.count), || writes.next()));
        }
        let row = Row::of_load(bench, *what, &rounds).limit_of_load(&rounds, &limits);
        bench.report.add(goals.iter().fold(row, |row, goal| row.goal(*goal)));
    }
}

/// The usual size of a stored document.
fn document_bytes() -> usize {
    const SAMPLE: usize = 1_000;
    (0..SAMPLE).map(|number| document(number).1.len()).sum::<usize>() / SAMPLE
}
