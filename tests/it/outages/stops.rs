//! The server itself stands still, is stopped for a long time, or is told to end at a bad moment.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{EARLY, INTERVAL, LONGER_THAN_TTL, SLACK, TTL, is_fresh, is_gone, is_listed, with_ttl};
use crate::eventually::{SOON, eventually};
use crate::faults;
use crate::owners::{Owners, Polls, by_id, names, registration};
use crate::process::Process;
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

const HOUR: Duration = Duration::from_secs(3600);

/// What the server is given to end after a signal, whatever it is doing.
const END_MAX: Duration = Duration::from_secs(20);

/// Stops a server for longer than a lifetime, with six owners that renew and one that has gone away.
#[track_caller]
fn stand_still(mut server: Server) {
    let owners = Owners::renewing(&server, 6, INTERVAL, registration);
    server.register(registration("silent"));
    let polls = Polls::expecting(&server, owners.names());
    server.process().signal(Signal::SIGSTOP);
    thread::sleep(LONGER_THAN_TTL);
    let (went_on, renewed) = (Instant::now(), owners.answered(200));
    server.process().signal(Signal::SIGCONT);
    assert!(is_listed(&server, "silent"), "nothing expires while nobody can renew");
    is_fresh(&server);
    let fresh = Instant::now();
    let lived_on = is_gone(&server, "silent", fresh, TTL / 2 + SLACK) + (fresh - went_on);
    assert!(lived_on >= TTL / 2 - EARLY, "whoever could not renew has half a lifetime for it, not {lived_on:?}");
    eventually(SOON, || owners.answered(200) > renewed);
    polls.were_right();
}

#[test]
fn a_server_that_stood_still_empties_no_list() {
    stand_still(with_ttl(Setup::new(), TTL).start());
}

#[test]
fn a_server_on_redis_that_stood_still_empties_no_list() {
    let redis = RedisServer::start();
    let server = with_ttl(Setup::new(), TTL).env("REDIS_URL", &redis.url()).start();
    is_fresh(&server);
    stand_still(server);
}

/// Starts a server an hour after it was ended in this way.
#[track_caller]
fn start_an_hour_later(end: impl FnOnce(Server)) {
    let (setup, _, clock) = faults::inject(with_ttl(Setup::new(), TTL));
    let server = setup.start();
    let owned = ["owner-0", "owner-1", "silent"].map(str::to_owned);
    owned.iter().for_each(|name| drop(server.register(registration(name))));
    clock.is_attached();
    end(server);
    clock.pass(HOUR);
    let server = setup.start();
    let started = Instant::now();
    assert_eq!(names(&server.get("/discover")), owned.iter().cloned().collect(), "nobody could renew");
    server.find(by_id("silent")).has_status(200, "what is listed is found");
    let owners = Owners::renewing(&server, 2, INTERVAL, registration);
    let polls = Polls::expecting(&server, owners.names());
    let lived_on = is_gone(&server, "silent", started, TTL / 2 + SLACK);
    assert!(lived_on >= TTL / 4, "whoever could not renew has half a lifetime for it, not {lived_on:?}");
    polls.were_right();
}

#[test]
fn a_start_after_a_long_stop_does_not_begin_with_an_empty_list() {
    start_an_hour_later(|server| assert_eq!(server.terminate(), Some(0)));
}

#[test]
fn a_start_long_after_a_crash_does_not_begin_with_an_empty_list() {
    // Dropping a server kills it.
    start_an_hour_later(drop);
}

/// How long the outages were that a server says to have settled.
fn settled(server: &Server) -> Vec<f64> {
    let lines = server.log();
    let settled = lines.iter().filter(|line| line.contains("nobody could renew"));
    let seconds = settled.filter_map(|line| line.split(" seconds=").nth(1)?.split(' ').next()?.parse().ok());
    seconds.collect()
}

#[test]
fn an_outage_that_was_settled_is_not_settled_again_after_a_crash() {
    let (setup, _, clock) = faults::inject(with_ttl(Setup::new(), HOUR).env("RUST_LOG", "info"));
    let server = setup.start();
    server.register(registration("a"));
    clock.is_attached();
    drop(server);
    clock.pass(HOUR);
    let server = setup.start();
    is_fresh(&server);
    eventually(SOON, || settled(&server).iter().any(|seconds| *seconds >= HOUR.as_secs_f64()));
    drop(server);
    let server = setup.start();
    is_fresh(&server);
    assert!(settled(&server).iter().all(|seconds| *seconds < HOUR.as_secs_f64()), "{:?}", server.log());
}

#[test]
fn what_ran_out_longer_ago_than_anything_is_kept_is_gone_after_a_stop() {
    let (setup, _, clock) = faults::inject(with_ttl(Setup::new(), TTL).env("OUTAGE_KEEP_SECONDS", "60"));
    let server = setup.start();
    server.register(registration("a"));
    assert_eq!(server.terminate(), Some(0));
    clock.pass(HOUR);
    let server = setup.start();
    clock.is_attached();
    server.get("/discover").is(200, "[]\n");
    server.find(by_id("a")).has_status(404, "what is not listed is not found");
}

#[test]
fn a_signal_is_heard_while_the_store_opens() {
    let (setup, disk, _) = faults::inject(Setup::new());
    // The first time it creates the file, the second time it opens what is there.
    for _ in 0..2 {
        disk.hang();
        let mut process = setup.launch();
        disk.is_met();
        process.signal(Signal::SIGTERM);
        let told = Instant::now();
        eventually(2 * SOON, || !process.is_running());
        assert!(told.elapsed() < END_MAX + SLACK, "it ended after {:?}", told.elapsed());
        assert_eq!(process.wait().code(), Some(0), "{:?}", process.stderr());
        disk.heal();
        assert_eq!(setup.start().terminate(), Some(0));
    }
}

#[test]
fn an_ordinary_end_warns_of_nothing() {
    let redis = RedisServer::start();
    for setup in [Setup::new(), Setup::new().env("REDIS_URL", &redis.url())] {
        let mut server = setup.start();
        is_fresh(&server);
        server.register(registration("a"));
        server.process().signal(Signal::SIGTERM);
        assert_eq!(server.process().wait().code(), Some(0));
        let warnings = warnings(server.process());
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

fn warnings(process: &Process) -> Vec<String> {
    let is_warning = |line: &String| line.contains("level=warn") || line.contains("level=error");
    // Redis without a file for what it holds is worth a word at the start.
    process.stderr().into_iter().skip_while(|line| !line.contains("shutting down")).filter(is_warning).collect()
}
