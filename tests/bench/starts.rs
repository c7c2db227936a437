//! From the start of the process to its first answer that it is ready.

use crate::load::median;
use crate::report::{Goal, Row, Unit};
use crate::server::{Setup, Store, Took};
use crate::{Bench, ROUNDS};

pub(crate) fn measure(bench: &mut Bench<'_>, setup: &Setup) {
    let took: Vec<Took> = (0..ROUNDS)
        .map(|_| {
            let server = setup.start();
            let took = server.took_to_start();
            server.end();
            took
        })
        .collect();
    let row = Row::new(bench, "start to ready", Unit::Seconds, median(took.iter().map(|took| took.time.as_secs_f64())))
        .processor(median(took.iter().map(|took| took.processor)));
    let goal = match (bench.store, bench.count) {
        (Store::Embedded, 0..=100_000) => 0.5,
        (Store::Redis, 0..=100_000) => 0.8,
        (Store::Embedded, _) => 5.0,
        (Store::Redis, _) => 8.0,
    };
    bench.report.add(row.goal(Goal::AtMost(goal)));
}
