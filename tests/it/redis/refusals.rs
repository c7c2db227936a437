//! What Redis can have against a client, and what operators are told to do about it.

use inventor::registry::{Now, WriteError};
use inventor::store::Update;
use inventor::store::redis::{Address, Settings};

use super::proxy::Proxy;
use super::{Replica, key, set, settings};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{delete, everywhere, hour, id, put, registration, team};

pub(super) const MINIMAL_RIGHTS: &str =
    "~* +client|tracking +getrange +pttl +scan +set +del +pexpire +watch +multi +exec +info +ping";

/// A store with these settings is down for a reason in which all these texts stand.
#[track_caller]
fn refused(settings: Settings, texts: &[&str]) {
    let replica = Replica::launch(settings);
    replica.is_unwell_because(texts);
    assert!(!replica.is_loaded());
}

#[track_caller]
fn with_user(redis: &RedisServer, username: &str, password: &str) -> Settings {
    Settings { username: Some(username.into()), password: Some(password.into()), ..settings(redis) }
}

/// A replica whose ACL user has these rights.
#[track_caller]
fn with_rights(redis: &RedisServer, user: &str, rights: &[&str]) -> Replica {
    let _: () = redis.command(&[&["ACL", "SETUSER", user, "on", ">se cret/#?@:"], rights].concat());
    Replica::launch(with_user(redis, user, "se cret/#?@:"))
}

/// A replica whose ACL user has all rights that are needed but one.
#[track_caller]
fn without_right(redis: &RedisServer, right: &str) -> Replica {
    let rights: Vec<&str> = MINIMAL_RIGHTS.split(' ').filter(|word| *word != right).collect();
    with_rights(redis, &format!("without{right}"), &rights)
}

fn batch() -> Vec<Update> {
    vec![put("a", "first of two", hour()), put("b", "second of two", hour())]
}

#[test]
fn an_acl_user_with_the_minimal_rights_can_do_everything() {
    let redis = RedisServer::start();
    let replica = with_rights(&redis, "inventor", &MINIMAL_RIGHTS.split(' ').collect::<Vec<_>>());
    replica.is_up();
    replica.put("a", "document");
    assert_eq!(replica.shown("a").as_deref(), Some("document"));
    assert_eq!(replica.get("a").as_deref(), Some("document"));
    assert_eq!(replica.delete("a"), Ok(true));
    assert_eq!(replica.write(batch()), Ok(vec![false, false]));
    // Whoever has no right to it would be disconnected by the second full read.
    let _: () = redis.command(&["FLUSHALL"]);
    eventually(SOON, || replica.metric("inventor_redis_resyncs_total") == 2.0);
    replica.is_up();
    assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
}

#[test]
fn without_the_right_to_read_nothing_is_shown_and_the_right_is_named() {
    let redis = RedisServer::start();
    set(&mut redis.connect(), "a", "document");
    for right in ["+client|tracking", "+getrange", "+pttl", "+scan", "+info"] {
        let replica = without_right(&redis, right);
        let command = right.trim_start_matches('+').split('|').next().unwrap();
        replica.is_unwell_because(&["a permission is missing", command, MINIMAL_RIGHTS]);
        assert!(!replica.is_loaded());
    }
}

#[test]
fn without_a_right_to_write_there_is_an_outage_from_the_start_and_the_right_is_named() {
    let redis = RedisServer::start();
    for right in ["+set", "+pexpire", "+exec"] {
        let replica = without_right(&redis, right);
        let command = format!("'{}'", right.trim_start_matches('+'));
        eventually(SOON, || replica.is_loaded());
        replica.is_unwell_because(&[&command]);
        replica.is_down();
        let reason = replica.registry.health(Now::read()).unwrap_err();
        assert!(reason.contains(&command), "{reason}");
    }
}

