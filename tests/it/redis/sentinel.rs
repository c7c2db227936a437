//! The master is wherever the Sentinels say, and may move while writes are under way.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use inventor::registration::Ttl;
use inventor::store::redis::{Address, Sentinel, Settings};

use super::{Replica, key};
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::store_contract::{hour, text_of};

/// The replica of a master, and a Sentinel that watches both.
struct Watched {
    replica: RedisServer,
    sentinel: RedisServer,
    sentinel_port: u16,
}

impl Watched {
    /// A master as well.
    #[track_caller]
    fn start(sentinel_password: Option<&str>) -> (RedisServer, Watched) {
        let (master, port) = RedisServer::start_on_port("--port", &[]);
        (master, Watched::watch(port, &[], sentinel_password))
    }

    /// Watches the master with this port; the arguments are for the replica.
    #[track_caller]
    fn watch(port: u16, arguments: &[&str], sentinel_password: Option<&str>) -> Watched {
        let replica_of = ["--replicaof", "127.0.0.1", &port.to_string()];
        let (replica, _) = RedisServer::start_on_port("--port", &[&replica_of, arguments].concat());
        let password = sentinel_password.map(|password| format!("requirepass {password:?}\n")).unwrap_or_default();
        let configuration = format!(
            "{password}sentinel monitor themaster 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds themaster 1500\n\
             sentinel failover-timeout themaster 5000\n"
        );
        let (sentinel, sentinel_port) = RedisServer::start_sentinel(&configuration);
        let watched = Watched { replica, sentinel, sentinel_port };
        eventually(SOON, || watched.replica.says("replication", "master_link_status:up"));
        let knows_the_replica = || {
            let mut sentinel = watched.sentinel.connect_with(sentinel_password);
            let information: String = crate::redis_server::command(&mut sentinel, &["INFO", "sentinel"]);
            information.contains("slaves=1")
        };
        eventually(SOON, knows_the_replica);
        watched
    }

    fn settings(&self, before: &[u16], master: &str, password: Option<&str>) -> Settings {
        let hosts = before.iter().copied().chain([self.sentinel_port]).map(|port| ("127.0.0.1".to_owned(), port));
        let password = password.map(str::to_owned);
        let sentinel = Sentinel { hosts: hosts.collect(), master: master.into(), username: None, password };
        Settings::new(Address::Sentinel(sentinel))
    }
}

#[test]
fn writes_move_to_the_new_master_and_none_that_was_confirmed_is_lost() {
    let (mut master, watched) = Watched::start(None);
    let replica = Replica::launch(watched.settings(&[], "themaster", None));
    replica.is_up();
    let mut confirmed = Vec::new();
    let put = |n: usize| replica.try_put(&n.to_string(), "text", hour()).is_ok();
    confirmed.extend((0..200).filter(|n| put(*n)));
    assert_eq!(confirmed.len(), 200);
    // The copying is not synchronous; what had no time to be copied is no matter of this test.
    let _: i64 = master.command(&["WAIT", "1", "5000"]);
    eventually(SOON, || watched.replica.command::<usize>(&["DBSIZE"]) == 200);
    master.kill();
    let killed = Instant::now();
    let mut n = 200;
    while confirmed.len() < 400 {
        assert!(killed.elapsed() < SOON, "no write has succeeded on the new master");
        let began = Instant::now();
        if put(n) {
            confirmed.push(n);
        } else {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(began.elapsed() < Duration::from_secs(3));
        n += 1;
    }
    replica.is_up();
    for n in confirmed {
        let name = n.to_string();
        assert_eq!(replica.get(&name).as_deref(), Some("text"));
        assert_eq!(text_of(&watched.replica.command::<Vec<u8>>(&["GET", &key(&name)])), "text");
    }
    assert_eq!(replica.count(), watched.replica.command::<usize>(&["DBSIZE"]));
}

#[test]
fn a_sentinel_that_hangs_and_one_that_is_gone_are_passed_over() {
    let (_master, watched) = Watched::start(None);
    // Accepts by its backlog, and never says a word.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let settings = watched.settings(&[hung.local_addr().unwrap().port(), 1], "themaster", None);
    let replica = Replica::launch(settings);
    replica.is_up();
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
}

#[test]
fn sentinels_have_a_password_of_their_own() {
    let (_master, watched) = Watched::start(Some("sentinels only"));
    Replica::launch(watched.settings(&[], "themaster", Some("sentinels only"))).is_up();
    let refused = Replica::launch(watched.settings(&[], "themaster", None));
    refused.is_unwell_because(&["no Sentinel answers", "password"]);
}

#[test]
fn a_master_that_no_sentinel_knows_is_named() {
    let (_master, watched) = Watched::start(None);
    let replica = Replica::launch(watched.settings(&[], "another", None));
    replica.is_unwell_because(&["no master named \"another\"", "REDIS_SENTINEL_MASTER"]);
}

#[test]
fn what_a_new_master_lacks_of_what_was_acknowledged_is_put_back() {
    let copies = ["--user", "copies", "on", ">word", "allcommands", "allkeys", "allchannels"];
    let (mut master, port) = RedisServer::start_on_port("--port", &copies);
    let watched = Watched::watch(port, &["--masteruser", "copies", "--masterauth", "word"], None);
    let replica = Replica::launch(watched.settings(&[], "themaster", None));
    replica.is_up();
    (0..50).for_each(|n| replica.put(&n.to_string(), "text"));
    eventually(SOON, || watched.replica.command::<usize>(&["DBSIZE"]) == 50);
    // What is written now is on the master alone: the replica may not come back, wherever a Sentinel sends it.
    let _: redis::Value = master.command(&["ACL", "SETUSER", "copies", "off"]);
    let _: redis::Value = master.command(&["CLIENT", "KILL", "USER", "copies"]);
    (50..60).for_each(|n| replica.put(&n.to_string(), "tail"));
    replica.try_put("for ever", "tail", Ttl::from_seconds(0)).unwrap();
    master.kill();
    eventually(SOON, || watched.replica.says("replication", "role:master"));
    eventually(SOON, || replica.try_put("new", "text", hour()).is_ok());
    replica.is_up();
    assert_eq!(replica.count(), 62);
    assert_eq!(watched.replica.command::<usize>(&["DBSIZE"]), 62);
    eventually(SOON, || replica.metric("inventor_redis_restored_total") == 11.0);
}
