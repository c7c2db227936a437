//! Redis comes back without what it had: what is put back, and what is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use inventor::registration::Ttl;
use inventor::registry::{Declaration, Now};
use inventor::store::redis::{Address, Settings};

use super::proxy::Proxy;
use super::{Ending, Replica, key, settings, value};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{everywhere, hour, id, put, rules, text_of};

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

#[track_caller]
fn put_many(replica: &Replica, count: usize) {
    for n in 0..count {
        replica.put(&n.to_string(), "document");
    }
}

#[track_caller]
fn stored(redis: &RedisServer) -> usize {
    redis.command(&["DBSIZE"])
}

/// The text in Redis itself.
#[track_caller]
fn in_redis(redis: &RedisServer, name: &str) -> Option<String> {
    redis.command::<Option<Vec<u8>>>(&["GET", &key(name)]).map(|value| text_of(&value))
}

/// Does something that the replica does not see, since it is cut off meanwhile.
#[track_caller]
fn unseen(proxy: &Proxy, replica: &Replica, meanwhile: impl FnOnce()) {
    proxy.fall_silent();
    replica.is_down();
    meanwhile();
    proxy.cut();
    proxy.speak();
    replica.is_up();
}

/// Replaces the process while the replica cannot reach it, so that the test has the new one for itself first.
#[track_caller]
fn restart_unseen(redis: &mut RedisServer, proxy: &Proxy, replica: &Replica, meanwhile: impl FnOnce(&RedisServer)) {
    unseen(proxy, replica, || {
        redis.kill();
        redis.run();
        meanwhile(redis);
    });
}

/// Replaces the process by one that takes no writes.
#[track_caller]
fn restart_full(redis: &mut RedisServer, replica: &Replica) {
    redis.kill();
    replica.is_down();
    redis.arguments(&["--maxmemory", "1"]);
    redis.run();
    replica.is_unwell_because(&["maxmemory"]);
}

/// Replaces the process; what the replica then asks it with this text in it is done and not answered.
#[track_caller]
fn restart_held_at(asked: &str, redis: &mut RedisServer, proxy: &Proxy, replica: &Replica) {
    redis.kill();
    replica.is_down();
    proxy.hold_next(asked);
    redis.run();
    proxy.is_holding();
}

#[test]
fn what_a_restart_lost_is_put_back_with_the_rest_of_its_lifetime() {
    let mut redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put_many(&replica, 3000);
    replica.try_put("forever", "for ever", Ttl::from_seconds(0)).unwrap();
    redis.kill();
    replica.is_down();
    assert_eq!(replica.count(), 3001);
    redis.run();
    replica.is_up();
    assert_eq!(replica.count(), 3001);
    assert_eq!(stored(&redis), 3001);
    eventually(SOON, || replica.metric("inventor_redis_restored_total") == 3001.0);
    let rest: i64 = redis.command(&["PTTL", &key("0")]);
    let hour = hour().duration().unwrap();
    assert!(rest > 0 && Duration::from_millis(rest.unsigned_abs()) < hour, "the rest is {rest} ms");
    assert_eq!(redis.command::<i64>(&["PTTL", &key("forever")]), -1);
    assert_eq!(in_redis(&redis, "forever").as_deref(), Some("for ever"));
}

#[test]
fn replicas_share_the_work_of_restoring() {
    let mut redis = RedisServer::start();
    let replicas = [Replica::start(&redis), Replica::start(&redis), Replica::start(&redis)];
    put_many(&replicas[0], 3000);
    eventually(SOON, || replicas.iter().all(|replica| replica.count() == 3000));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for replica in &replicas {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(replica.count(), 3000, "none goes for a moment, whoever puts it back");
                }
            });
        }
        let _ending = Ending(&done);
        redis.kill();
        redis.run();
        for replica in &replicas {
            eventually(SOON, || replica.metric("inventor_redis_connects_total") == 2.0);
            replica.is_up();
        }
    });
    assert_eq!(stored(&redis), 3000);
    let restored: f64 = replicas.iter().map(|replica| replica.metric("inventor_redis_restored_total")).sum();
    assert_eq!(restored, 3000.0, "nothing is put back twice");
}

