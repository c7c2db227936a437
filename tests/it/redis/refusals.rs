//! What Redis can have against a client, and what operators are told to do about it.

use std::time::SystemTime;

use inventor::store::Store;
use inventor::store::redis::{Address, Settings};

use super::{Replica, proxy::Proxy};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{hour, id, put};

const MINIMAL_RIGHTS: &str = "~* +client|tracking +get +pttl +scan +set +del +info +ping";

/// A store with these settings is down for a reason in which all these texts stand.
#[track_caller]
fn refused(settings: Settings, texts: &[&str]) {
    let replica = Replica::launch(settings);
    replica.is_down_because(texts);
    assert_eq!(replica.mirror.loaded_count(), 0);
}

#[track_caller]
fn settings(redis: &RedisServer) -> Settings {
    Settings::from_url(&redis.url()).unwrap()
}

#[track_caller]
fn with_user(redis: &RedisServer, username: &str, password: &str) -> Settings {
    Settings { username: Some(username.into()), password: Some(password.into()), ..settings(redis) }
}

#[test]
fn an_acl_user_with_the_minimal_rights_can_do_everything() {
    let redis = RedisServer::start();
    let words: Vec<&str> = MINIMAL_RIGHTS.split(' ').collect();
    let _: () = redis.command(&[&["ACL", "SETUSER", "inventor", "on", ">se cret/#?@:"], &words[..]].concat());
    let replica = Replica::launch(with_user(&redis, "inventor", "se cret/#?@:"));
    replica.is_up();
    let a = id("a");
    put(&replica.store, a, "document");
    assert_eq!(replica.mirror.shown(a), Some(b"document".to_vec()));
    assert_eq!(replica.store.delete(a, SystemTime::now()), Ok(true));
    // Whoever has no right to it would be disconnected by the second full read.
    let _: () = redis.command(&["FLUSHALL"]);
    eventually(SOON, || replica.metric("inventor_redis_resyncs_total") == 2.0);
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}

#[test]
fn a_right_that_is_missing_is_named() {
    let redis = RedisServer::start();
    for right in ["+client|tracking", "+pttl", "+scan", "+info", "+get"] {
        let rights: Vec<&str> = MINIMAL_RIGHTS.split(' ').filter(|word| *word != right).collect();
        let user = right.trim_start_matches('+');
        let _: () = redis.command(&[&["ACL", "SETUSER", user, "on", ">secret"], &rights[..]].concat());
        let _: () = redis.command(&["SET", &id("a").to_string(), "document"]);
        let command = user.split('|').next().unwrap();
        refused(with_user(&redis, user, "secret"), &["a right is missing", command, "+client|tracking"]);
    }
}

#[test]
fn a_wrong_password_and_a_missing_one_are_told_apart() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    refused(settings(&redis), &["asks for a password", "REDIS_PASSWORD"]);
    let wrong = Settings { password: Some("wrong".into()), ..settings(&redis) };
    refused(wrong, &["refuses the user or the password", "REDIS_PASSWORD"]);
    Replica::launch(Settings { password: Some("right".into()), ..settings(&redis) }).is_up();
}

#[test]
fn a_server_before_version_6_is_named_as_such() {
    let redis = RedisServer::start_with(&["--rename-command", "HELLO", ""]);
    refused(settings(&redis), &["Redis 6 or newer"]);
}

#[test]
fn a_proxy_without_tracking_is_named_as_such() {
    let redis = RedisServer::start_with(&["--rename-command", "CLIENT", ""]);
    refused(settings(&redis), &["CLIENT TRACKING"]);
}

#[test]
fn a_replica_is_refused() {
    let redis = RedisServer::start();
    let _: () = redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    refused(settings(&redis), &["replica"]);
}

#[test]
fn a_master_that_becomes_a_replica_is_left_at_the_first_write() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put(&replica.store, id("a"), "document");
    let _: () = redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let put = replica.store.put(id("b"), vec![], hour(), SystemTime::now());
    assert!(put.unwrap_err().to_string().contains("replica"));
    replica.is_down_because(&["replica"]);
    let _: () = redis.command(&["REPLICAOF", "NO", "ONE"]);
    replica.is_up();
}

