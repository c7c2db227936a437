//! The wall clock is wrong and is set right, while the server runs and while it is stopped, or that of Redis: lifetimes
//! are what they are.

use std::time::{Duration, Instant};

use super::redis::{DURABLE, is_stored, on, register_for_both, start as start_on};
use super::{SLACK, is_fresh, is_gone, is_listed, with_ttl};
use crate::eventually::{SOON, eventually};
use crate::faults::{self, Clock};
use crate::owners::{Polls, by_id, id, registration};
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

const TTL: Duration = Duration::from_secs(5);

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

#[track_caller]
fn start() -> (Setup, Server, Clock) {
    let (setup, _, clock) = faults::inject(with_ttl(Setup::new(), TTL));
    let server = setup.start();
    clock.is_attached();
    (setup, server, clock)
}

/// Ends the server, and starts it again.
#[track_caller]
fn restart(setup: &Setup, server: Server) -> Server {
    assert_eq!(server.terminate(), Some(0));
    setup.start()
}

/// The list, GET and DELETE agree that there is no such target, now and after a restart.
#[track_caller]
fn is_gone_everywhere(setup: &Setup, server: Server, name: &str) {
    let server = restart_unless_found(setup, server, name);
    restart_unless_found(setup, server, name).delete(by_id(name)).is(404, "Id not found\n");
}

#[track_caller]
fn restart_unless_found(setup: &Setup, server: Server, name: &str) -> Server {
    assert!(!is_listed(&server, name));
    server.find(by_id(name)).has_status(404, "what is not listed is not found");
    restart(setup, server)
}

#[test]
fn a_clock_that_was_a_year_behind_at_the_start_lengthens_no_lifetime() {
    let (setup, server, clock) = start();
    server.register(registration("before"));
    assert_eq!(server.terminate(), Some(0));
    clock.step(-YEAR);
    let server = setup.start();
    let started = Instant::now();
    server.register(registration("meanwhile"));
    clock.step(YEAR);
    for name in ["before", "meanwhile"] {
        assert!(is_listed(&server, name), "{name} is alive");
        server.find(by_id(name)).has_status(200, name);
    }
    for name in ["before", "meanwhile"] {
        is_gone(&server, name, started, TTL + SLACK);
    }
    is_gone_everywhere(&setup, server, "before");
}

#[test]
fn a_clock_that_is_set_forward_ends_no_lifetime() {
    let (setup, server, clock) = start();
    server.register(registration("a"));
    server.register(registration("b"));
    clock.step(HOUR);
    assert!(is_listed(&server, "a"));
    server.find(by_id("a")).has_status(200, "what is listed is found");
    server.delete(by_id("b")).is(200, "true\n");
    let server = restart(&setup, server);
    let started = Instant::now();
    assert!(is_listed(&server, "a"), "it has some of its lifetime left");
    is_gone(&server, "a", started, TTL + SLACK);
    is_gone_everywhere(&setup, server, "a");
}

#[test]
fn a_clock_that_is_set_back_brings_nothing_back() {
    let (setup, server, clock) = start();
    server.register(registration("a"));
    let registered = Instant::now();
    clock.step(-HOUR);
    is_gone(&server, "a", registered, TTL + SLACK);
    is_gone_everywhere(&setup, server, "a");
}

#[test]
fn a_clock_that_is_set_while_the_server_is_stopped_changes_no_lifetime() {
    for step in [HOUR, -HOUR] {
        let (setup, server, clock) = start();
        server.register(registration("a"));
        assert_eq!(server.terminate(), Some(0));
        clock.step(step);
        let server = setup.start();
        let started = Instant::now();
        assert!(is_listed(&server, "a"), "it has some of its lifetime left");
        is_gone(&server, "a", started, TTL + SLACK);
        is_gone_everywhere(&setup, server, "a");
    }
}

#[test]
fn a_clock_of_redis_that_is_set_right_ends_no_lifetime() {
    let mut redis = RedisServer::prepare(DURABLE);
    let clock = faults::clock_of(&mut redis);
    clock.step(-HOUR);
    redis.run();
    clock.is_attached();
    let ttl = Duration::from_secs(1800);
    let servers = [start_on(on(&redis), ttl), start_on(on(&redis), ttl)];
    register_for_both([&servers[0], &servers[1]], &["a", "b"]);
    let long = r#"{"static_config":{"targets":["long:9100"],"ttl_seconds":7200}}"#;
    servers[0].register(long);
    eventually(SOON, || is_listed(&servers[1], "long"));
    let polls = servers.each_ref().map(|server| Polls::expecting(server, &["a", "b", "long"].map(str::to_owned)));
    clock.step(HOUR);
    let seconds_left = |name| redis.command::<i64>(&["PTTL", &id(name).to_string()]) / 1000;
    let is_back = |name| seconds_left(name) > if name == "long" { 7000 } else { 1600 };
    eventually(SOON, || ["a", "b", "long"].into_iter().all(is_back));
    let knows = |server: &Server| server.log().iter().any(|line| line.contains("the clock of Redis was set forward"));
    eventually(SOON, || servers.iter().all(knows));
    polls.iter().for_each(Polls::were_right);
    servers.iter().for_each(is_fresh);
    // It is set forward once more while Redis restarts, and keeps what it had.
    let polls = servers.each_ref().map(|server| Polls::expecting(server, &["a", "b", "long"].map(str::to_owned)));
    clock.step(-HOUR);
    let is_right = |name| (0..7200).contains(&seconds_left(name));
    eventually(SOON, || ["a", "b", "long"].into_iter().all(is_right));
    redis.kill();
    clock.step(HOUR);
    redis.run();
    let is_back = |name| redis.command::<i64>(&["PTTL", &id(name).to_string()]) > 500_000;
    eventually(SOON, || ["a", "b", "long"].into_iter().all(is_back));
    polls.iter().for_each(Polls::were_right);
    servers.iter().for_each(is_fresh);
    servers[1].delete(by_id("b")).is(200, "true\n");
    eventually(SOON, || !is_listed(&servers[0], "b"));
    register_for_both([&servers[0], &servers[1]], &["later"]);
    assert!(!is_stored(&redis, "b") && !servers.iter().any(|server| is_listed(server, "b")), "b was put back");
}

#[test]
fn a_clock_of_redis_that_is_set_back_lengthens_no_lifetime() {
    let mut redis = RedisServer::prepare(&[]);
    let clock = faults::clock_of(&mut redis);
    redis.run();
    clock.is_attached();
    let servers = [start_on(on(&redis), TTL), start_on(on(&redis), TTL)];
    servers[0].register(r#"{"static_config":{"targets":["ever:9100"],"ttl_seconds":0}}"#);
    register_for_both([&servers[0], &servers[1]], &["a"]);
    let registered = Instant::now();
    clock.step(-24 * HOUR);
    for server in &servers {
        is_gone(server, "a", registered, TTL + SLACK);
    }
    let later = start_on(on(&redis), TTL);
    assert!(!is_listed(&later, "a") && is_listed(&later, "ever"), "Redis still has it");
    servers[1].find(by_id("a")).has_status(404, "what is not listed is not found");
}
