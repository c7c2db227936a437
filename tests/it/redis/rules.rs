//! The rules without which a mirror of Redis goes wrong now and then: each has a test in which breaking it shows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use inventor::store::redis::{Address, Settings};
use redis::Connection;

use super::proxy::Proxy;
use super::{Clients, Ending, Replica, clients, key, set, settings, value};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::hour;

/// Kills the tracked connection and does a command, with nothing between the two.
#[track_caller]
fn unseen(redis: &RedisServer, words: &[&str]) {
    let mut connection = redis.connect();
    let Clients { tracked, .. } = clients(&mut connection);
    let _: () = command(&mut connection, &["MULTI"]);
    let _: redis::Value = command(&mut connection, &["CLIENT", "KILL", "ID", &tracked]);
    let _: redis::Value = command(&mut connection, words);
    let _: redis::Value = command(&mut connection, &["EXEC"]);
}

#[test]
fn what_changes_after_the_scan_has_passed_by_is_not_missed() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    set(&mut connection, "deleted", "old");
    set(&mut connection, "changed", "old");
    let proxy = Proxy::before(&redis.socket());
    proxy.hold_next("SCAN");
    let replica = Replica::launch(Settings::new(Address::Unix(proxy.socket())));
    proxy.is_holding();
    let _: () = command(&mut connection, &["DEL", &key("deleted")]);
    set(&mut connection, "changed", "new");
    set(&mut connection, "created", "new");
    proxy.speak();
    eventually(SOON, || {
        let new = Some("new".to_owned());
        ["deleted", "changed", "created"].map(|name| replica.shown(name)) == [None, new.clone(), new]
    });
}

#[test]
fn nothing_is_complete_before_everything_was_read() {
    let redis = RedisServer::start();
    let _: () = redis.command(&["SET", &key("a"), &value("a", "document")]);
    let proxy = Proxy::before(&redis.socket());
    proxy.hold_next("SCAN");
    let replica = Replica::launch(Settings::new(Address::Unix(proxy.socket())));
    proxy.is_holding();
    replica.is_unwell_because(&["first full load"]);
    assert!(replica.try_put("b", "text", hour()).is_err());
    assert!(!replica.is_loaded());
    // What a lost session has read is not the whole.
    proxy.cut();
    eventually(SOON, || replica.metric("inventor_redis_connects_total") == 2.0);
    proxy.is_holding();
    assert!(!replica.is_loaded());
    proxy.speak();
    replica.is_up();
    assert_eq!(replica.count(), 1);
}

#[test]
fn what_happened_while_no_change_was_reported_is_read() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    for name in ["changed", "deleted"] {
        replica.put(name, "old");
    }
    unseen(&redis, &["SET", &key("changed"), &value("changed", "new")]);
    eventually(SOON, || replica.shown("changed").as_deref() == Some("new"));
    replica.is_up();
    unseen(&redis, &["SET", &key("created"), &value("created", "new")]);
    eventually(SOON, || replica.shown("created").as_deref() == Some("new"));
    replica.is_up();
    unseen(&redis, &["DEL", &key("deleted")]);
    eventually(SOON, || replica.shown("deleted").is_none());
    assert_eq!(replica.metric("inventor_redis_connects_total"), 4.0);
}

