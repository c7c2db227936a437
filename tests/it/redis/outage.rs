//! Redis stops, dies, falls silent and comes back.

use std::time::{Duration, Instant};

use super::proxy::Proxy;
use super::{Clients, Replica, clients, key, set, settings, value};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{hour, id};

/// Every call ends within this time, whatever Redis does.
const CALL_MAX: Duration = Duration::from_secs(3);

#[test]
fn a_redis_that_comes_later_is_found() {
    let mut redis = RedisServer::prepare(&[]);
    let replica = Replica::launch(settings(&redis));
    replica.is_unwell_because(&["no connection"]);
    assert!(replica.try_put("early", "text", hour()).is_err());
    assert!(!replica.is_loaded());
    redis.run();
    replica.is_up();
    replica.put("a", "document");
    assert_eq!(replica.stale(), None);
}

#[test]
fn while_redis_is_gone_the_list_stays_and_calls_fail_at_once() {
    let mut redis = RedisServer::start();
    let replica = Replica::start(&redis);
    replica.put("a", "document");
    redis.kill();
    replica.is_unwell();
    let mut began = Instant::now();
    assert!(replica.try_put("b", "text", hour()).is_err());
    assert!(began.elapsed() < CALL_MAX, "it took {:?}", began.elapsed());
    // By now nobody hopes for another connection within the moment.
    began = Instant::now();
    assert!(replica.store.get(id("a")).is_err(), "unreachable is not absent");
    assert!(replica.delete("a").is_err());
    assert!(began.elapsed() < CALL_MAX, "both took {:?}", began.elapsed());
    assert_eq!(replica.shown("a").as_deref(), Some("document"));
    assert_eq!(replica.metric("inventor_redis_connected"), 0.0);
    replica.is_down();
    assert!(replica.stale().is_some_and(|stale| stale > Duration::from_secs(1)), "it began with the last answer");
}

#[test]
fn after_a_restart_the_first_call_succeeds() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let replica = Replica::start(&redis);
    for n in 0..20 {
        replica.put(&n.to_string(), "document");
    }
    redis.kill();
    replica.is_down();
    redis.run();
    let back = Instant::now();
    replica.is_up();
    assert!(back.elapsed() < Duration::from_secs(5), "it took {:?}", back.elapsed());
    for n in 0..20 {
        assert_eq!(replica.get(&n.to_string()).as_deref(), Some("document"));
    }
    replica.put("after", "document");
    assert_eq!(replica.count(), 21);
}

#[test]
fn a_connection_that_redis_closed_costs_no_failed_call() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    replica.put("a", "document");
    replica.get("a").expect("it is there");
    let mut connection = redis.connect();
    let clients: String = command(&mut connection, &["CLIENT", "LIST"]);
    let pooled = clients.lines().find(|line| line.contains("cmd=getrange")).expect("a connection that has read a key");
    let number = pooled.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).unwrap();
    let _: () = command(&mut connection, &["CLIENT", "KILL", "ID", number]);
    replica.get("a").expect("it is there");
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0, "the link itself was not touched");
}

#[test]
fn a_link_that_is_made_anew_costs_no_failed_write() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    for n in 0..5 {
        let Clients { tracked, .. } = clients(&mut connection);
        let _: () = command(&mut connection, &["CLIENT", "KILL", "ID", &tracked]);
        replica.put("a", &n.to_string());
        eventually(SOON, || replica.metric("inventor_redis_connects_total") >= f64::from(n + 2));
        replica.is_up();
    }
}

#[test]
fn what_redis_has_done_is_not_done_again() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    // The connection is lost between the deed and the answer, and meanwhile someone else writes.
    let cut_off = |asked: &str, write: &(dyn Fn() -> bool + Sync), newer: &str| {
        proxy.hold_next(asked);
        std::thread::scope(|scope| {
            let failed = scope.spawn(write);
            proxy.is_holding();
            let _: () = redis.command(&["SET", &key("a"), &value("a", newer)]);
            proxy.cut();
            proxy.speak();
            assert!(failed.join().unwrap(), "{asked}: nobody knows whether it is done");
        });
        replica.is_up();
        replica.put("other", "another turn");
        assert_eq!(replica.get("a").as_deref(), Some(newer), "{asked} came back");
    };
    // Redis is asked whether it takes writes by a SET of another key.
    cut_off("stale text", &|| replica.try_put("a", "stale text", hour()).is_err(), "new");
    cut_off("DEL", &|| replica.delete("a").is_err(), "newer");
}

#[test]
fn an_outage_after_a_refused_write_is_an_outage() {
    let mut redis = RedisServer::start();
    let replica = Replica::start(&redis);
    replica.put("a", "document");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(replica.try_put("b", "text", hour()).is_err());
    replica.is_unwell_because(&["maxmemory"]);
    redis.kill();
    replica.is_unwell_because(&["no connection"]);
    replica.is_down();
    // It comes back empty, and is given back what it has lost.
    redis.run();
    replica.is_up();
    assert_eq!(replica.get("a").as_deref(), Some("document"));
}

#[test]
fn a_silent_redis_is_noticed_and_no_call_waits_for_it_long() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    replica.put("a", "document");
    redis.freeze();
    let frozen = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let replica = &replica;
            scope.spawn(move || {
                while frozen.elapsed() < Duration::from_secs(5) {
                    let began = Instant::now();
                    assert!(replica.try_put(&n.to_string(), "text", hour()).is_err());
                    assert!(began.elapsed() < CALL_MAX, "a call took {:?}", began.elapsed());
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
    });
    assert!(replica.store.health().is_err() && replica.stale().is_some());
    assert_eq!(replica.shown("a").as_deref(), Some("document"));
    redis.thaw();
    let thawed = Instant::now();
    replica.is_up();
    assert!(thawed.elapsed() < Duration::from_secs(6), "it took {:?}", thawed.elapsed());
    replica.put("a", "again");
}

#[test]
fn changes_made_during_an_outage_are_shown_after_it() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    for name in ["stays", "changes", "goes"] {
        replica.put(name, "before");
    }
    let mut connection = redis.connect();
    // Every connection of the replica dies, and none is accepted until the changes are made.
    let _: () = command(&mut connection, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    set(&mut connection, "changes", "after");
    let _: () = command(&mut connection, &["DEL", &key("goes")]);
    set(&mut connection, "comes", "after");
    eventually(SOON, || {
        let shown = |name| replica.shown(name);
        shown("stays").as_deref() == Some("before")
            && shown("changes").as_deref() == Some("after")
            && shown("goes").is_none()
            && shown("comes").as_deref() == Some("after")
    });
}

#[test]
fn what_two_restarts_lost_one_after_the_other_is_put_back() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    (0..3000).for_each(|n| replica.put(&n.to_string(), "document"));
    redis.kill();
    replica.is_down();
    proxy.hold_next("document");
    redis.run();
    proxy.is_holding();
    // Now it has a part of it back, in another order than it was written in, and the next process loads this.
    let stored = |redis: &RedisServer| redis.command::<usize>(&["DBSIZE"]);
    let _: () = redis.command(&["SAVE"]);
    assert!((1..2900).contains(&stored(&redis)), "{}", stored(&redis));
    redis.kill();
    redis.run();
    proxy.cut();
    proxy.speak();
    eventually(SOON, || {
        assert_eq!(replica.count(), 3000);
        stored(&redis) == 3000
    });
    replica.is_up();
}
