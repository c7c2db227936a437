//! A cluster of one shard: what a store promises, its failovers, and what is refused.

use std::thread;
use std::time::{Duration, Instant};

use inventor::registry::Now;
use inventor::store::redis::{Address, Settings};

use super::refusals::MINIMAL_RIGHTS;
use super::{Replica, key, set};
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::store_contract::*;

/// A replica of this master that has all it has.
#[track_caller]
fn replica_of(master: &RedisServer) -> (RedisServer, u16) {
    let (node, port, bus) = RedisServer::start_node(&[]);
    let _: () = master.command(&["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), &bus.to_string()]);
    let name: String = master.command(&["CLUSTER", "MYID"]);
    eventually(SOON, || node.command::<String>(&["CLUSTER", "NODES"]).contains(&name) && node.is_well());
    let _: () = node.command(&["CLUSTER", "REPLICATE", &name]);
    // Until its master knows it, it can take over nothing.
    eventually(SOON, || master.command::<String>(&["CLUSTER", "NODES"]).contains("slave"));
    eventually(SOON, || node.command::<String>(&["INFO", "replication"]).contains("master_link_status:up"));
    (node, port)
}

fn settings(port: u16) -> Settings {
    Settings::new(Address::Cluster(vec![("127.0.0.1".to_owned(), port)]))
}

#[track_caller]
fn follower(port: u16) -> Replica {
    let follower = Replica::launch(settings(port));
    follower.is_up();
    follower
}

fn is_master(node: &RedisServer) -> bool {
    node.command::<String>(&["INFO", "replication"]).contains("role:master")
}

/// Writes until `count` more writes are confirmed, the last of them after `until` holds.
#[track_caller]
fn write(store: &Replica, confirmed: &mut Vec<usize>, count: usize, until: impl Fn() -> bool) {
    let (began, enough) = (Instant::now(), confirmed.len() + count);
    let mut n = confirmed.last().map_or(0, |last| last + 1);
    while confirmed.len() < enough || !until() {
        assert!(began.elapsed() < SOON, "no write succeeds");
        match store.try_put(&n.to_string(), "text", hour()) {
            Ok(()) => confirmed.push(n),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
        n += 1;
    }
}

/// What a store promises, as far as a cluster could make a difference: how it is written.
const FACTS: [fn(&Node); 13] = [
    what_was_put_is_shown_and_stored,
    a_large_document_is_stored_and_shown_whole,
    what_was_deleted_is_gone,
    every_write_is_shown_before_it_returns,
    after_writers_raced_on_the_same_ids_list_and_store_agree,
    a_batch_is_made_in_order_and_says_what_its_removals_found,
    a_batch_is_shown_at_once,
    a_write_is_made_only_if_what_is_stored_passes_its_check,
    a_check_that_refuses_one_value_refuses_the_batch,
    of_writers_that_expect_the_same_one_writes,
    no_team_takes_or_removes_what_is_anothers,
    a_plan_is_carried_out_only_if_it_follows_from_what_is_stored,
    a_registration_that_was_renewed_is_not_removed_as_it_was,
];

/// One after the other, since a new cluster takes two seconds to begin.
#[test]
fn a_cluster_keeps_what_a_store_promises() {
    let (node, port) = RedisServer::start_cluster(&[]);
    for fact in FACTS {
        let _: () = node.command(&["FLUSHALL"]);
        fact(&follower(port));
    }
}

#[test]
fn writes_follow_a_failover_there_and_back_and_none_that_was_confirmed_is_lost() {
    let (first, port) = RedisServer::start_cluster(&[]);
    let (second, _) = replica_of(&first);
    let store = follower(port);
    let mut confirmed = Vec::new();
    for (old, new) in [(&first, &second), (&second, &first)] {
        thread::scope(|scope| {
            let failover = scope.spawn(|| {
                eventually(SOON, || new.command::<String>(&["INFO", "replication"]).contains("master_link_status:up"));
                eventually(SOON, || old.command::<String>(&["CLUSTER", "NODES"]).contains("slave"));
                let _: () = new.command(&["CLUSTER", "FAILOVER"]);
            });
            // Under writes, and afterwards.
            write(&store, &mut confirmed, 200, || is_master(new) && !is_master(old));
            failover.join().unwrap();
            write(&store, &mut confirmed, 200, || true);
        });
        store.is_up();
        assert_eq!(new.command::<usize>(&["DBSIZE"]), store.count());
        for n in &confirmed {
            let name = n.to_string();
            assert_eq!(store.shown(&name).as_deref(), Some("text"));
            assert_eq!(text_of(&new.command::<Vec<u8>>(&["GET", &key(&name)])), "text");
        }
    }
    // What is made as a whole, and what a check allows, is there as well.
    store.write(vec![put("a", "first of two", hour()), put("b", "second of two", hour()), delete("0")]).unwrap();
    store.registry.put(id("c"), &registration("c", "g"), &team("g"), Now::read()).unwrap();
    assert_eq!(store.get("0"), None);
    assert_eq!(store.get("b").as_deref(), Some("second of two"));
}

#[test]
fn a_replica_that_takes_over_is_found_when_every_node_that_was_named_is_gone() {
    let (mut master, port) = RedisServer::start_cluster(&[]);
    let (replica, _) = replica_of(&master);
    set(&mut master.connect(), "before", "text");
    // A replica is named only once it has something; who connects afterwards has heard of it.
    eventually(SOON, || {
        let slots: Vec<Vec<redis::Value>> = master.command(&["CLUSTER", "SLOTS"]);
        slots[0].len() == 4
    });
    let store = follower(port);
    store.put("a", "text");
    let _: i64 = master.command(&["WAIT", "1", "5000"]);
    master.kill();
    let _: () = replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    eventually(SOON, || store.try_put("b", "text", hour()).is_ok());
    store.is_up();
    assert_eq!((store.shown("a").as_deref(), replica.command::<usize>(&["DBSIZE"])), (Some("text"), 3));
}

#[test]
fn a_node_that_hangs_is_an_outage_and_what_it_loses_by_a_restart_is_put_back() {
    let (mut node, port) = RedisServer::start_cluster(&[]);
    let store = follower(port);
    (0..50).for_each(|n| store.put(&n.to_string(), "text"));
    node.freeze();
    assert!(store.try_put("refused", "text", hour()).is_err());
    store.is_down();
    assert_eq!(store.count(), 50);
    node.thaw();
    eventually(SOON, || store.try_put("afterwards", "text", hour()).is_ok());
    store.is_up();
    let count = store.count();
    // For two seconds after its start it is down by its own account, with all slots.
    node.kill();
    node.run();
    eventually(SOON, || node.command::<usize>(&["DBSIZE"]) == count);
    store.is_up();
    assert_eq!((store.count(), store.get("7").as_deref()), (count, Some("text")));
    eventually(SOON, || store.metric("inventor_redis_restored_total") == count as f64);
}

#[test]
fn an_acl_user_needs_two_rights_more_and_without_eval_only_some_writes_are_refused() {
    let (node, port) = RedisServer::start_cluster(&[]);
    let with = |user: &str, more: &[&str]| {
        let rights: Vec<&str> = MINIMAL_RIGHTS.split(' ').chain(more.iter().copied()).collect();
        let _: () = node.command(&[&["ACL", "SETUSER", user, "on", ">pass"], &rights[..]].concat());
        let (username, password) = (Some(user.to_owned()), Some("pass".to_owned()));
        Replica::launch(Settings { username, password, ..settings(port) })
    };
    let batch = || vec![put("a", "first of two", hour()), put("b", "second of two", hour())];
    let all = with("all", &["+cluster|slots", "+eval"]);
    all.is_up();
    assert_eq!(all.write(batch()), Ok(vec![false, false]));
    assert_eq!(all.write(vec![delete("a"), delete("b")]), Ok(vec![true, true]));
    let none = with("none", &[]);
    none.is_unwell_because(&["a permission is missing", "+cluster|slots"]);
    let some = with("some", &["+cluster|slots"]);
    eventually(SOON, || some.registry.health(Now::read()).is_ok());
    some.is_unwell_because(&["a permission is missing", "eval"]);
    assert!(some.write(batch()).is_err());
    some.put("c", "text");
    assert_eq!(some.registry.health(Now::read()), Ok(()));
}

#[test]
fn a_cluster_of_several_shards_and_one_that_lacks_slots_are_refused_with_a_sentence() {
    let (first, port, _) = RedisServer::start_node(&[]);
    let _: () = first.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    Replica::launch(settings(port)).is_unwell_because(&["slots"]);
    let (second, other, bus) = RedisServer::start_node(&[]);
    let _: () = second.command(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    let _: () = first.command(&["CLUSTER", "MEET", "127.0.0.1", &other.to_string(), &bus.to_string()]);
    Replica::launch(settings(port)).is_unwell_because(&["more than one shard"]);
    Replica::launch(settings(1)).is_unwell_because(&["no node of the cluster answers", "REDIS_CLUSTER"]);
}
