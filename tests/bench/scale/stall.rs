//! One server stands still while the others are written to: what it costs Redis and the others, and what happens when it
//! goes on.

use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::delay::Sample;
use super::fleet::{Fleet, Used};
use super::info::{Info, waiting_in_system};
use super::sheet::{Figure, Sheet};
use super::{Plan, WRITERS};
use crate::connection::Connection;
use crate::load;
use crate::puts::Writes;
use crate::report::Unit;

/// The pause between two looks at the one that goes on, which has other things to do then.
const LOOK: Duration = Duration::from_millis(5);

/// Renewals each second come from the middle of the plan.
pub(super) fn measure(sheet: &mut Sheet, plan: &Plan, mut fleet: Fleet<'_>) {
    let rate = plan.writes[plan.writes.len() / 2];
    let mut stalled = fleet.replicas.pop().expect("there are some");
    let (addresses, writes) = (fleet.addresses(), Writes::renewals(plan.registrations));
    let beside =
        |work: &mut dyn FnMut() -> Used| load::beside(&addresses, WRITERS, rate as f64, || writes.next(), work);
    let (_, before) = beside(&mut || fleet.used_each_second(plan.slice));

    let (mut others, mut back) = (Connection::open(addresses[0]), Connection::open(stalled.address()));
    stalled.signal(Signal::SIGSTOP);
    let (used, during) = beside(&mut || fleet.used_each_second(plan.stall));
    let machine = used.of_machine();
    let (info, waiting) = (Info::of(fleet.redis), waiting_in_system(fleet.redis));

    let sample = Sample::next(plan.registrations);
    sample.write(&mut others);
    let used = Used::by(fleet.redis, slice::from_ref(&stalled));
    let start = Instant::now();
    stalled.signal(Signal::SIGCONT);
    while !sample.is_shown(&mut back) {
        thread::sleep(LOOK);
    }
    let shown = start.elapsed();
    stalled.wait_until_ready();
    let ready = start.elapsed();
    let used = Used::by(fleet.redis, slice::from_ref(&stalled)).since(used);
    fleet.replicas.push(stalled);
    sheet.add(
        "One stands still",
        vec![
            Figure::new("replicas", Unit::Number, fleet.replicas.len() as f64),
            Figure::new("renewals", Unit::PerSecond, rate as f64),
            Figure::new("for", Unit::Seconds, plan.stall.as_secs_f64()),
            Figure::new("buffered by Redis", Unit::Bytes, info.longest_output),
            Figure::new("by the system", Unit::Bytes, waiting),
            Figure::new("PUT p50 before", Unit::Seconds, before.quantile(0.5)),
            Figure::new("PUT p99 before", Unit::Seconds, before.quantile(0.99)),
            Figure::new("PUT p50 meanwhile", Unit::Seconds, during.quantile(0.5)),
            Figure::new("PUT p99 meanwhile", Unit::Seconds, during.quantile(0.99)),
            Figure::new("shows it after", Unit::Seconds, shown.as_secs_f64()),
            Figure::new("ready after", Unit::Seconds, ready.as_secs_f64()),
            Figure::new("processor of Redis", Unit::Seconds, used.redis),
            Figure::new("of the replica", Unit::Seconds, used.replicas),
            Figure::of_machine(machine),
        ],
    );
    fleet.end();
}
