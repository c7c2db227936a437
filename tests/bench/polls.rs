//! Polls: of everything, of the largest group, of a group that is always as large, alone and while owners write.

use std::time::Duration;

use crate::connection::{Connection, poll};
use crate::limits::RawSender;
use crate::load::{self, median};
use crate::nginx::{self, Nginx};
use crate::puts::Writes;
use crate::registrations::{FIXED_GROUP, largest_group};
use crate::report::{Goal, Row};
use crate::server::{Server, Store};
use crate::{Bench, ROUNDS};

/// How many connections poll at once.
pub(crate) const POLLERS: usize = 4;

/// How many registrations are written each second beside the polls, and from how many connections.
pub(crate) const WRITES_PER_SECOND: f64 = 500.0;
pub(crate) const WRITERS: usize = 16;

/// How long each measurement lasts: long enough for some answers of the largest list.
pub(crate) fn slice(count: usize) -> Duration {
    Duration::from_millis(match count {
        0..100_000 => 700,
        100_000..1_000_000 => 1_000,
        _ => 4_000,
    })
}

/// Polls beside a raw sender of the same bytes, and beside nginx.
pub(crate) fn measure(bench: &mut Bench<'_>, server: &Server) {
    let share = if bench.count < 10_000 { 0.6 } else { 0.8 };
    measure_path(bench, server, "/discover", "/discover", share);
    // The stores differ in how the lists come to be, not in how they are sent.
    if bench.store == Store::Embedded {
        measure_path(bench, server, "/group, the largest", &format!("/group?name={}", largest_group()), share);
        measure_path(bench, server, "/group of 100", &format!("/group?name={FIXED_GROUP}"), 0.6);
    }
}

fn measure_path(bench: &mut Bench<'_>, server: &Server, what: &str, path: &str, goal: f64) {
    let request = poll(path);
    let (status, response) = Connection::open(server.address()).fetch(&request);
    assert_eq!(status, 200, "{path}");
    let raw = RawSender::start(&response);
    let body = &response[response.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4)..];
    let nginx = Nginx::start(body, None);
    let file = poll(nginx::PATH);
    let (mut rounds, mut limits, mut beside_nginx) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        limits.push(load::run(raw.target(), POLLERS, slice(bench.count), || request.as_slice()));
        rounds.push(load::run(server.target(), POLLERS, slice(bench.count), || request.as_slice()));
        let of_nginx = |nginx: &Nginx| load::run(nginx.target(), POLLERS, slice(bench.count), || file.as_slice());
        beside_nginx.extend(nginx.as_ref().map(of_nginx));
    }
    let row = Row::of_load(bench, what, &rounds).limit_of_load(&rounds, &limits).goal(Goal::Share(goal));
    bench.report.add(row);
    if nginx.is_none() {
        return bench.report.note("nginx is not installed: nothing was measured beside it");
    }
    let goal = match body.len() {
        0..100_000 => 0.75,
        100_000..1_000_000 => 0.9,
        _ => 1.0,
    };
    let row = Row::of_load(bench, format!("{what}, beside nginx"), &rounds);
    bench.report.add(row.limit_of_load(&rounds, &beside_nginx).goal(Goal::Share(goal)));
}

/// Polls of everything beside writes; the limit is the rate without these.
pub(crate) fn measure_under_writes(bench: &mut Bench<'_>, server: &Server) {
    let request = poll("/discover");
    let polls = || load::run(server.target(), POLLERS, slice(bench.count), || request.as_slice());
    let kinds = [
        ("/discover, 500 renewals/s", Writes::renewals(bench.count)),
        ("/discover, 500 changes/s", Writes::changes(bench.count)),
    ];
    for (what, writes) in &kinds {
        let (mut rounds, mut limits, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            limits.push(polls());
            let addresses = [server.address()];
            let (polled, written) = load::beside(&addresses, WRITERS, WRITES_PER_SECOND, || writes.next(), polls);
            rounds.push(polled);
            rates.push(written.rate);
        }
        let row = Row::of_load(bench, *what, &rounds).limit_of_load(&rounds, &limits).goal(Goal::Share(0.7));
        bench.report.add(row);
        let rate = median(rates.into_iter());
        if rate < 0.95 * WRITES_PER_SECOND {
            let (store, count) = (bench.store.name(), bench.count);
            bench.report.note(format!("{what}, {store}, {count}: only {rate:.0} were answered"));
        }
    }
}
