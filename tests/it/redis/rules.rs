//! The rules without which a mirror of Redis goes wrong now and then: each has a test in which breaking it shows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use inventor::store::Store;
use inventor::store::redis::{Address, Settings};
use redis::Connection;

use super::proxy::Proxy;
use super::{Ending, Replica};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{hour, id, put};

/// The number of the client whose line in the list of clients has this property.
#[track_caller]
fn client(connection: &mut Connection, is: impl Fn(&str) -> bool) -> String {
    let clients: String = command(connection, &["CLIENT", "LIST"]);
    let line = clients.lines().find(|line| is(line)).unwrap_or_else(|| panic!("no such client:\n{clients}"));
    line.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).expect("a line begins with the id").to_owned()
}

fn is_tracked(line: &str) -> bool {
    line.split(' ').any(|field| field.starts_with("flags=") && field.contains('t'))
}

/// Kills the tracked connection and does a command, with nothing between the two.
#[track_caller]
fn unseen(redis: &RedisServer, words: &[&str]) {
    let mut connection = redis.connect();
    let tracked = client(&mut connection, is_tracked);
    let _: () = command(&mut connection, &["MULTI"]);
    let _: redis::Value = command(&mut connection, &["CLIENT", "KILL", "ID", &tracked]);
    let _: redis::Value = command(&mut connection, words);
    let _: redis::Value = command(&mut connection, &["EXEC"]);
}

#[test]
fn what_changes_after_the_scan_has_passed_by_is_not_missed() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    let [deleted, changed, created] = ["deleted", "changed", "created"].map(id);
    for id in [deleted, changed] {
        let _: () = command(&mut connection, &["SET", &id.to_string(), "old"]);
    }
    let proxy = Proxy::before(&redis.socket());
    proxy.hold_next("SCAN");
    let replica = Replica::launch(Settings::new(Address::Unix(proxy.socket())));
    proxy.is_holding();
    let _: () = command(&mut connection, &["DEL", &deleted.to_string()]);
    let _: () = command(&mut connection, &["SET", &changed.to_string(), "new"]);
    let _: () = command(&mut connection, &["SET", &created.to_string(), "new"]);
    proxy.speak();
    eventually(SOON, || {
        [deleted, changed, created].map(|id| replica.mirror.shown(id))
            == [None, Some(b"new".to_vec()), Some(b"new".to_vec())]
    });
}

#[test]
fn nothing_is_complete_before_everything_was_read() {
    let redis = RedisServer::start();
    let _: () = redis.command(&["SET", &id("a").to_string(), "document"]);
    let proxy = Proxy::before(&redis.socket());
    proxy.hold_next("SCAN");
    let replica = Replica::launch(Settings::new(Address::Unix(proxy.socket())));
    proxy.is_holding();
    replica.is_down_because(&["first full load"]);
    assert!(replica.store.put(id("b"), vec![], hour(), SystemTime::now()).is_err());
    assert_eq!(replica.mirror.loaded_count(), 0);
    // What a lost session has read is not the whole.
    proxy.cut();
    eventually(SOON, || replica.metric("inventor_redis_connects_total") == 2.0);
    proxy.is_holding();
    assert_eq!(replica.mirror.loaded_count(), 0);
    proxy.speak();
    replica.is_up();
    assert_eq!(replica.mirror.loaded_count(), 1);
    assert_eq!(replica.mirror.all().len(), 1);
}

#[test]
fn what_happened_while_no_change_was_reported_is_read() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    for name in ["changed", "deleted"] {
        put(&replica.store, id(name), "old");
    }
    unseen(&redis, &["SET", &id("changed").to_string(), "new"]);
    eventually(SOON, || replica.mirror.shown(id("changed")) == Some(b"new".to_vec()));
    replica.is_up();
    unseen(&redis, &["SET", &id("created").to_string(), "new"]);
    eventually(SOON, || replica.mirror.shown(id("created")) == Some(b"new".to_vec()));
    replica.is_up();
    unseen(&redis, &["DEL", &id("deleted").to_string()]);
    eventually(SOON, || replica.mirror.shown(id("deleted")).is_none());
    assert_eq!(replica.metric("inventor_redis_connects_total"), 4.0);
}

#[test]
fn a_lost_connection_of_the_applier_is_noticed_without_work() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    let own: String = command(&mut connection, &["CLIENT", "ID"]);
    let applier = client(&mut connection, |line| !is_tracked(line) && !line.starts_with(&format!("id={own} ")));
    let _: () = command(&mut connection, &["CLIENT", "KILL", "ID", &applier]);
    eventually(SOON, || replica.metric("inventor_redis_connects_total") == 2.0);
    replica.is_up();
    put(&replica.store, id("a"), "document");
}

