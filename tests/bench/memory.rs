//! Resident memory: after the registrations have come in, under polls, and with readers that have stopped reading.

use crate::Bench;
use crate::connection::{Connection, poll};
use crate::load;
use crate::polls::{POLLERS, WRITERS, WRITES_PER_SECOND, slice};
use crate::puts::Writes;
use crate::report::{Goal, Row, Unit};
use crate::server::{Memory, Server};

/// How many clients ask for everything and then read no further.
const STOPPED_READERS: usize = 32;

/// The goals for 100,000 and for 1,000,000 registrations, in bytes: after load and under polls.
const GOALS: [(usize, f64, f64); 2] = [(100_000, 100e6, 130e6), (1_000_000, 900e6, 900e6)];

/// To be called before anybody has polled.
pub(crate) fn after_load(bench: &mut Bench<'_>, server: &Server, empty: Memory) {
    let goals = GOALS.iter().find(|(count, ..)| *count == bench.count);
    let loaded = server.memory().now;
    let row = |bench: &Bench<'_>, what: &str, bytes: u64| Row::new(bench, what, Unit::Bytes, bytes as f64);
    let resident = row(bench, "resident after load", loaded);
    bench.report.add(goals.iter().fold(resident, |row, (_, idle, _)| row.goal(Goal::AtMost(*idle))));
    let each = (loaded.saturating_sub(empty.now)) / bench.count as u64;
    let per_registration = row(bench, "per registration", each);
    bench.report.add(per_registration);

    server.forget_peak();
    let request = poll("/discover");
    let polls = || load::run(server.target(), POLLERS, slice(bench.count), || request.as_slice());
    polls();
    let peak = row(bench, "peak under polls", server.memory().peak);
    bench.report.add(goals.iter().fold(peak, |row, (_, _, peak)| row.goal(Goal::AtMost(*peak))));

    let writes = Writes::changes(bench.count);
    load::beside(&[server.address()], WRITERS, WRITES_PER_SECOND, || writes.next(), polls);
    let peak = row(bench, "peak under polls, 500 changes/s", server.memory().peak);
    bench.report.add(peak);

    let mut readers: Vec<Connection> = (0..STOPPED_READERS).map(|_| Connection::open(server.address())).collect();
    for reader in &mut readers {
        reader.begin(&request);
    }
    let stopped = row(bench, &format!("with {STOPPED_READERS} stopped readers"), server.memory().now);
    bench.report.add(stopped);
}