/// How often Redis was asked each command so far.
#[track_caller]
fn calls(redis: &RedisServer) -> BTreeMap<String, u64> {
    let statistics: String = redis.command(&["INFO", "commandstats"]);
    let calls = statistics.lines().filter_map(|line| {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((command.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    calls.collect()
}

#[test]
fn a_write_costs_redis_one_command() {
    let redis = RedisServer::start();
    let (replica, other) = (Replica::start(&redis), Replica::start(&redis));
    other.store.close();
    let (before, began) = (calls(&redis), Instant::now());
    for n in 0..2000 {
        replica.put(&(n % 500).to_string(), &n.to_string());
    }
    let probes = began.elapsed().as_secs() + 1;
    let after = calls(&redis);
    let more = |command: &str| {
        after.get(command).copied().unwrap_or_default() - before.get(command).copied().unwrap_or_default()
    };
    assert_eq!((more("getrange"), more("pttl")), (0, 0), "what was written is not read again");
    assert!((2000..=2000 + probes).contains(&more("set")), "{} for 2000 writes, {after:?}", more("set"));
    assert_eq!(replica.count(), 500);
    assert_eq!(replica.shown("499").as_deref(), Some("1999"));
}

#[test]
fn a_service_that_does_not_know_how_to_leave_out_our_own_writes_is_followed_all_the_same() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    proxy.refuse("REDIRECT");
    let replica = Replica::start_behind(&proxy);
    let before = calls(&redis);
    replica.put("own", "document");
    eventually(SOON, || calls(&redis).get("getrange") > before.get("getrange"));
    set(&mut redis.connect(), "foreign", "document");
    eventually(SOON, || replica.shown("foreign").is_some());
    assert_eq!(replica.shown("own").as_deref(), Some("document"));
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}

#[test]
fn a_lost_connection_of_the_applier_is_noticed_without_work() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    let Clients { writer, .. } = clients(&mut connection);
    let _: () = command(&mut connection, &["CLIENT", "KILL", "ID", &writer]);
    eventually(SOON, || replica.metric("inventor_redis_connects_total") == 2.0);
    replica.is_up();
    replica.put("a", "document");
}

#[test]
fn emptying_another_database_removes_nothing_for_a_moment() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    for n in 0..100 {
        replica.put(&n.to_string(), "document");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(replica.count(), 100);
            }
        });
        let _ending = Ending(&done);
        let mut connection = redis.connect();
        let _: () = command(&mut connection, &["SELECT", "5"]);
        for round in 1..=20 {
            set(&mut connection, "0", "elsewhere");
            let _: () = command(&mut connection, &["FLUSHDB"]);
            eventually(SOON, || replica.metric("inventor_redis_resyncs_total") >= f64::from(1 + round));
        }
        replica.is_up();
    });
    let _: () = redis.command(&["FLUSHALL"]);
    eventually(SOON, || replica.count() == 0);
}

#[test]
fn a_database_that_is_emptied_again_and_again_does_not_keep_everything_from_being_read() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    for n in 0..20_000 {
        set(&mut connection, &n.to_string(), "document");
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
        assert_eq!(Replica::start(&redis).count(), 20_000);
    });
}

#[test]
fn what_no_server_reports_is_read_from_time_to_time() {
    let redis = RedisServer::start();
    let every = Duration::from_millis(200);
    let replica = Replica::launch(Settings { resync_every: every, ..settings(&redis) });
    replica.is_up();
    replica.put("first", "document");
    let mut connection = redis.connect();
    let _: () = command(&mut connection, &["SELECT", "1"]);
    set(&mut connection, "second", "document");
    let _: () = command(&mut connection, &["SWAPDB", "0", "1"]);
    eventually(SOON, || replica.shown("first").is_none() && replica.shown("second").is_some());
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}

#[test]
fn reading_everything_anew_takes_little_of_the_time() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    (0..300).for_each(|n| set(&mut connection, &n.to_string(), "document"));
    let began = Instant::now();
    let replica = Replica::launch(Settings { resync_every: Duration::from_millis(1), ..settings(&redis) });
    replica.is_up();
    let mut shortest = f64::INFINITY;
    eventually(4 * SOON, || {
        shortest = shortest.min(replica.metric("inventor_redis_sync_duration_seconds"));
        // What would follow at once would follow a write.
        replica.put("a", "document");
        // The first one, and the next.
        replica.metric("inventor_redis_resyncs_total") >= 2.0
    });
    assert!(began.elapsed().as_secs_f64() >= 300.0 * shortest, "{:?}, {shortest} s each", began.elapsed());
}

#[test]
fn after_a_long_silence_the_next_change_is_reported() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    for n in 1..=3 {
        // Each second without work has the tracked connection send PING, and the crate drop an answer.
        let pings = || -> u32 {
            let statistics: String = redis.command(&["INFO", "commandstats"]);
            let line = statistics.lines().find_map(|line| line.strip_prefix("cmdstat_ping:calls=")).unwrap_or("0,");
            line.split(',').next().and_then(|calls| calls.parse().ok()).unwrap()
        };
        let before = pings();
        eventually(SOON, || pings() >= before + 4);
        set(&mut connection, "a", &n.to_string());
        let written = Instant::now();
        eventually(SOON, || replica.shown("a") == Some(n.to_string()));
        assert!(written.elapsed() < Duration::from_secs(5), "it took {:?}", written.elapsed());
    }
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0, "and no connection was thought dead");
}

