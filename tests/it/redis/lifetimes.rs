//! Lifetimes in Redis across outages: what is kept, by how much it is lengthened, and that all servers agree on it.

use std::time::{Duration, Instant};

use inventor::registration::Ttl;
use inventor::registry::Now;

use super::{Replica, key};
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::store_contract::{everywhere, id, put, registration};

/// What is left of a lifetime in Redis itself, in milliseconds.
#[track_caller]
fn left(redis: &RedisServer, name: &str) -> i64 {
    redis.command(&["PTTL", &key(name)])
}

#[track_caller]
fn refuse_writes(redis: &RedisServer) {
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
}

#[track_caller]
fn take_writes(redis: &RedisServer) {
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
}

/// The list and Redis tell the same of a lifetime, nearly: it goes on between one question and the next.
#[track_caller]
fn agrees(replica: &Replica, redis: &RedisServer, name: &str) {
    let before = left(redis, name);
    let shown = replica.rest(name).unwrap().as_millis() as i64;
    let after = left(redis, name);
    assert!(
        (after - 500..=before + 500).contains(&shown),
        "{name}: {shown} ms are shown, {before} to {after} are left"
    );
}

/// Waits until this long after an instant.
fn wait(since: Instant, time: Duration) {
    eventually(SOON, || since.elapsed() >= time);
}

/// A renewal as its owner makes it.
fn renew(replica: &Replica, name: &str) -> bool {
    replica.registry.put(id(name), &registration(name, "text"), &everywhere("test"), Now::read()).is_ok()
}

#[test]
fn an_outage_lengthens_lifetimes_by_itself_and_up_to_half_a_lifetime() {
    let redis = RedisServer::start();
    let replica = Replica::start_with_lifetime(20, &redis);
    let put = |name, seconds| replica.try_put(name, "text", Ttl::from_seconds(seconds)).unwrap();
    let began = Instant::now();
    put("expires", 2);
    put("has a moment left", 8);
    put("was refused", 2);
    put("has time", 30);
    put("ever", 0);
    refuse_writes(&redis);
    replica.is_down();
    assert!(!renew(&replica, "was refused"));
    wait(began, Duration::from_secs(5));
    assert_eq!(redis.command::<usize>(&["DBSIZE"]), 3, "Redis knows no outages");
    assert_eq!(replica.count(), 5, "nothing is shown as gone");
    let before = left(&redis, "has time");
    let healed = Instant::now();
    take_writes(&redis);
    replica.is_up();
    // The outage began with the puts, or up to a heartbeat later.
    let close = |left: i64, most: i64| {
        let since = healed.elapsed().as_millis() as i64;
        assert!((most - 2500 - since..=most).contains(&left), "{left} ms of {most} are left after {since} ms");
    };
    close(left(&redis, "expires"), 2000);
    close(left(&redis, "has a moment left"), 8000);
    close(left(&redis, "was refused"), 10_000);
    assert!(left(&redis, "has time") <= before, "more than half a lifetime is not lengthened");
    assert_eq!(left(&redis, "ever"), -1);
    for name in ["expires", "has a moment left", "was refused"] {
        agrees(&replica, &redis, name);
    }
    eventually(SOON, || replica.shown("expires").is_none());
    assert_eq!(replica.count(), 4);
}

#[test]
fn an_outage_is_over_when_redis_has_all_the_new_deadlines() {
    const COUNT: usize = 5000;
    let redis = RedisServer::start();
    let replica = Replica::start_with_lifetime(600, &redis);
    let puts = (0..COUNT).map(|n| put(&n.to_string(), "text", Ttl::from_seconds(4)));
    replica.write(puts.collect()).unwrap();
    refuse_writes(&redis);
    // Redis 8 and Valkey 8 leave a few where they are until somebody asks for them.
    eventually(SOON, || redis.command::<usize>(&["DBSIZE"]) < COUNT / 10);
    assert_eq!(replica.count(), COUNT);
    take_writes(&redis);
    eventually(SOON, || replica.stale().is_none());
    assert_eq!(redis.command::<usize>(&["DBSIZE"]), COUNT);
    assert_eq!(replica.count(), COUNT);
}

#[test]
fn replicas_that_went_through_the_same_outage_lengthen_once() {
    let redis = RedisServer::start();
    let replicas = [(); 3].map(|()| Replica::start_with_lifetime(60, &redis));
    let began = Instant::now();
    for name in ["lives", "expires"] {
        let seconds = if name == "lives" { 8 } else { 3 };
        replicas[0].try_put(name, "text", Ttl::from_seconds(seconds)).unwrap();
    }
    eventually(SOON, || replicas.iter().all(|replica| replica.count() == 2));
    refuse_writes(&redis);
    replicas.iter().for_each(|replica| replica.is_down());
    wait(began, Duration::from_secs(5));
    let healed = Instant::now();
    take_writes(&redis);
    replicas.iter().for_each(|replica| replica.is_up());
    // The outage is longer than five seconds: twice would be noticed. The last proof before it may be a second old.
    for (name, most) in [("lives", 9000), ("expires", 4000)] {
        let left = left(&redis, name);
        let since = healed.elapsed().as_millis() as i64;
        assert!((most - 3500 - since..=most).contains(&left), "{name}: {left} ms of {most} are left");
        replicas.iter().for_each(|replica| agrees(replica, &redis, name));
    }
    eventually(SOON, || replicas.iter().all(|replica| replica.count() == 1));
}

#[test]
fn an_outage_of_one_replica_alone_lengthens_nothing() {
    let redis = RedisServer::start();
    let proxy = super::Proxy::before(&redis.socket());
    let alone = Replica::start_behind(&proxy);
    let other = Replica::start(&redis);
    other.try_put("short", "text", Ttl::from_seconds(13)).unwrap();
    let began = Instant::now();
    eventually(SOON, || alone.count() == 1);
    proxy.fall_silent();
    alone.is_down();
    wait(began, Duration::from_secs(6));
    // Others can write in the midst of it.
    other.put("another", "text");
    wait(began, Duration::from_secs(12));
    proxy.cut();
    proxy.speak();
    alone.is_up();
    eventually(SOON, || alone.shown("short").is_none());
    let ended = began.elapsed();
    assert!(ended < Duration::from_secs(18), "it ended after {ended:?}");
    assert_eq!(left(&redis, "short"), -2);
    assert_eq!(alone.count(), 1);
}

#[test]
fn what_is_renewed_as_often_as_twice_per_lifetime_lives_through_outages_in_a_row() {
    let redis = RedisServer::start();
    let replica = Replica::start_with_lifetime(8, &redis);
    assert!(renew(&replica, "a"));
    for _ in 0..5 {
        // Each attempt meets an outage, and there is time to write between them.
        refuse_writes(&redis);
        assert!(!renew(&replica, "a"));
        take_writes(&redis);
        replica.is_up();
        let end = Instant::now();
        eventually(SOON, || {
            assert!(replica.shown("a").is_some(), "it went {:?} after an outage", end.elapsed());
            end.elapsed() > Duration::from_secs(2)
        });
        assert!(left(&redis, "a") > 0);
    }
    assert!(renew(&replica, "a"));
}
