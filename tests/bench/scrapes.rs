//! `/metrics`: how long it takes, and whether polls have to wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::connection::{Connection, poll};
use crate::limits::RawSender;
use crate::load::{self, Load};
use crate::polls::slice;
use crate::registrations::FIXED_GROUP;
use crate::report::{Goal, Row, Unit};
use crate::server::Server;
use crate::{Bench, ROUNDS};

/// How long a scrape of 100,000 registrations may take, in seconds.
const GOAL_SECONDS: f64 = 0.1;

pub(crate) fn measure(bench: &mut Bench<'_>, server: &Server) {
    let request = poll("/metrics");
    let (status, response) = Connection::open(server.address()).fetch(&request);
    assert_eq!(status, 200, "/metrics");
    let raw = RawSender::start(&response);
    let (mut rounds, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        limits.push(load::run(raw.target(), 1, slice(bench.count), || request.as_slice()));
        rounds.push(load::run(server.target(), 1, slice(bench.count), || request.as_slice()));
    }
    let typical = |rounds: &[Load]| Load::median(rounds).quantile(0.5);
    let row = Row::new(bench, "/metrics", Unit::Seconds, typical(&rounds))
        .limit(typical(&limits))
        .processor(Load::median(&rounds).processor);
    bench.report.add(if bench.count <= 100_000 { row.goal(Goal::AtMost(GOAL_SECONDS)) } else { row });
    measure_beside(bench, server);
}

/// Small polls while `/metrics` is read without a pause; the limit is their rate without that.
fn measure_beside(bench: &mut Bench<'_>, server: &Server) {
    let request = poll(&format!("/group?name={FIXED_GROUP}"));
    let polls = || load::run(server.target(), 1, slice(bench.count), || request.as_slice());
    let (mut rounds, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        limits.push(polls());
        let done = AtomicBool::new(false);
        rounds.push(thread::scope(|scope| {
            scope.spawn(|| {
                let mut connection = Connection::open(server.address());
                while !done.load(Ordering::Relaxed) {
                    connection.exchange(&poll("/metrics")).expect("/metrics does not fail");
                }
            });
            let load = polls();
            done.store(true, Ordering::Relaxed);
            load
        }));
    }
    let row = Row::of_load(bench, "/group of 100, 1 connection, beside /metrics", &rounds);
    bench.report.add(row.limit_of_load(&rounds, &limits));
}