#[test]
fn a_network_that_swallows_everything_is_noticed() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    replica.put("a", "document");
    proxy.fall_silent();
    let began = Instant::now();
    assert!(replica.try_put("b", "text", hour()).is_err());
    assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
    replica.is_unwell();
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let _: () = redis.command(&["SET", &key("a"), &value("a", "changed")]);
    proxy.speak();
    eventually(SOON, || replica.shown("a").as_deref() == Some("changed"));
    replica.is_up();
}

#[test]
fn a_tracker_that_redis_cuts_off_for_reading_slowly_misses_nothing() {
    let redis = RedisServer::start_with(&["--client-output-buffer-limit", "normal", "256kb", "256kb", "1"]);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    proxy.hold_the_first();
    let mut connection = redis.connect();
    let Clients { tracked, .. } = clients(&mut connection);
    let mut written = 0;
    // Until the server has had enough of the one that does not read.
    let cut_off = |connection: &mut Connection| {
        let clients: String = command(connection, &["CLIENT", "LIST"]);
        !clients.contains(&format!("id={tracked} "))
    };
    while !cut_off(&mut connection) {
        let mut pipeline = redis::pipe();
        for n in written..written + 500 {
            pipeline.cmd("SET").arg(key(&n.to_string())).arg(value(&n.to_string(), "text")).ignore();
        }
        pipeline.exec(&mut connection).unwrap();
        written += 500;
    }
    proxy.speak();
    eventually(SOON, || replica.count() == written);
}

#[test]
fn values_of_any_size_are_read_below_the_limit_of_output() {
    let redis = RedisServer::start_with(&["--client-output-buffer-limit", "normal", "32mb", "8mb", "10"]);
    let mut connection = redis.connect();
    let large = "x".repeat(64 * 1024);
    for n in 0..1500 {
        let _: () = command(&mut connection, &["SET", &key(&n.to_string()), &large]);
    }
    let replica = Replica::start(&redis);
    // They are no registrations: reading them is what this is about.
    assert_eq!(replica.registry.view.counts(Instant::now()).quarantined, 1500);
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}

#[test]
fn of_two_changes_in_one_breath_the_later_one_is_shown_whoever_made_it() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let blocked = || {
        let clients: String = redis.command(&["CLIENT", "LIST"]);
        clients.lines().filter(|line| line.contains(" flags=b") || line.contains(" flags=tb")).count()
    };
    let set_by_another = || set(&mut redis.connect(), "a", "of another");
    let set_here = || replica.put("a", "own");
    let orders: [[&(dyn Fn() + Sync); 2]; 2] = [[&set_by_another, &set_here], [&set_here, &set_by_another]];
    for (order, last) in orders.into_iter().zip(["own", "of another"]) {
        // Nothing else is asked of Redis within a second of a write.
        replica.put("before", last);
        // It does both when it is let go, before it reports anything.
        let _: () = redis.command(&["CLIENT", "PAUSE", "10000", "WRITE"]);
        thread::scope(|scope| {
            for (n, set) in order.into_iter().enumerate() {
                scope.spawn(set);
                eventually(SOON, || blocked() == n + 1);
            }
            let _: () = redis.command(&["CLIENT", "UNPAUSE"]);
        });
        let _: () = redis.command(&["SET", &key("after"), &value("after", last)]);
        eventually(SOON, || replica.shown("after").as_deref() == Some(last));
        assert_eq!(replica.shown("a").as_deref(), Some(last));
    }
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}

#[test]
fn before_redis_7_everything_is_reported() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    proxy.disguise();
    let replica = Replica::start_behind(&proxy);
    assert_eq!(clients(&mut redis.connect()).tracked, "0", "nobody is told instead of who tracks");
    replica.put("a", "own");
    assert_eq!(replica.shown("a").as_deref(), Some("own"));
    let _: () = redis.command(&["SET", &key("a"), &value("a", "of another")]);
    eventually(SOON, || replica.shown("a").as_deref() == Some("of another"));
}