#[test]
fn without_a_right_that_only_some_writes_need_these_are_refused_and_there_is_no_outage() {
    let redis = RedisServer::start();
    for right in ["+del", "+watch", "+multi"] {
        let replica = without_right(&redis, right);
        let command = format!("'{}'", right.trim_start_matches('+'));
        eventually(SOON, || replica.registry.health(Now::read()).is_ok());
        replica.is_unwell_because(&["a permission is missing", &command]);
        replica.put("a", "document");
        let owner = everywhere("test");
        let deletion = || replica.delete("a");
        let by_a_team = || replica.registry.put(id("a"), &registration("a", "g"), &team("g"), Now::read());
        for _ in 0..3 {
            match right {
                "+del" => {
                    let refused = deletion().unwrap_err().to_string();
                    assert!(refused.contains(&command), "{refused}");
                    by_a_team().expect("it needs no deletion");
                }
                _ => {
                    let refused = by_a_team().unwrap_err();
                    assert!(
                        matches!(&refused, WriteError::Store(e) if e.to_string().contains(&command)),
                        "{refused:?}"
                    );
                    assert!(replica.write(batch()).is_err(), "{right}");
                    assert_eq!(deletion(), Ok(true), "it needs no transaction");
                }
            }
            replica.registry.put(id("a"), &registration("a", "g"), &owner, Now::read()).expect("a put goes on");
            assert_eq!(replica.registry.health(Now::read()), Ok(()), "{right} is missing, no more");
        }
        // The right is tried again every second, without an end of the session.
        let _: () = redis.command(&["ACL", "SETUSER", &format!("without{right}"), right]);
        replica.is_up();
        by_a_team().unwrap();
        assert_eq!(deletion(), Ok(true));
        assert_eq!(replica.metric("inventor_redis_connects_total"), 1.0);
    }
}

#[test]
fn a_wrong_password_and_a_missing_one_are_told_apart() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    refused(settings(&redis), &["requires a password", "REDIS_PASSWORD"]);
    let wrong = Settings { password: Some("wrong".into()), ..settings(&redis) };
    refused(wrong, &["rejects the user or the password", "REDIS_PASSWORD"]);
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
    replica.put("a", "document");
    let _: () = redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let put = replica.try_put("b", "text", hour());
    assert!(put.is_err_and(|e| e.to_string().contains("replica")));
    replica.is_unwell_because(&["replica"]);
    let _: () = redis.command(&["REPLICAOF", "NO", "ONE"]);
    replica.is_up();
}

#[test]
fn a_node_of_a_cluster_is_refused() {
    let mut redis = RedisServer::prepare(&["--cluster-enabled", "yes", "--cluster-port", "1"]);
    redis.run();
    refused(settings(&redis), &["Cluster", "REDIS_CLUSTER"]);
}

#[test]
fn a_server_that_is_loading_is_waited_for() {
    let mut redis = RedisServer::start_with(&["--loading-process-events-interval-bytes", "1024"]);
    let mut connection = redis.connect();
    for n in 0..2000 {
        set(&mut connection, &n.to_string(), "document");
    }
    let replica = Replica::start(&redis);
    let _: () = command(&mut connection, &["SAVE"]);
    redis.kill();
    redis.arguments(&["--key-load-delay", "1000"]);
    redis.launch();
    replica.is_unwell_because(&["loading"]);
    assert_eq!(replica.count(), 2000);
    replica.is_up();
    assert_eq!(replica.count(), 2000);
}

#[test]
fn a_full_redis_refuses_writes_and_serves_on() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    replica.put("a", "document");
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let put = replica.try_put("b", "text", hour());
    assert!(put.unwrap_err().to_string().contains("maxmemory"));
    // A sign of life that Redis took just before may arrive after the refusal.
    eventually(SOON, || replica.store.health().is_err_and(|error| error.to_string().contains("maxmemory")));
    assert_eq!(replica.count(), 1);
    assert_eq!(replica.delete("a"), Ok(true), "that needs no memory");
    replica.is_down();
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    replica.put("b", "document");
    replica.is_up();
}

#[test]
fn a_batch_that_a_full_redis_refuses_changes_nothing() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    replica.put("old", "before");
    let before = replica.all();
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    // The deletion alone would succeed.
    let updates = vec![delete("old"), put("new", "during", hour())];
    let refused = replica.write(updates).unwrap_err().to_string();
    assert!(refused.contains("maxmemory"), "{refused}");
    assert_eq!(redis.command::<usize>(&["EXISTS", &key("old"), &key("new")]), 1);
    assert_eq!(replica.all(), before);
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    replica.is_up();
    assert_eq!(replica.all(), before);
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

#[test]
fn what_is_made_of_a_batch_without_the_right_to_make_it_whole_is_shown() {
    let redis = RedisServer::start();
    let replica = with_rights(&redis, "inventor", &MINIMAL_RIGHTS.split(' ').collect::<Vec<_>>());
    replica.is_up();
    let _: () = redis.command(&["ACL", "SETUSER", "inventor", "-multi"]);
    assert!(replica.write(batch()).is_err());
    assert_eq!(redis.command::<usize>(&["DBSIZE"]), 2, "Redis made it one by one");
    eventually(SOON, || replica.count() == 2);
}
