//! The mirror follows every change in Redis, whoever makes it.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use inventor::registration::TargetId;
use inventor::store::Store;

use super::Replica;
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{get, id, put};

#[test]
fn what_was_there_before_the_start_is_shown() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    let mut pipeline = redis::pipe();
    for n in 0..5000 {
        pipeline.cmd("SET").arg(id(&n.to_string()).to_string()).arg(n).arg("EX").arg(1000 + n);
    }
    pipeline.exec(&mut connection).unwrap();
    let replica = Replica::start(&redis);
    let shown = replica.mirror.all();
    assert_eq!(shown.len(), 5000);
    for n in 0..5000 {
        let id = id(&n.to_string());
        assert_eq!(shown.get(&id), Some(&n.to_string().into_bytes()));
        let rest = replica.mirror.rest(id).unwrap();
        assert!(rest <= Duration::from_secs(1000 + n) && rest > Duration::from_secs(900 + n));
    }
    assert_eq!(replica.metric("inventor_redis_connected"), 1.0);
}

#[test]
fn what_anyone_does_to_a_key_is_shown() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let mut connection = redis.connect();
    let (a, b) = (id("a"), id("b"));
    let (a_key, b_key) = (a.to_string(), b.to_string());
    let shows =
        |id, value: Option<&str>| eventually(SOON, || replica.mirror.shown(id).as_deref() == value.map(str::as_bytes));

    let _: () = command(&mut connection, &["SET", &a_key, "1"]);
    shows(a, Some("1"));
    assert_eq!(replica.mirror.rest(a), None);
    let _: () = command(&mut connection, &["EXPIRE", &a_key, "100"]);
    eventually(SOON, || replica.mirror.rest(a).is_some_and(|rest| rest <= Duration::from_secs(100)));
    let _: () = command(&mut connection, &["PERSIST", &a_key]);
    eventually(SOON, || replica.mirror.rest(a).is_none());
    let _: () = command(&mut connection, &["APPEND", &a_key, "2"]);
    shows(a, Some("12"));
    let _: () = command(&mut connection, &["RENAME", &a_key, &b_key]);
    shows(a, None);
    shows(b, Some("12"));
    let _: () = command(&mut connection, &["MSET", &a_key, "x", &b_key, "y"]);
    shows(a, Some("x"));
    shows(b, Some("y"));
    let script = "redis.call('SET', KEYS[1], 'scripted', 'PX', 60000) redis.call('DEL', KEYS[2])";
    let _: () = command(&mut connection, &["EVAL", script, "2", &a_key, &b_key]);
    shows(a, Some("scripted"));
    shows(b, None);
    let _: () = command(&mut connection, &["FLUSHALL"]);
    shows(a, None);
}

#[test]
fn a_lifetime_ends_to_the_moment_although_redis_tells_late() {
    let redis = RedisServer::start_with(&["--hz", "1"]);
    let mut connection = redis.connect();
    let mut pipeline = redis::pipe();
    for n in 0..20_000 {
        pipeline.cmd("SET").arg(id(&format!("long-{n}")).to_string()).arg("long").arg("EX").arg(10_000);
    }
    pipeline.exec(&mut connection).unwrap();
    let replica = Replica::start(&redis);
    let short = id("short");
    let _: () = command(&mut connection, &["SET", &short.to_string(), "short", "PX", "700"]);
    eventually(SOON, || replica.mirror.shown(short).is_some());
    // Redis itself looks at 20 of the 20,000 keys in a second.
    eventually(SOON, || replica.mirror.shown(short).is_none());
}

#[test]
fn keys_and_values_of_others_are_left_alone() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    let list = id("list");
    let upper = id("upper").to_string().to_uppercase();
    let _: () = command(&mut connection, &["SET", "session:1", "foreign"]);
    let _: () = command(&mut connection, &["SET", &upper, "upper"]);
    let _: () = command(&mut connection, &["RPUSH", &list.to_string(), "1", "2"]);
    let replica = Replica::start(&redis);
    assert_eq!(replica.mirror.all(), HashMap::new());
    assert_eq!(replica.metric("inventor_redis_foreign_keys"), 3.0);
    assert_eq!(get(&replica.store, list), None, "a list is no document");

    let hash = id("hash");
    put(&replica.store, hash, "document");
    let _: () = command(&mut connection, &["DEL", &hash.to_string()]);
    let _: () = command(&mut connection, &["HSET", &hash.to_string(), "a", "b"]);
    eventually(SOON, || replica.mirror.shown(hash).is_none());

    assert_eq!(replica.store.delete(list, SystemTime::now()), Ok(true), "a list is deleted like any key");
    put(&replica.store, hash, "repaired");
    assert_eq!(replica.mirror.shown(hash), Some(b"repaired".to_vec()));
    let keys: i64 = command(&mut connection, &["DBSIZE"]);
    assert_eq!(keys, 3, "two foreign keys and the repaired one");
}

#[test]
fn two_replicas_and_a_third_writer_agree() {
    let redis = RedisServer::start();
    let (one, other) = (Replica::start(&redis), Replica::start(&redis));
    let ids: Vec<TargetId> = (0..50).map(|n| id(&n.to_string())).collect();
    std::thread::scope(|scope| {
        for (n, replica) in [&one, &other, &one, &other].into_iter().enumerate() {
            let ids = &ids;
            scope.spawn(move || {
                for round in 0..300 {
                    let id = ids[(round * 7 + n * 13) % ids.len()];
                    if round % 5 == n {
                        replica.store.delete(id, SystemTime::now()).unwrap();
                    } else {
                        put(&replica.store, id, &format!("{n} {round}"));
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut connection = redis.connect();
            for round in 0..600_usize {
                let key = ids[(round * 11) % ids.len()].to_string();
                if round % 6 == 0 {
                    let _: () = command(&mut connection, &["DEL", &key]);
                } else {
                    let _: () = command(&mut connection, &["SET", &key, &format!("go {round}"), "EX", "100"]);
                }
            }
        });
    });
    let mut connection = redis.connect();
    let stored: HashMap<TargetId, Vec<u8>> = ids
        .iter()
        .filter_map(|id| Some((*id, command::<Option<Vec<u8>>>(&mut connection, &["GET", &id.to_string()])?)))
        .collect();
    eventually(SOON, || one.mirror.all() == stored && other.mirror.all() == stored);
}

#[test]
fn a_write_on_one_replica_is_shown_by_another_within_milliseconds() {
    let redis = RedisServer::start();
    let (one, other) = (Replica::start(&redis), Replica::start(&redis));
    let mut took = Vec::new();
    for n in 0..200 {
        let id = id(&n.to_string());
        put(&one.store, id, "document");
        let written = Instant::now();
        while other.mirror.shown(id).is_none() {
            assert!(written.elapsed() < SOON);
            std::thread::yield_now();
        }
        took.push(written.elapsed());
    }
    took.sort();
    println!("median {:?}, p99 {:?}", took[100], took[198]);
    // Half of them, so that a busy machine is no fault; a replica that asked each second would take that long.
    assert!(took[100] < Duration::from_millis(500), "the median is {:?}", took[100]);
}
