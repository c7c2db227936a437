//! From the start of the process to its first answer that it is ready.

use crate::load::median;
use crate::report::{Goal, Row, Unit};
use crate::server::{Setup, Store};
use crate::{Bench, ROUNDS};

pub(crate) fn measure(bench: &mut Bench<'_>, setup: &Setup) {
    let took: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let server = setup.start();
            let took = server.took_to_start().as_secs_f64();
            server.end();
            took
        })
        .collect();
    let row = Row::new(bench, "start to ready", Unit::Seconds, median(took.into_iter()));
    let goal = match bench.store {
        Store::Embedded => 0.5,
        Store::Redis => 1.0,
    };
    bench.report.add(if bench.count <= 100_000 { row.goal(Goal::AtMost(goal)) } else { row });
}