#[test]
fn nothing_is_put_back_when_that_is_switched_off() {
    let mut redis = RedisServer::start();
    let replica = Replica::launch(Settings { restore: false, ..settings(&redis) });
    replica.is_up();
    put_many(&replica, 10);
    redis.kill();
    replica.is_down();
    redis.run();
    replica.is_up();
    assert_eq!(replica.count(), 0);
    assert_eq!(stored(&redis), 0);
}

#[test]
fn what_was_written_after_the_restart_is_not_overwritten() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    restart_unseen(&mut redis, &proxy, &replica, |redis| {
        let _: () = redis.command(&["SET", &key("3"), &value("3", "newer")]);
    });
    assert_eq!(stored(&redis), 10);
    assert_eq!(in_redis(&redis, "3").as_deref(), Some("newer"));
    assert_eq!(replica.shown("3").as_deref(), Some("newer"));
    eventually(SOON, || replica.metric("inventor_redis_restored_total") == 9.0);
}

#[test]
fn a_deletion_is_respected_by_a_server_that_keeps_its_data() {
    let mut redis = RedisServer::start_with(DURABLE);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    restart_unseen(&mut redis, &proxy, &replica, |redis| {
        let _: () = redis.command(&["DEL", &key("3")]);
    });
    assert_eq!(replica.count(), 9);
    assert_eq!(stored(&redis), 9);
    assert_eq!(replica.metric("inventor_redis_restored_total"), 0.0);
}

#[test]
fn of_a_server_that_saves_now_and_then_the_order_of_writes_tells_what_was_lost() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    proxy.fall_silent();
    // Deleted while nobody looked, and saved so.
    let _: () = redis.command(&["DEL", &key("3")]);
    let _: () = redis.command(&["SAVE"]);
    proxy.speak();
    replica.is_up();
    for name in ["late 1", "late 2"] {
        replica.put(name, "document");
    }
    eventually(SOON, || replica.shown("3").is_none());
    proxy.fall_silent();
    redis.kill();
    let connects = replica.metric("inventor_redis_connects_total");
    redis.run();
    assert_eq!(stored(&redis), 9, "what was saved");
    let _: () = redis.command(&["DEL", &key("4")]);
    proxy.cut();
    proxy.speak();
    eventually(SOON, || replica.metric("inventor_redis_connects_total") > connects);
    replica.is_up();
    eventually(SOON, || replica.count() == 10);
    for name in ["late 1", "late 2"] {
        assert_eq!(in_redis(&redis, name).as_deref(), Some("document"), "written after what was saved");
    }
    for name in ["3", "4"] {
        assert_eq!((in_redis(&redis, name), replica.shown(name)), (None, None), "written before, and deleted");
    }
    eventually(SOON, || replica.metric("inventor_redis_restored_total") == 2.0);
}

#[test]
fn after_a_restart_a_deletion_is_believed_when_two_scans_a_second_apart_agree() {
    let mut redis = RedisServer::start_with(DURABLE);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    let scans = replica.metric("inventor_redis_resyncs_total");
    proxy.fall_silent();
    replica.is_down();
    redis.kill();
    redis.run();
    let _: () = redis.command(&["DEL", &key("3")]);
    let _: () = redis.command(&["DEL", &key("4")]);
    proxy.cut();
    proxy.speak();
    // Before this it has not looked.
    let mut looked = Instant::now();
    eventually(SOON, || {
        let asked = Instant::now();
        let has_looked = replica.metric("inventor_redis_resyncs_total") > scans;
        looked = if has_looked { looked } else { asked };
        has_looked
    });
    // Another server puts one of them back.
    let _: () = redis.command(&["SET", &key("4"), &value("4", "document"), "EX", "3600"]);
    eventually(SOON, || {
        assert!(replica.shown("4").is_some(), "what is on its way back never goes");
        replica.shown("3").is_none()
    });
    assert!(looked.elapsed() > Duration::from_millis(900), "it was believed after {:?}", looked.elapsed());
    replica.is_up();
    assert!(replica.metric("inventor_redis_resyncs_total") >= scans + 2.0);
    assert_eq!((replica.count(), stored(&redis)), (9, 9));
}

