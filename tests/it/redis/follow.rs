//! The mirror follows every change in Redis, whoever makes it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use inventor::registration::TargetId;
use inventor::registry::{Now, Scope};

use super::{Replica, key, set, value};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{id, text_of};

#[test]
fn what_was_there_before_the_start_is_shown() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    let mut pipeline = redis::pipe();
    for n in 0..5000 {
        let name = n.to_string();
        pipeline.cmd("SET").arg(key(&name)).arg(value(&name, &name)).arg("EX").arg(1000 + n);
    }
    pipeline.exec(&mut connection).unwrap();
    let replica = Replica::start(&redis);
    let shown = replica.all();
    assert_eq!(shown.len(), 5000);
    for n in 0..5000 {
        let name = n.to_string();
        assert_eq!(shown.get(&id(&name)), Some(&name));
        let rest = replica.rest(&name).unwrap();
        assert!(rest <= Duration::from_secs(1000 + n) && rest > Duration::from_secs(900 + n));
    }
    assert_eq!(replica.metric("inventor_redis_connected"), 1.0);
}

#[test]
fn what_anyone_does_to_a_key_is_shown() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    let (a_key, b_key) = (key("a"), key("b"));
    let shows = |name, text: Option<&str>| eventually(SOON, || replica.shown(name).as_deref() == text);

    set(&mut connection, "a", "1");
    shows("a", Some("1"));
    assert_eq!(replica.rest("a"), None);
    let _: () = command(&mut connection, &["EXPIRE", &a_key, "100"]);
    eventually(SOON, || replica.rest("a").is_some_and(|rest| rest <= Duration::from_secs(100)));
    let _: () = command(&mut connection, &["PERSIST", &a_key]);
    eventually(SOON, || replica.rest("a").is_none());
    let at = value("a", "1").find(r#":"1""#).expect("the text") + 2;
    let _: () = command(&mut connection, &["SETRANGE", &a_key, &at.to_string(), "2"]);
    shows("a", Some("2"));
    let _: () = command(&mut connection, &["RENAME", &a_key, &b_key]);
    shows("a", None);
    shows("b", Some("2"));
    let _: () = command(&mut connection, &["MSET", &a_key, &value("a", "x"), &b_key, &value("b", "y")]);
    shows("a", Some("x"));
    shows("b", Some("y"));
    let script = "redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000) redis.call('DEL', KEYS[2])";
    let _: () = command(&mut connection, &["EVAL", script, "2", &a_key, &b_key, &value("a", "scripted")]);
    shows("a", Some("scripted"));
    shows("b", None);
    let _: () = command(&mut connection, &["FLUSHALL"]);
    shows("a", None);
}

#[test]
fn a_lifetime_ends_to_the_moment_although_redis_tells_late() {
    let redis = RedisServer::start_with(&["--hz", "1"]);
    let mut connection = redis.connect();
    let mut pipeline = redis::pipe();
    for n in 0..20_000 {
        pipeline.cmd("SET").arg(key(&format!("long-{n}"))).arg("long").arg("EX").arg(10_000);
    }
    pipeline.exec(&mut connection).unwrap();
    let replica = Replica::start(&redis);
    let _: () = command(&mut connection, &["SET", &key("short"), &value("short", "text"), "PX", "700"]);
    eventually(SOON, || replica.shown("short").is_some());
    // Redis itself looks at 20 of the 20,000 keys in a second.
    eventually(SOON, || replica.shown("short").is_none());
}

