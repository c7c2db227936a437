//! Redis stops, dies, falls silent and comes back.

use std::time::{Duration, Instant, SystemTime};

use inventor::store::redis::Settings;
use inventor::store::{Store, WAIT_MAX};

use super::Replica;
use super::proxy::Proxy;
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{get, hour, id, put};

/// Every call ends within this time, whatever Redis does.
const CALL_MAX: Duration = Duration::from_secs(3);

/// So many that it would show if each waited for some time.
const CALLS: u32 = 20;

#[test]
fn a_redis_that_comes_later_is_found() {
    let mut redis = RedisServer::prepare(&[]);
    let replica = Replica::launch(Settings::from_url(&redis.url()).unwrap());
    replica.is_down_because(&["no connection"]);
    assert!(replica.store.put(id("early"), vec![], hour(), SystemTime::now()).is_err());
    assert_eq!(replica.mirror.loaded_count(), 0);
    redis.run();
    replica.is_up();
    put(&replica.store, id("a"), "document");
    assert_eq!(replica.mirror.lost_count(), 0, "nothing was shown that could be out of date");
}

#[test]
fn while_redis_is_gone_the_mirror_stays_and_calls_fail_at_once() {
    let mut redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put(&replica.store, id("a"), "document");
    redis.kill();
    replica.is_down();
    let began = Instant::now();
    for _ in 0..CALLS {
        assert!(replica.store.put(id("b"), vec![], hour(), SystemTime::now()).is_err());
        assert!(replica.store.get(id("a"), SystemTime::now()).is_err(), "unreachable is not absent");
        assert!(replica.store.delete(id("a"), SystemTime::now()).is_err());
    }
    assert!(began.elapsed() < WAIT_MAX * CALLS / 10, "{CALLS} of each took {:?}", began.elapsed());
    assert_eq!(replica.mirror.shown(id("a")), Some(b"document".to_vec()));
    assert_eq!((replica.mirror.loaded_count(), replica.mirror.lost_count()), (1, 1));
    assert_eq!(replica.metric("inventor_redis_connected"), 0.0);
}

#[test]
fn after_a_restart_the_first_call_succeeds() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let replica = Replica::start(&redis);
    for n in 0..20 {
        put(&replica.store, id(&n.to_string()), "document");
    }
    redis.kill();
    replica.is_down();
    redis.run();
    let back = Instant::now();
    replica.is_up();
    assert!(back.elapsed() < Duration::from_secs(2), "it took {:?}", back.elapsed());
    for n in 0..20 {
        assert_eq!(get(&replica.store, id(&n.to_string())).as_deref(), Some("document"));
    }
    put(&replica.store, id("after"), "document");
    assert_eq!(replica.mirror.all().len(), 21);
}

#[test]
fn a_connection_that_redis_closed_costs_no_failed_call() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put(&replica.store, id("a"), "document");
    get(&replica.store, id("a")).expect("it is there");
    let mut connection = redis.connect();
    let clients: String = command(&mut connection, &["CLIENT", "LIST"]);
    let pooled = clients.lines().find(|line| line.contains("cmd=get")).expect("a connection that has read a key");
    let number = pooled.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).unwrap();
    let _: () = command(&mut connection, &["CLIENT", "KILL", "ID", number]);
    get(&replica.store, id("a")).expect("it is there");
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0, "the link itself was not touched");
}

#[test]
fn a_link_that_is_made_anew_costs_no_failed_write() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    for n in 0..5 {
        let clients: String = command(&mut connection, &["CLIENT", "LIST"]);
        let tracker = clients.lines().find(|line| line.contains(" flags=tB")).expect("a connection that tracks");
        let number = tracker.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).unwrap();
        let _: () = command(&mut connection, &["CLIENT", "KILL", "ID", number]);
        put(&replica.store, id("a"), &n.to_string());
        eventually(SOON, || replica.metric("inventor_redis_connects_total") >= f64::from(n + 2));
        replica.is_up();
    }
}

#[test]
fn what_redis_has_done_is_not_done_again() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    let key = id("a").to_string();
    // The connection is lost between the deed and the answer, and meanwhile someone else writes.
    let cut_off = |command: &str, write: &(dyn Fn() -> bool + Sync), newer: &str| {
        proxy.hold_next(command);
        std::thread::scope(|scope| {
            let failed = scope.spawn(write);
            proxy.is_holding();
            let _: () = redis.command(&["SET", &key, newer]);
            proxy.cut();
            proxy.speak();
            assert!(failed.join().unwrap(), "{command}: nobody knows whether it is done");
        });
        replica.is_up();
        put(&replica.store, id("other"), "another turn");
        assert_eq!(get(&replica.store, id("a")).as_deref(), Some(newer), "{command} came back");
    };
    let (store, now) = (&replica.store, SystemTime::now());
    cut_off("SET", &|| store.put(id("a"), b"old".to_vec(), hour(), now).is_err(), "new");
    cut_off("DEL", &|| store.delete(id("a"), now).is_err(), "newer");
}

#[test]
fn an_outage_after_a_refused_write_is_an_outage() {
    let mut redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put(&replica.store, id("a"), "document");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(replica.store.put(id("b"), vec![], hour(), SystemTime::now()).is_err());
    redis.kill();
    replica.is_down();
    eventually(SOON, || replica.mirror.lost_count() == 2);
    // It comes back empty, and is given back what it has lost.
    redis.run();
    eventually(SOON, || get(&replica.store, id("a")).as_deref() == Some("document"));
}

#[test]
fn a_silent_redis_is_noticed_and_no_call_waits_for_it_long() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put(&replica.store, id("a"), "document");
    redis.freeze();
    let frozen = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let store = &replica.store;
            scope.spawn(move || {
                while frozen.elapsed() < Duration::from_secs(5) {
                    let began = Instant::now();
                    let put = store.put(id(&n.to_string()), vec![], hour(), SystemTime::now());
                    assert!(put.is_err());
                    assert!(began.elapsed() < CALL_MAX, "a call took {:?}", began.elapsed());
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
    });
    assert!(replica.store.health().is_err());
    assert_eq!(replica.mirror.shown(id("a")), Some(b"document".to_vec()));
    redis.thaw();
    let thawed = Instant::now();
    replica.is_up();
    assert!(thawed.elapsed() < Duration::from_secs(3), "it took {:?}", thawed.elapsed());
    put(&replica.store, id("a"), "again");
}

#[test]
fn changes_made_during_an_outage_are_shown_after_it() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    for name in ["stays", "changes", "goes"] {
        put(&replica.store, id(name), "before");
    }
    let mut connection = redis.connect();
    // Every connection of the replica dies, and none is accepted until the changes are made.
    let _: () = command(&mut connection, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let _: () = command(&mut connection, &["SET", &id("changes").to_string(), "after"]);
    let _: () = command(&mut connection, &["DEL", &id("goes").to_string()]);
    let _: () = command(&mut connection, &["SET", &id("comes").to_string(), "after"]);
    eventually(SOON, || {
        let shown = |name| replica.mirror.shown(id(name)).map(|value| String::from_utf8(value).unwrap());
        shown("stays").as_deref() == Some("before")
            && shown("changes").as_deref() == Some("after")
            && shown("goes").is_none()
            && shown("comes").as_deref() == Some("after")
    });
}
