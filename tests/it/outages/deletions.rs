//! Deletions stand: while a server is away and Redis restarts without any loss, and when Redis goes back to an older save.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::redis::{HOUR, Start, is_stored, left, on, on_both, register_for_both, start};
use super::{is_fresh, is_listed, is_marked};
use crate::eventually::{SOON, eventually};
use crate::faults;
use crate::owners::{by_id, id, registration};
use crate::redis::proxy::Proxy;
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

const SEVERAL: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

/// Replaces the process by one that has everything, as an orderly restart does.
#[track_caller]
fn restart_without_loss(redis: &mut RedisServer, server: &Server) {
    redis.command::<()>(&["SAVE"]);
    restart(redis, &[server]);
}

/// Replaces the process by one that has what was saved last, and waits until these servers have taken it in.
#[track_caller]
fn restart(redis: &mut RedisServer, servers: &[&Server]) {
    let connects = |server: &&Server| server.metric("inventor_redis_connects_total");
    let before: Vec<_> = servers.iter().map(connects).collect();
    redis.kill();
    redis.run();
    // Until they have seen that Redis was gone, they are fresh as well.
    eventually(SOON, || servers.iter().map(connects).zip(&before).all(|(now, before)| now > *before));
    servers.iter().for_each(|server| is_fresh(server));
}

/// A server that was away learns of what happened meanwhile, and leaves it at that.
#[track_caller]
fn is_deleted(redis: &RedisServer, servers: [&Server; 2], name: &str) {
    register_for_both(servers, &["later"]);
    servers.into_iter().for_each(is_fresh);
    // It may wait for a moment whether somebody else puts it back.
    eventually(SOON, || servers.iter().all(|server| !is_listed(server, name)));
    assert!(!is_stored(redis, name), "{name} was put back");
    let rest: Vec<_> = SEVERAL.iter().filter(|rest| **rest != name).collect();
    servers.into_iter().for_each(|server| assert!(rest.iter().all(|name| is_listed(server, name)), "{rest:?}"));
}

/// One server is stopped, Redis restarts without loss, something is deleted at the other server.
#[track_caller]
fn delete_while_stopped(start_redis: Start, deleted: &str, slept: Duration) {
    let mut redis = start_redis(&[]);
    let (setup, _, clock) = faults::inject(on(&redis));
    let mut servers = [start(on(&redis), HOUR), start(setup, HOUR)];
    clock.is_attached();
    register_for_both([&servers[0], &servers[1]], &SEVERAL);
    servers[1].process().signal(Signal::SIGSTOP);
    clock.sleep(slept);
    restart_without_loss(&mut redis, &servers[0]);
    servers[0].delete(by_id(deleted)).is(200, "true\n");
    servers[1].process().signal(Signal::SIGCONT);
    is_deleted(&redis, [&servers[0], &servers[1]], deleted);
}

#[test]
fn a_server_that_stood_still_undoes_no_deletion() {
    on_both(|start_redis| delete_while_stopped(start_redis, "three", Duration::ZERO));
}

#[test]
fn a_server_that_slept_for_long_undoes_no_deletion() {
    delete_while_stopped(RedisServer::start_with, "six", 2 * Duration::from_secs(60));
}

/// Two servers on one Redis, of which the second can be cut off.
fn one_of_two_behind_a_proxy() -> (RedisServer, Proxy, [Server; 2]) {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let behind = Setup::new().env("REDIS_URL", &format!("redis+unix://{}", proxy.socket().display()));
    let servers = [start(on(&redis), HOUR), start(behind, HOUR)];
    (redis, proxy, servers)
}

#[test]
fn a_server_that_was_cut_off_undoes_no_deletion() {
    let (mut redis, proxy, servers) = one_of_two_behind_a_proxy();
    register_for_both([&servers[0], &servers[1]], &SEVERAL);
    proxy.fall_silent();
    is_marked(&servers[1]);
    servers[0].delete(by_id("three")).is(200, "true\n");
    restart_without_loss(&mut redis, &servers[0]);
    proxy.cut();
    proxy.speak();
    is_deleted(&redis, [&servers[0], &servers[1]], "three");
}

