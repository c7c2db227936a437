//! Redis dies, stands still, refuses writes, forgets, or holds what nobody should have put there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    INTERVAL, LONG_TTL, SLACK, TTL, is_fresh, is_gone, is_listed, is_marked, lives_for_half_a_lifetime, outlive,
    with_ttl,
};
use crate::eventually::{SOON, eventually};
use crate::faults;
use crate::owners::{by_id, id, names, registration};
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

/// Redis that loses nothing when it dies.
pub(super) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn on(redis: &RedisServer) -> Setup {
    let (name, value) = redis.setting();
    Setup::new().env(name, &value)
}

/// Starts a Redis with these arguments.
pub(super) type Start = fn(&[&str]) -> RedisServer;

/// On a Redis, and at the same time on a cluster of one shard.
pub(super) fn on_both(exam: impl Fn(Start) + Sync) {
    thread::scope(|scope| {
        let kinds: [Start; 2] = [RedisServer::start_with, |arguments| RedisServer::start_cluster(arguments).0];
        let exam = &exam;
        for start in kinds {
            scope.spawn(move || exam(start));
        }
    });
}

#[track_caller]
pub(super) fn start(setup: Setup, ttl: Duration) -> Server {
    let server = with_ttl(setup, ttl).start();
    is_fresh(&server);
    server
}

/// Registers these at a server, and waits until another one lists them too.
#[track_caller]
pub(super) fn register_for_both(servers: [&Server; 2], names: &[&str]) {
    for name in names {
        servers[0].register(registration(name));
    }
    eventually(SOON, || names.iter().all(|name| is_listed(servers[1], name)));
}

/// The time to live of what is registered under this name, in Redis.
#[track_caller]
pub(super) fn left(redis: &RedisServer, name: &str) -> Duration {
    let left: i64 = redis.command(&["PTTL", &id(name).to_string()]);
    Duration::from_millis(u64::try_from(left).unwrap_or_else(|_| panic!("{name} has no lifetime in Redis: {left}")))
}

#[track_caller]
pub(super) fn is_stored(redis: &RedisServer, name: &str) -> bool {
    redis.command::<i64>(&["EXISTS", &id(name).to_string()]) == 1
}

#[test]
fn a_redis_that_is_away_empties_no_list() {
    on_both(|start_redis| {
        let redis = RefCell::new(start_redis(DURABLE));
        let server = start(on(&redis.borrow()), TTL);
        outlive(&server, registration, || redis.borrow_mut().kill(), || redis.borrow_mut().run());
    });
}

#[test]
fn a_redis_that_comes_back_empty_empties_no_list() {
    on_both(|start_redis| {
        let redis = RefCell::new(start_redis(&[]));
        let server = start(on(&redis.borrow()), TTL);
        outlive(&server, registration, || redis.borrow_mut().kill(), || redis.borrow_mut().run());
    });
}

#[test]
fn a_redis_that_stands_still_empties_no_list() {
    on_both(|start_redis| {
        let redis = start_redis(&[]);
        let server = start(on(&redis), TTL);
        outlive(&server, registration, || redis.freeze(), || redis.thaw());
    });
}

#[test]
fn a_redis_that_makes_writes_wait_and_answers_reads_empties_no_list() {
    on_both(|start_redis| {
        let redis = start_redis(&[]);
        let server = start(on(&redis), TTL);
        let pause = || redis.command::<()>(&["CLIENT", "PAUSE", "100000", "WRITE"]);
        outlive(&server, registration, pause, || redis.command(&["CLIENT", "UNPAUSE"]));
    });
}