#[test]
fn emptying_another_database_removes_nothing_for_a_moment() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    for n in 0..100 {
        put(&replica.store, id(&n.to_string()), "document");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(replica.mirror.all().len(), 100);
            }
        });
        let _ending = Ending(&done);
        let mut connection = redis.connect();
        let _: () = command(&mut connection, &["SELECT", "5"]);
        for round in 1..=20 {
            let _: () = command(&mut connection, &["SET", &id("0").to_string(), "elsewhere"]);
            let _: () = command(&mut connection, &["FLUSHDB"]);
            eventually(SOON, || replica.metric("inventor_redis_resyncs_total") >= f64::from(1 + round));
        }
        replica.is_up();
    });
    let _: () = redis.command(&["FLUSHALL"]);
    eventually(SOON, || replica.mirror.all().is_empty());
}

#[test]
fn a_database_that_is_emptied_again_and_again_does_not_keep_everything_from_being_read() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    for n in 0..20_000 {
        let _: () = command(&mut connection, &["SET", &id(&n.to_string()).to_string(), "document"]);
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = redis.connect();
            let _: () = command(&mut connection, &["SELECT", "5"]);
            while !done.load(Ordering::Relaxed) {
                let _: () = command(&mut connection, &["SET", "x", "x"]);
                let _: () = command(&mut connection, &["FLUSHDB"]);
            }
        });
        let _ending = Ending(&done);
        assert_eq!(Replica::start(&redis).mirror.all().len(), 20_000);
    });
}

#[test]
fn what_no_server_reports_is_read_from_time_to_time() {
    let redis = RedisServer::start();
    let every = Duration::from_millis(200);
    let replica = Replica::launch(Settings { resync_every: every, ..Settings::from_url(&redis.url()).unwrap() });
    replica.is_up();
    put(&replica.store, id("first"), "document");
    let mut connection = redis.connect();
    let _: () = command(&mut connection, &["SELECT", "1"]);
    let _: () = command(&mut connection, &["SET", &id("second").to_string(), "document"]);
    let _: () = command(&mut connection, &["SWAPDB", "0", "1"]);
    eventually(SOON, || replica.mirror.shown(id("first")).is_none() && replica.mirror.shown(id("second")).is_some());
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}

#[test]
fn after_a_long_silence_the_next_change_is_reported() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    for n in 1..=3 {
        // Each second without work has both connections send PING, and the crate drop an answer.
        let pings = || -> u32 {
            let statistics: String = redis.command(&["INFO", "commandstats"]);
            let line = statistics.lines().find_map(|line| line.strip_prefix("cmdstat_ping:calls=")).unwrap_or("0,");
            line.split(',').next().and_then(|calls| calls.parse().ok()).unwrap()
        };
        let before = pings();
        eventually(SOON, || pings() >= before + 4);
        let _: () = command(&mut connection, &["SET", &id("a").to_string(), &n.to_string()]);
        eventually(SOON, || replica.mirror.shown(id("a")) == Some(n.to_string().into_bytes()));
    }
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0, "and no connection was thought dead");
}

#[test]
fn a_network_that_swallows_everything_is_noticed() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put(&replica.store, id("a"), "document");
    proxy.fall_silent();
    let began = Instant::now();
    assert!(replica.store.put(id("b"), vec![], hour(), SystemTime::now()).is_err());
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    replica.is_down();
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    let _: () = redis.command(&["SET", &id("a").to_string(), "changed"]);
    proxy.speak();
    eventually(SOON, || replica.mirror.shown(id("a")) == Some(b"changed".to_vec()));
    replica.is_up();
}

#[test]
fn a_tracker_that_redis_cuts_off_for_reading_slowly_misses_nothing() {
    let redis = RedisServer::start_with(&["--client-output-buffer-limit", "normal", "256kb", "256kb", "1"]);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    proxy.hold("TRACKING");
    let mut connection = redis.connect();
    let tracked = client(&mut connection, is_tracked);
    let mut written = 0;
    // Until the server has had enough of the one that does not read.
    let cut_off = |connection: &mut Connection| {
        let clients: String = command(connection, &["CLIENT", "LIST"]);
        !clients.contains(&format!("id={tracked} "))
    };
    while !cut_off(&mut connection) {
        let mut pipeline = redis::pipe();
        for n in written..written + 500 {
            pipeline.cmd("SET").arg(id(&n.to_string()).to_string()).arg("document").ignore();
        }
        pipeline.exec(&mut connection).unwrap();
        written += 500;
    }
    proxy.speak();
    eventually(SOON, || replica.mirror.all().len() == written);
}

#[test]
fn values_of_any_size_are_read_below_the_limit_of_output() {
    let redis = RedisServer::start_with(&["--client-output-buffer-limit", "normal", "32mb", "8mb", "10"]);
    let mut connection = redis.connect();
    let large = "x".repeat(64 * 1024);
    for n in 0..1500 {
        let _: () = command(&mut connection, &["SET", &id(&n.to_string()).to_string(), &large]);
    }
    let replica = Replica::start(&redis);
    assert_eq!(replica.mirror.all().len(), 1500);
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}