/// Most of what there was is deleted by somebody else, and what was written last as well.
fn delete_most(redis: &RedisServer) {
    for n in (0..20).chain(30..40) {
        let _: usize = redis.command(&["DEL", &key(&n.to_string())]);
    }
}

#[track_caller]
fn stays_deleted(redis: &RedisServer, replica: &Replica) {
    assert_eq!((replica.count(), stored(redis)), (10, 10));
    assert_eq!(replica.metric("inventor_redis_restored_total"), 0.0);
}

#[test]
fn a_server_that_keeps_its_data_has_lost_nothing_however_much_is_missing() {
    let mut redis = RedisServer::start_with(DURABLE);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 40);
    restart_unseen(&mut redis, &proxy, &replica, delete_most);
    stays_deleted(&redis, &replica);
}

#[test]
fn what_was_deleted_after_everything_was_saved_at_the_stop_stays_deleted() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 40);
    unseen(&proxy, &replica, || {
        redis.stop_and_save();
        redis.run();
        delete_most(&redis);
    });
    stays_deleted(&redis, &replica);
}

#[test]
fn what_was_deleted_before_everything_was_saved_at_the_stop_stays_deleted() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 40);
    unseen(&proxy, &replica, || {
        for n in 0..30 {
            let _: usize = redis.command(&["DEL", &key(&n.to_string())]);
        }
        redis.stop_and_save();
        redis.run();
    });
    stays_deleted(&redis, &replica);
}

#[test]
fn in_doubt_nothing_is_put_back_for_longer_than_half_a_lifetime() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    replica.put("for an hour", "document");
    replica.try_put("for ever", "document", Ttl::from_seconds(0)).unwrap();
    // Who was cut off does not know what was deleted before the restart.
    restart_unseen(&mut redis, &proxy, &replica, |_| {});
    let half = hour().duration().unwrap() / 2;
    for name in ["for an hour", "for ever"] {
        let left: i64 = redis.command(&["PTTL", &key(name)]);
        assert!(left > 0 && Duration::from_millis(left.unsigned_abs()) <= half, "{name}: {left} ms");
    }
    eventually(SOON, || replica.rest("for ever").is_some_and(|rest| rest <= half));
}

#[test]
fn a_server_that_was_emptied_and_not_restarted_stays_empty() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 10);
    unseen(&proxy, &replica, || {
        let _: () = redis.command(&["FLUSHALL"]);
    });
    assert_eq!(replica.count(), 0);
    assert_eq!(stored(&redis), 0);
}

#[test]
fn a_deletion_during_the_scan_after_a_restart_is_a_deletion() {
    let mut redis = RedisServer::start_with(DURABLE);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 100);
    restart_held_at("GETRANGE", &mut redis, &proxy, &replica);
    // The first ones to be fetched are at the end of the page; their values are on their way.
    let (_, keys): (String, Vec<String>) = redis.command(&["SCAN", "0", "COUNT", "1000"]);
    let fetched: Vec<&str> = keys[84..].iter().map(String::as_str).collect();
    let _: usize = redis.command(&[&["DEL"], &fetched[..]].concat());
    proxy.speak();
    replica.is_up();
    eventually(SOON, || replica.count() == 84);
    assert_eq!(stored(&redis), 84);
}