#[test]
fn a_redis_that_refuses_writes_empties_no_list() {
    let begin_misconf = |redis: &RedisServer| {
        // A dump cannot take the place of a directory.
        std::fs::create_dir(redis.socket().with_file_name("dump.rdb")).unwrap();
        let _: redis::Value = redis.command(&["BGSAVE"]);
        eventually(SOON, || redis.command::<String>(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err"));
    };
    let set = |redis: &RedisServer, name: &str, value: &str| redis.command::<()>(&["CONFIG", "SET", name, value]);
    thread::scope(|scope| {
        scope.spawn(|| {
            on_both(|start_redis| {
                let redis = start_redis(&[]);
                let server = start(on(&redis), TTL);
                outlive(&server, registration, || set(&redis, "maxmemory", "1"), || set(&redis, "maxmemory", "0"));
            });
        });
        scope.spawn(|| {
            on_both(|start_redis| {
                let redis = start_redis(&[]);
                let server = start(on(&redis), TTL);
                let replicas = |count| set(&redis, "min-replicas-to-write", count);
                outlive(&server, registration, || replicas("1"), || replicas("0"));
            });
        });
        scope.spawn(|| {
            on_both(|start_redis| {
                let redis = start_redis(&["--save", "3600 1"]);
                let server = start(on(&redis), TTL);
                let end = || set(&redis, "stop-writes-on-bgsave-error", "no");
                outlive(&server, registration, || begin_misconf(&redis), end);
            });
        });
    });
}

#[test]
fn after_an_outage_redis_and_all_servers_have_the_same_lifetimes() {
    on_both(|start_redis| {
        let ttl = Duration::from_secs(8);
        let redis = start_redis(&[]);
        let servers = [start(on(&redis), ttl), start(on(&redis), ttl)];
        register_for_both([&servers[0], &servers[1]], &["ran-out", "deleted"]);
        thread::sleep(ttl / 2);
        register_for_both([&servers[0], &servers[1]], &["had-time"]);
        redis.freeze();
        thread::sleep(ttl / 2 + Duration::from_secs(1));
        redis.thaw();
        servers.iter().for_each(is_fresh);
        let fresh = Instant::now();
        for name in ["ran-out", "had-time"] {
            let left = left(&redis, name);
            assert!(left <= ttl / 2, "{name} has {left:?}");
            servers.iter().for_each(|server| assert!(is_listed(server, name), "{name}"));
        }
        // A deletion reaches the other server at once, and not only when the time is up.
        servers[0].delete(by_id("deleted")).is(200, "true\n");
        eventually(SOON, || !is_listed(&servers[1], "deleted"));
        assert!(fresh.elapsed() < ttl / 2 - Duration::from_secs(1), "deleted everywhere after {:?}", fresh.elapsed());
        assert!(!is_stored(&redis, "deleted"));
        for server in &servers {
            is_gone(server, "ran-out", fresh, ttl / 2 + SLACK);
        }
    });
}

#[test]
fn a_short_outage_lengthens_nothing_that_has_half_a_lifetime_left() {
    let ttl = Duration::from_secs(20);
    let redis = RedisServer::start();
    let server = start(on(&redis), ttl);
    server.register(registration("a"));
    let registered = Instant::now();
    redis.freeze();
    is_marked(&server);
    redis.thaw();
    is_fresh(&server);
    let (lived, left) = (registered.elapsed(), left(&redis, "a"));
    assert!(lived + left <= ttl + Duration::from_millis(100), "{left:?} are left after {lived:?}");
}

#[test]
fn a_renewal_that_redis_refused_is_a_sign_of_life() {
    on_both(|start_redis| {
        let redis = start_redis(&[]);
        let server = start(on(&redis), LONG_TTL);
        for name in ["alive", "other"] {
            server.register(registration(name));
        }
        thread::sleep(LONG_TTL - Duration::from_secs(3));
        redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        server.put(registration("alive")).has_status(503, "a renewal");
        let healed = Instant::now();
        redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        is_fresh(&server);
        let fresh = Instant::now();
        assert!(left(&redis, "alive") <= LONG_TTL / 2);
        lives_for_half_a_lifetime(&server, LONG_TTL, "alive", healed, fresh);
        assert!(!is_listed(&server, "other"));
    });
}

#[test]
fn outages_in_a_row_keep_nothing_for_longer_than_they_last() {
    let redis = RedisServer::start();
    let server = start(on(&redis), TTL);
    server.register(registration("silent"));
    let registered = Instant::now();
    let mut sum = Duration::ZERO;
    // The lifetime ends within the first, and what that has added within the second.
    thread::sleep(TTL - Duration::from_secs(1));
    for _ in 0..2 {
        let began = Instant::now();
        redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        server.put(registration("another")).has_status(503, "a write");
        thread::sleep(Duration::from_secs(1));
        redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        is_fresh(&server);
        sum += began.elapsed();
        thread::sleep(Duration::from_millis(300));
    }
    // The outage may have begun with the last answer before it.
    println!("outages of {sum:?}");
    // After trouble a server waits for what others have to say, before it drops anything.
    let news = Duration::from_millis(1500);
    is_gone(&server, "silent", registered, TTL + sum + news + SLACK);
}

/// Redis comes back with 14 of 20 registrations, and does not let the others be put back.
#[track_caller]
fn come_back_refusing(mut redis: RedisServer, arguments: &[&str], relent: &[&str]) {
    let (setup, _, clock) = faults::inject(on(&redis));
    let server = start(setup, HOUR);
    clock.is_attached();
    let expected: BTreeSet<String> = (0..20).map(|n| format!("host-{n}")).collect();
    let (saved, lost): (Vec<&String>, Vec<&String>) = expected.iter().partition(|name| name.as_str() < "host-4");
    saved.iter().for_each(|name| drop(server.register(registration(name))));
    redis.command::<()>(&["SAVE"]);
    lost.iter().for_each(|name| drop(server.register(registration(name))));
    redis.kill();
    is_marked(&server);
    redis.arguments(arguments);
    redis.run();
    // Had it been away for longer than a minute, others might have deleted what is missing.
    eventually(SOON, || server.metric("inventor_redis_connects_total") == 2.0);
    // It tries for a while.
    for _ in 0..3 {
        thread::sleep(INTERVAL);
        assert_eq!(names(&server.get("/discover")), expected);
    }
    // However long it goes on, what Redis has is not the truth.
    clock.pass(Duration::from_secs(90));
    let passed = Instant::now();
    while passed.elapsed() < Duration::from_secs(4) {
        assert_eq!(names(&server.get("/discover")), expected);
        server.get("/-/ready").has_status(503, "nobody can renew");
        thread::sleep(Duration::from_millis(50));
    }
    redis.command::<()>(relent);
    is_fresh(&server);
    assert_eq!(names(&server.get("/discover")), expected);
    expected.iter().for_each(|name| assert!(is_stored(&redis, name), "{name} is not put back"));
    assert_eq!(saved.len(), 14);
}

#[test]
fn a_restore_that_redis_refuses_loses_nothing() {
    thread::scope(|scope| {
        for setting in ["maxmemory", "min-replicas-to-write"] {
            scope.spawn(move || {
                on_both(|start_redis| {
                    let argument = format!("--{setting}");
                    come_back_refusing(start_redis(&[]), &[&argument, "1"], &["CONFIG", "SET", setting, "0"]);
                });
            });
        }
    });
}

#[test]
fn an_outage_of_one_server_alone_lengthens_nothing() {
    let redis = RedisServer::start();
    let mut servers = [start(on(&redis), TTL), start(on(&redis), TTL)];
    register_for_both([&servers[0], &servers[1]], &["silent", "renewed"]);
    servers[1].process().signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    while stopped.elapsed() < TTL + Duration::from_secs(1) {
        servers[0].register(registration("renewed"));
        thread::sleep(INTERVAL);
    }
    assert!(!is_listed(&servers[0], "silent"));
    servers[1].process().signal(Signal::SIGCONT);
    assert!(is_listed(&servers[1], "renewed"));
    is_fresh(&servers[1]);
    is_gone(&servers[1], "silent", stopped, SOON);
    let went_on = Instant::now();
    while went_on.elapsed() < Duration::from_secs(1) {
        servers[0].register(registration("renewed"));
        assert!(!is_stored(&redis, "silent"), "it expired at the other server");
        assert!(!is_listed(&servers[0], "silent"));
        thread::sleep(Duration::from_millis(50));
    }
    assert!(servers.iter().all(|server| is_listed(server, "renewed")));
}

/// One server misses the last write before an outage in which the registration expires, and is the first to put it back.
#[test]
fn an_older_value_that_another_server_puts_back_is_replaced() {
    let redis = RedisServer::start();
    let mut servers = [start(on(&redis), TTL), start(on(&redis), TTL)];
    let with_label =
        |value: &str| format!(r#"{{"static_config":{{"targets":["one:9100"],"labels":{{"version":"{value}"}}}}}}"#);
    let shows =
        |server: &Server, value: &str| server.get("/discover").text().contains(&format!(r#""version":"{value}""#));
    servers[0].register(with_label("first"));
    eventually(SOON, || shows(&servers[1], "first"));
    servers[1].process().signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    // Documents say the time in whole seconds.
    while stopped.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(50));
    }
    servers[0].register(with_label("second"));
    servers[0].process().signal(Signal::SIGSTOP);
    eventually(SOON, || !is_stored(&redis, "one"));
    servers[1].process().signal(Signal::SIGCONT);
    let stored = || redis.command::<Option<String>>(&["GET", &id("one").to_string()]).unwrap_or_default();
    eventually(SOON, || stored().contains("first"));
    servers[0].process().signal(Signal::SIGCONT);
    eventually(SOON, || stored().contains("second"));
    eventually(SOON, || servers.iter().all(|server| shows(server, "second")));
    servers.iter().for_each(is_fresh);
    assert!(stored().contains("second"));
}

#[test]
fn a_huge_value_stops_nothing() {
    let redis = RedisServer::start_with(&["--client-output-buffer-limit", "normal 128mb 64mb 10"]);
    let server = start(on(&redis), HOUR);
    server.register(registration("a"));
    let last = (160 << 20) - 1;
    let _: i64 = redis.command(&["SETRANGE", &id("huge").to_string(), &last.to_string(), "x"]);
    let serves = |server: &Server| {
        is_fresh(server);
        server.register(registration("a"));
        server.register(registration("b"));
        assert_eq!(names(&server.get("/discover")), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        let counted = "\ninventor_registrations_quarantined 1\n";
        eventually(SOON, || server.get("/metrics").text().contains(counted));
        is_fresh(server);
    };
    serves(&server);
    serves(&start(on(&redis), HOUR));
    server.delete(by_id("huge")).is(200, "true\n");
    assert!(!is_stored(&redis, "huge"));
}

#[test]
fn a_redis_that_evicts_registrations_is_warned_of() {
    let redis = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut server = start(on(&redis), HOUR);
    server.process().line_with(&["level=warn", "allkeys-lru", "noeviction"]);
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let server = start(on(&redis), HOUR);
    assert!(!server.log().iter().any(|line| line.contains("level=warn")), "{:?}", server.log());
}
