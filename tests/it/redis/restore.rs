//! Redis comes back without what it had: what is put back, and what is not.

use std::time::Duration;

use inventor::store::Store;
use inventor::store::redis::Settings;

use super::Replica;
use super::proxy::Proxy;
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::store_contract::{hour, id, put};

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

#[track_caller]
fn put_many(replica: &Replica, count: usize) {
    for n in 0..count {
        put(&replica.store, id(&n.to_string()), "document");
    }
}

#[track_caller]
fn stored(redis: &RedisServer) -> usize {
    redis.command(&["DBSIZE"])
}

/// Replaces the process while the replica cannot reach it, so that the test has the new one for itself first.
#[track_caller]
fn restart_unseen(redis: &mut RedisServer, proxy: &Proxy, replica: &Replica, meanwhile: impl FnOnce(&RedisServer)) {
    proxy.fall_silent();
    replica.is_down();
    redis.kill();
    redis.run();
    meanwhile(redis);
    proxy.cut();
    proxy.speak();
    replica.is_up();
}

#[test]
fn what_a_restart_lost_is_put_back_with_the_rest_of_its_lifetime() {
    let mut redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put_many(&replica, 3000);
    let forever = id("forever");
    replica
        .store
        .put(forever, b"for ever".into(), inventor::registration::Ttl::from_seconds(0), std::time::SystemTime::now())
        .unwrap();
    redis.kill();
    replica.is_down();
    assert_eq!(replica.mirror.all().len(), 3001);
    redis.run();
    replica.is_up();
    assert_eq!(replica.mirror.all().len(), 3001);
    assert_eq!(stored(&redis), 3001);
    assert_eq!(replica.metric("inventor_redis_restored_total"), 3001.0);
    let rest: i64 = redis.command(&["PTTL", &id("0").to_string()]);
    let hour = hour().duration().unwrap();
    assert!(rest > 0 && Duration::from_millis(rest.unsigned_abs()) < hour, "the rest is {rest} ms");
    assert_eq!(redis.command::<i64>(&["PTTL", &forever.to_string()]), -1);
    assert_eq!(redis.command::<String>(&["GET", &forever.to_string()]), "for ever");
}

#[test]
fn replicas_share_the_work_of_restoring() {
    let mut redis = RedisServer::start();
    let replicas = [Replica::start(&redis), Replica::start(&redis), Replica::start(&redis)];
    put_many(&replicas[0], 3000);
    eventually(SOON, || replicas.iter().all(|replica| replica.mirror.all().len() == 3000));
    redis.kill();
    redis.run();
    eventually(SOON, || stored(&redis) == 3000);
    for replica in &replicas {
        replica.is_up();
        eventually(SOON, || replica.mirror.all().len() == 3000);
    }
    let restored: f64 = replicas.iter().map(|replica| replica.metric("inventor_redis_restored_total")).sum();
    assert_eq!(restored, 3000.0, "nothing is put back twice");
}

#[test]
fn nothing_is_put_back_when_that_is_switched_off() {
    let mut redis = RedisServer::start();
    let replica = Replica::launch(Settings { restore: false, ..Settings::from_url(&redis.url()).unwrap() });
    replica.is_up();
    put_many(&replica, 10);
    redis.kill();
    replica.is_down();
    redis.run();
    replica.is_up();
    assert_eq!(replica.mirror.all().len(), 0);
    assert_eq!(stored(&redis), 0);
}

#[test]
fn what_was_written_after_the_restart_is_not_overwritten() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    restart_unseen(&mut redis, &proxy, &replica, |redis| {
        let _: () = redis.command(&["SET", &id("3").to_string(), "newer"]);
    });
    assert_eq!(stored(&redis), 10);
    assert_eq!(redis.command::<String>(&["GET", &id("3").to_string()]), "newer");
    assert_eq!(replica.mirror.shown(id("3")), Some(b"newer".to_vec()));
    assert_eq!(replica.metric("inventor_redis_restored_total"), 9.0);
}

#[test]
fn a_deletion_is_respected_by_a_server_that_keeps_its_data() {
    let mut redis = RedisServer::start_with(DURABLE);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    restart_unseen(&mut redis, &proxy, &replica, |redis| {
        let _: () = redis.command(&["DEL", &id("3").to_string()]);
    });
    assert_eq!(replica.mirror.all().len(), 9);
    assert_eq!(stored(&redis), 9);
    assert_eq!(replica.metric("inventor_redis_restored_total"), 0.0);
}

#[test]
fn a_server_that_should_keep_its_data_and_lost_most_of_it_gets_it_back() {
    let mut redis = RedisServer::start_with(DURABLE);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    restart_unseen(&mut redis, &proxy, &replica, |redis| {
        for n in 0..5 {
            let _: () = redis.command(&["DEL", &id(&n.to_string()).to_string()]);
        }
    });
    assert_eq!(replica.mirror.all().len(), 10);
    assert_eq!(stored(&redis), 10);
}

#[test]
fn a_server_that_was_emptied_and_not_restarted_stays_empty() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    proxy.fall_silent();
    replica.is_down();
    let _: () = redis.command(&["FLUSHALL"]);
    proxy.cut();
    proxy.speak();
    replica.is_up();
    assert_eq!(replica.mirror.all().len(), 0);
    assert_eq!(stored(&redis), 0);
}