#[test]
fn while_a_restart_is_made_good_a_deletion_that_is_answered_is_one() {
    let mut redis = RedisServer::start();
    // Other programs' keys make the scan long.
    let many = "for n = 1, 20000 do redis.call('SET', 'session:' .. n, '') end";
    let _: redis::Value = redis.command(&["EVAL", many, "0"]);
    let _: () = redis.command(&["SAVE"]);
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::start_behind(&proxy);
    put_many(&replica, 100);
    restart_held_at("SCAN", &mut redis, &proxy, &replica);
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let deleted: Vec<&String> = thread::scope(|scope| {
        let deleting = scope.spawn(|| {
            let nothing = Declaration { group: "g", registrations: &[] };
            let writer = everywhere("test");
            let mut plan = replica.registry.view.plan(&nothing, &writer, Now::read()).unwrap();
            assert_eq!(plan.deleted, 100);
            if replica.registry.carry_out(&mut plan, &writer).is_ok() {
                return names.iter().collect();
            }
            let delete = |name: &&String| replica.registry.delete(id(name), None, &writer).is_ok();
            names.iter().filter(delete).collect()
        });
        proxy.speak();
        deleting.join().unwrap()
    });
    replica.is_up();
    for name in deleted {
        assert_eq!((in_redis(&redis, name), replica.shown(name)), (None, None), "{name} was deleted");
    }
    assert_eq!(stored(&redis), 20_000 + replica.count());
}

#[test]
fn writes_between_two_scans_after_a_restart_do_not_end_the_outage() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::before(&redis.socket());
    let replica = Replica::launch_with(rules(Ttl::from_seconds(10)), Settings::new(Address::Unix(proxy.socket())));
    replica.is_up();
    let put = |name: &str| replica.try_put(name, "document", Ttl::from_seconds(10)).unwrap();
    (0..10).for_each(|n| put(&n.to_string()));
    let _: () = redis.command(&["SAVE"]);
    put("late");
    // From then on the outage concerns it.
    eventually(SOON, || replica.rest("late").unwrap() < Duration::from_secs(5));
    proxy.fall_silent();
    redis.kill();
    redis.run();
    let _: () = redis.command(&["DEL", &key("3")]);
    proxy.cut();
    proxy.speak();
    eventually(SOON, || replica.metric("inventor_redis_connects_total") == 2.0);
    while in_redis(&redis, "late").is_none() {
        put("other");
        assert!(replica.shown("late").is_some(), "it is on its way back");
    }
    replica.is_up();
    assert!(replica.shown("late").is_some());
    assert_eq!((in_redis(&redis, "3"), replica.shown("3")), (None, None));
}

#[test]
fn what_a_restart_lost_survives_renewals_that_are_refused() {
    let mut redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put_many(&replica, 10);
    restart_full(&mut redis, &replica);
    for _ in 0..2 {
        for n in 0..5 {
            assert!(replica.try_put(&n.to_string(), "renewed", hour()).is_err());
        }
        let batch = ["5", "6"].map(|name| put(name, "renewed", hour()));
        assert!(replica.write(batch.to_vec()).is_err());
        assert_eq!(replica.count(), 10, "its owner lives");
    }
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    replica.is_up();
    assert_eq!((replica.count(), stored(&redis)), (10, 10));
    eventually(SOON, || replica.metric("inventor_redis_restored_total") == 10.0);
}

#[test]
fn what_happens_in_another_database_deletes_nothing_that_a_restart_lost() {
    let mut redis = RedisServer::start();
    let elsewhere = |redis: &RedisServer, words: &[&str]| {
        let mut connection = redis.connect();
        let _: () = command(&mut connection, &["SELECT", "5"]);
        let _: redis::Value = command(&mut connection, words);
    };
    elsewhere(&redis, &["SET", &key("3"), "the same id"]);
    let _: () = redis.command(&["SAVE"]);
    let replica = Replica::start(&redis);
    put_many(&replica, 10);
    restart_full(&mut redis, &replica);
    let refetched = replica.metric("inventor_redis_refetched_keys_total");
    elsewhere(&redis, &["DEL", &key("3")]);
    eventually(SOON, || replica.metric("inventor_redis_refetched_keys_total") > refetched);
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    replica.is_up();
    assert_eq!((replica.count(), stored(&redis)), (10, 10));
}