#[test]
fn a_node_of_a_cluster_is_refused() {
    let mut redis = RedisServer::prepare(&["--cluster-enabled", "yes", "--cluster-port", "1"]);
    redis.run();
    refused(settings(&redis), &["Cluster"]);
}

#[test]
fn a_server_that_is_loading_is_waited_for() {
    let mut redis = RedisServer::start_with(&["--loading-process-events-interval-bytes", "1024"]);
    let mut connection = redis.connect();
    for n in 0..2000 {
        let _: () = command(&mut connection, &["SET", &id(&n.to_string()).to_string(), "document"]);
    }
    let replica = Replica::start(&redis);
    let _: () = command(&mut connection, &["SAVE"]);
    redis.kill();
    redis.arguments(&["--key-load-delay", "1000"]);
    redis.launch();
    replica.is_down_because(&["loading"]);
    assert_eq!(replica.mirror.all().len(), 2000);
    replica.is_up();
    assert_eq!(replica.mirror.all().len(), 2000);
}

#[test]
fn a_full_redis_refuses_writes_and_serves_on() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    put(&replica.store, id("a"), "document");
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let put = replica.store.put(id("b"), vec![0; 100], hour(), SystemTime::now());
    assert!(put.unwrap_err().to_string().contains("maxmemory"));
    assert!(replica.store.health().unwrap_err().to_string().contains("maxmemory"));
    assert_eq!(replica.mirror.all().len(), 1);
    assert_eq!(replica.store.delete(id("a"), SystemTime::now()), Ok(true));
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    crate::store_contract::put(&replica.store, id("b"), "document");
    assert_eq!(replica.store.health(), Ok(()));
}

#[test]
fn a_balancer_over_two_servers_is_refused() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let proxy = Proxy::alternating(&[servers[0].socket(), servers[1].socket()]);
    refused(Settings::new(Address::Unix(proxy.socket())), &["two different servers"]);
}

#[test]
fn a_host_without_a_name_and_a_port_without_a_server_are_merely_unreachable() {
    for address in [Address::Tcp("inventor.invalid".into(), 6379), Address::Tcp("::1".into(), 1)] {
        refused(Settings::new(address), &["no connection"]);
    }
}

#[test]
fn urls_say_everything_that_settings_do() {
    let tcp = Settings::from_url("redis://us%40er:p%2Fss%23@[::1]:6380/3").unwrap();
    assert!(matches!(&tcp.address, Address::Tcp(host, 6380) if host == "::1"));
    assert_eq!((tcp.username.as_deref(), tcp.password.as_deref(), tcp.database), (Some("us@er"), Some("p/ss#"), 3));
    assert!(tcp.tls.is_none());
    let tls = Settings::from_url("rediss://:secret@redis.example").unwrap();
    assert!(matches!(&tls.address, Address::Tcp(host, 6379) if host == "redis.example"));
    assert!(tls.tls.is_some() && tls.username.is_none());
    let unix = Settings::from_url("redis+unix:///run/redis.sock?db=2&user=u&pass=p%26q").unwrap();
    assert!(matches!(&unix.address, Address::Unix(path) if path.to_str() == Some("/run/redis.sock")));
    assert_eq!((unix.username.as_deref(), unix.password.as_deref(), unix.database), (Some("u"), Some("p&q"), 2));
    for wrong in
        ["", "redis", "http://host", "redis://", "redis://h/x", "redis://h/-1", "rediss://h#insecure", "redis://:a/b@h"]
    {
        let error = Settings::from_url(wrong).err().unwrap_or_else(|| panic!("{wrong:?} is no URL of a Redis"));
        assert!(!error.to_string().is_empty());
    }
    let secret = Settings::from_url("redis://:hunter2/#@host").err().unwrap().to_string();
    assert!(!secret.contains("hunter2"), "{secret}");
}