#[test]
fn a_value_that_is_far_too_large_stops_and_slows_nothing() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    let huge = key("huge");
    let swell = |connection: &mut _| command::<usize>(connection, &["SETRANGE", &huge, "167772159", "x"]);
    assert_eq!(swell(&mut connection), 160 << 20);
    set(&mut connection, "small", "text");
    let replica = Replica::start(&redis);
    let quarantined = || replica.registry.view.counts(Instant::now()).quarantined;
    assert_eq!((replica.count(), quarantined()), (1, 1));
    // Of something this large, a full read would take hundreds of times as long as this.
    let began = Instant::now();
    for n in 0..20 {
        swell(&mut connection);
        replica.put("small", &n.to_string());
    }
    let took = began.elapsed() / 20;
    assert!(took < Duration::from_secs(1), "a write beside it takes {took:?}");
    let read = replica.store.get(id("huge")).unwrap().expect("it is there");
    assert!(read.len() <= 1 << 20, "{} bytes were read", read.len());
    assert!(replica.registry.get(id("huge"), &Scope::All, Now::read()).is_err(), "it is no registration");
    assert_eq!((replica.count(), quarantined()), (1, 1));
    assert_eq!(replica.delete("huge"), Ok(true));
    assert_eq!(quarantined(), 0);
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
    assert_eq!(replica.stale(), None);
}

#[test]
fn keys_and_values_of_others_are_left_alone() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    let _: () = command(&mut connection, &["SET", "session:1", "foreign"]);
    let _: () = command(&mut connection, &["SET", &key("upper").to_uppercase(), &value("upper", "text")]);
    let _: () = command(&mut connection, &["RPUSH", &key("list"), "1", "2"]);
    let replica = Replica::start(&redis);
    assert_eq!(replica.all(), BTreeMap::new());
    assert_eq!(replica.metric("inventor_redis_foreign_keys"), 3.0);
    assert_eq!(replica.get("list"), None, "a list is no document");

    replica.put("hash", "text");
    let _: () = command(&mut connection, &["DEL", &key("hash")]);
    let _: () = command(&mut connection, &["HSET", &key("hash"), "a", "b"]);
    eventually(SOON, || replica.shown("hash").is_none());

    assert_eq!(replica.delete("list"), Ok(true), "a list is deleted like any key");
    replica.put("hash", "repaired");
    assert_eq!(replica.shown("hash").as_deref(), Some("repaired"));
    let keys: i64 = command(&mut connection, &["DBSIZE"]);
    assert_eq!(keys, 3, "two foreign keys and the repaired one");
}

#[test]
fn two_replicas_and_a_third_writer_agree() {
    let redis = RedisServer::start();
    let (one, other) = (Replica::start(&redis), Replica::start(&redis));
    let names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    std::thread::scope(|scope| {
        for (n, replica) in [&one, &other, &one, &other].into_iter().enumerate() {
            let names = &names;
            scope.spawn(move || {
                for round in 0..300 {
                    let name = &names[(round * 7 + n * 13) % names.len()];
                    if round % 5 == n {
                        replica.delete(name).unwrap();
                    } else {
                        replica.put(name, &format!("{n} {round}"));
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut connection = redis.connect();
            for round in 0..600_usize {
                let name = &names[(round * 11) % names.len()];
                if round % 6 == 0 {
                    let _: () = command(&mut connection, &["DEL", &key(name)]);
                } else {
                    let value = value(name, &format!("go {round}"));
                    let _: () = command(&mut connection, &["SET", &key(name), &value, "EX", "100"]);
                }
            }
        });
    });
    let mut connection = redis.connect();
    let stored = |name: &String| command::<Option<Vec<u8>>>(&mut connection, &["GET", &key(name)]);
    let values: Vec<_> = names.iter().map(stored).collect();
    let stored: BTreeMap<TargetId, String> =
        names.iter().zip(values).filter_map(|(name, value)| Some((id(name), text_of(&value?)))).collect();
    eventually(SOON, || one.all() == stored && other.all() == stored);
}

#[test]
fn a_write_on_one_replica_is_shown_by_another_within_milliseconds() {
    let redis = RedisServer::start();
    let (one, other) = (Replica::start(&redis), Replica::start(&redis));
    let mut took = Vec::new();
    for n in 0..200 {
        let name = n.to_string();
        one.put(&name, "text");
        let written = Instant::now();
        while other.shown(&name).is_none() {
            assert!(written.elapsed() < SOON);
            std::thread::yield_now();
        }
        took.push(written.elapsed());
    }
    took.sort();
    println!("median {:?}, p99 {:?}", took[100], took[198]);
    assert!(took[100] < Duration::from_secs(1), "the median is {:?}", took[100]);
}