/// Its connection is closed while Redis lives on; what is deleted then, and saved so, seems to be lost when Redis restarts.
#[test]
fn a_server_whose_connection_was_closed_undoes_no_deletion_for_ever() {
    let (mut redis, proxy, servers) = one_of_two_behind_a_proxy();
    let permanent = |name: &str| format!(r#"{{"static_config":{{"targets":["{name}:9100"],"ttl_seconds":0}}}}"#);
    SEVERAL.iter().for_each(|name| drop(servers[0].register(permanent(name))));
    eventually(SOON, || SEVERAL.iter().all(|name| is_listed(&servers[1], name)));
    proxy.fall_silent();
    proxy.cut();
    let last = SEVERAL[SEVERAL.len() - 1];
    servers[0].delete(by_id(last)).is(200, "true\n");
    // Longer than the end of a process and the next attempt are apart.
    thread::sleep(Duration::from_secs(4));
    is_marked(&servers[1]);
    restart_without_loss(&mut redis, &servers[0]);
    proxy.speak();
    proxy.cut();
    servers.iter().for_each(is_fresh);
    let left: i64 = redis.command(&["PTTL", &id(last).to_string()]);
    assert!(left == -2 || (1..=HOUR.as_millis() as i64 / 2).contains(&left), "{last} is back for {left} ms");
    assert_eq!(redis.command::<i64>(&["PTTL", &id(SEVERAL[0]).to_string()]), -1);
}

/// Registers several at two servers and has them saved. Renews "two" and deletes it at one, deletes "five" at the other,
/// registers "since", and goes back to the save. Returns the saved document of "two", and when it expires.
#[track_caller]
fn go_back(redis: &mut RedisServer, servers: [&Server; 2]) -> (String, Instant) {
    register_for_both(servers, &SEVERAL);
    redis.command::<()>(&["SAVE"]);
    let document = redis.command(&["GET", &id("two").to_string()]);
    let expires_at = Instant::now() + left(redis, "two");
    // Documents tell whole seconds, and clocks differ: only from two on is one known to be later.
    thread::sleep(Duration::from_millis(2_100));
    servers[0].register(registration("two"));
    servers[0].delete(by_id("two")).is(200, "true\n");
    servers[1].delete(by_id("five")).is(200, "true\n");
    register_for_both(servers, &["since"]);
    restart(redis, &servers);
    (document, expires_at)
}

#[test]
fn an_older_save_brings_back_nothing_deleted_and_lacks_nothing_registered() {
    on_both(|start_redis| {
        let mut redis = start_redis(&[]);
        let [one, other] = [start(on(&redis), HOUR), start(on(&redis), HOUR)];
        // A server that stands still for seconds when Redis ends has not seen everything, and deletes nothing.
        let saved = (0..3).find_map(|_| {
            let saved = go_back(&mut redis, [&one, &other]);
            (!is_stored(&redis, "two") && !is_stored(&redis, "five")).then_some(saved)
        });
        let (document, expires_at) = saved.expect("what was deleted is deleted again");
        let is_gone = |name| !is_stored(&redis, name) && [&one, &other].iter().all(|server| !is_listed(server, name));
        eventually(SOON, || ["two", "five"].iter().all(|name| is_gone(name)));
        let put = |document: &str| {
            let left = expires_at.duration_since(Instant::now()).as_millis().to_string();
            redis.command::<()>(&["SET", &id("two").to_string(), document, "PX", &left]);
        };
        // A server that has not heard of the deletion puts it back, with the rest of its lifetime.
        put(&document);
        eventually(SOON, || is_gone("two"));
        put(&document.replace("updated_at", "written_at"));
        let there = ["one", "two", "three", "four", "six", "since"];
        for server in [&one, &other] {
            eventually(SOON, || there.iter().all(|name| is_listed(server, name) && is_stored(&redis, name)));
        }
    });
}

#[test]
fn an_older_save_is_taken_at_its_word_if_nothing_is_to_be_restored() {
    let mut redis = RedisServer::start();
    let [one, other] = [(); 2].map(|()| start(on(&redis).env("RESTORE", "off"), HOUR));
    go_back(&mut redis, [&one, &other]);
    for server in [&one, &other] {
        eventually(SOON, || SEVERAL.iter().all(|name| is_listed(server, name)) && !is_listed(server, "since"));
    }
    assert!(SEVERAL.iter().all(|name| is_stored(&redis, name)));
}

/// Somebody registers again what a server has deleted, while that stands still.
#[test]
fn what_was_registered_again_unseen_is_not_deleted_again() {
    let mut redis = RedisServer::start();
    let mut servers = [start(on(&redis), HOUR), start(on(&redis), HOUR)];
    register_for_both([&servers[0], &servers[1]], &SEVERAL);
    redis.command::<()>(&["SAVE"]);
    thread::sleep(Duration::from_secs(2));
    servers[0].delete(by_id("two")).is(200, "true\n");
    eventually(SOON, || !is_listed(&servers[1], "two"));
    servers[0].process().signal(Signal::SIGSTOP);
    servers[1].register(registration("two"));
    // Longer than it goes without a sign of Redis otherwise.
    thread::sleep(Duration::from_secs(3));
    restart(&mut redis, &[&servers[1]]);
    servers[0].process().signal(Signal::SIGCONT);
    register_for_both([&servers[1], &servers[0]], &["later"]);
    servers.iter().for_each(is_fresh);
    assert!(is_stored(&redis, "two"));
    servers.iter().for_each(|server| eventually(SOON, || is_listed(server, "two")));
}
