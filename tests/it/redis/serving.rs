//! The whole server on Redis, over HTTP: beside the Go program, through outages, and with other programs' values.

use std::time::{Duration, Instant};

use inventor::registration::TargetId;
use redis::Connection;
use serde_json::{Value, json};

use super::refusals::MINIMAL_RIGHTS;
use crate::client::Response;
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::server::{Server, Setup};

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// No answer takes longer, whatever Redis does.
const ANSWER_MAX: Duration = Duration::from_secs(3);

fn setup(redis: &RedisServer) -> Setup {
    Setup::new().env("REDIS_URL", &redis.url())
}

#[track_caller]
fn start(redis: &RedisServer) -> Server {
    let server = setup(redis).start();
    is_ready(&server);
    server
}

#[track_caller]
fn is_ready(server: &Server) {
    eventually(SOON, || server.get("/-/ready").status == 200);
}

#[track_caller]
fn is_not_ready(server: &Server) {
    eventually(SOON, || server.get("/-/ready").status == 503);
}

fn registration(name: &str) -> String {
    format!(r#"{{"static_config":{{"targets":["{name}:9100"],"labels":{{"name":"{name}"}},"target_group":"g"}}}}"#)
}

fn entry(name: &str) -> Value {
    json!({"targets": [format!("{name}:9100")], "labels": {"name": name}})
}

fn by_id(id: &str) -> String {
    json!({ "id": id }).to_string()
}

#[track_caller]
fn is_unavailable(response: &Response, redis: &RedisServer) {
    response.has_status(503, "while Redis is away");
    assert!(response.header("Retry-After").is_some());
    let socket = redis.socket().display().to_string();
    assert!(!response.text().contains(&socket), "the address is nobody's business: {}", response.text());
}

#[test]
fn what_is_stored_is_what_the_go_program_stores() {
    let redis = RedisServer::start();
    let server = setup(&redis).env("TTL_SECONDS", "100").start();
    is_ready(&server);
    let id = server.register(
        r#"{"static_config":{"targets":["host.local:9999"],"labels":{"b":"<2>","a":"1"},"modules":["m","n"]}}"#,
    );
    let document: String = redis.command(&["GET", &id]);
    let (before, updated_at) = document.split_once(r#","updated_at":""#).unwrap_or_else(|| panic!("{document}"));
    let expected = format!(
        r#"{{"id":"{id}","targets":["host.local:9999"],"labels":{{"a":"1","b":"\u003c2\u003e"}},"target_group":"inventor-default","modules":["m","n"]"#
    );
    assert_eq!(before, expected);
    assert!(updated_at.trim_end_matches("\"}").parse::<u64>().is_ok(), "{updated_at}");
    let rest: i64 = redis.command(&["TTL", &id]);
    assert!((90..=100).contains(&rest), "the rest is {rest} s");
    assert_eq!(redis.command::<usize>(&["DBSIZE"]), 1, "nothing else is in the database");

    let forever = setup(&redis).env("TTL_SECONDS", "0").start();
    is_ready(&forever);
    let id = forever.register(registration("forever"));
    assert_eq!(redis.command::<i64>(&["TTL", &id]), -1, "0 seconds are for ever");
}

#[test]
fn servers_on_one_redis_give_the_same_answers() {
    let redis = RedisServer::start();
    let (one, other) = (start(&redis), start(&redis));
    let ids: Vec<String> = (0..20).map(|n| one.register(registration(&format!("host{n}")))).collect();
    eventually(SOON, || other.discover().len() == 20);
    assert_eq!(one.get("/discover").body, other.get("/discover").body);
    assert_eq!(one.get("/group?name=g").body, other.get("/group?name=g").body);
    other.find(by_id(&ids[7])).has_status(200, "GET on the other server");
    other.delete(by_id(&ids[7])).is(200, "true\n");
    assert_eq!(other.discover().len(), 19, "its own deletion shows at once");
    eventually(SOON, || one.discover().len() == 19);
    one.delete(by_id(&ids[7])).has_status(404, "deleted twice");
}

#[test]
fn what_runs_out_while_redis_refuses_writes_is_kept() {
    let redis = RedisServer::start();
    let server = setup(&redis).env("TTL_SECONDS", "5").start();
    is_ready(&server);
    let names = ["a", "b", "c"];
    names.iter().for_each(|name| drop(server.register(registration(name))));
    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    is_unavailable(&server.put(registration("a")), &redis);
    eventually(SOON, || redis.command::<usize>(&["DBSIZE"]) == 0);
    let list = server.get("/discover");
    assert!(list.header("X-Inventor-Stale").is_some());
    assert_eq!(list.json().as_array().map(Vec::len), Some(3), "{}", list.text());
    is_not_ready(&server);

    let _: () = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    server.register(registration("a"));
    is_ready(&server);
    let list = server.get("/discover");
    assert!(list.header("X-Inventor-Stale").is_none());
    assert_eq!(list.json().as_array().map(Vec::len), Some(3), "the others have time to renew");
    assert_eq!(redis.command::<usize>(&["DBSIZE"]), 3, "on every server");
    eventually(SOON, || server.discover().is_empty());
}

#[test]
fn an_outage_does_not_flood_the_log() {
    let mut redis = RedisServer::start();
    let mut server = start(&redis);
    redis.kill();
    is_not_ready(&server);
    let began = Instant::now();
    (0..200).for_each(|n| is_unavailable(&server.put(registration(&format!("host{n}"))), &redis));
    server.process().line_with(&["request failed", "method=PUT", "events=1"]);
    let lines = server.log().iter().filter(|line| line.contains("request failed")).count() as u64;
    assert!(lines <= 1 + began.elapsed().as_secs(), "{lines} lines");
}

#[test]
fn polls_go_on_and_writes_are_refused_while_redis_is_away() {
    let mut redis = RedisServer::start_with(DURABLE);
    let server = start(&redis);
    let id = server.register(registration("a"));
    let before = server.get("/discover");
    assert!(before.header("X-Inventor-Stale").is_none());
    redis.kill();
    is_not_ready(&server);

    let during = server.get("/discover");
    during.has_status(200, "GET /discover");
    assert_eq!(during.body, before.body);
    assert!(during.header("X-Inventor-Stale").is_some_and(|age| age.parse::<u64>().is_ok()));
    server.get("/group?name=g").has_status(200, "GET /group");
    server.get("/healthcheck").is(200, "OK");
    server.get("/metrics").has_status(200, "GET /metrics");
    for response in [server.put(registration("b")), server.find(by_id(&id)), server.delete(by_id(&id))] {
        is_unavailable(&response, &redis);
    }
    server.put("no JSON").has_status(400, "what is wrong anyway");
    assert_eq!(server.metric("inventor_redis_connected"), 0.0);
    assert_eq!(server.metric("inventor_store_up"), 0.0);

    redis.run();
    let back = Instant::now();
    eventually(SOON, || server.put(registration("b")).status == 200);
    assert!(back.elapsed() < Duration::from_secs(5), "it took {:?}", back.elapsed());
    is_ready(&server);
    let after = server.get("/discover");
    assert!(after.header("X-Inventor-Stale").is_none());
    let list = after.json();
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    let told = server.log().iter().filter(|line| line.contains("Redis is unavailable")).count();
    // The end of the connection and the refusal of the next one are two different faults.
    assert!((1..=2).contains(&told), "an outage is told once, not at every attempt: {told}");
}

#[test]
fn a_silent_redis_delays_no_poll_and_no_write_for_long() {
    let redis = RedisServer::start();
    let server = start(&redis);
    server.register(registration("a"));
    redis.freeze();
    let frozen = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (server, redis) = (&server, &redis);
            scope.spawn(move || {
                while frozen.elapsed() < Duration::from_secs(4) {
                    let asked = Instant::now();
                    is_unavailable(&server.put(registration(&format!("b{n}"))), redis);
                    assert!(asked.elapsed() < ANSWER_MAX, "a write took {:?}", asked.elapsed());
                }
            });
        }
        while frozen.elapsed() < Duration::from_secs(4) {
            let asked = Instant::now();
            assert_eq!(server.discover(), [entry("a")]);
            assert!(asked.elapsed() < Duration::from_secs(2), "a poll took {:?}", asked.elapsed());
        }
    });
    redis.thaw();
    is_ready(&server);
    server.register(registration("c"));
}

#[test]
fn a_server_that_starts_before_redis_serves_when_it_comes() {
    let mut redis = RedisServer::prepare(&[]);
    let server = setup(&redis).start();
    is_unavailable(&server.get("/discover"), &redis);
    is_unavailable(&server.get("/group?name=g"), &redis);
    is_unavailable(&server.put(registration("a")), &redis);
    server.get("/-/ready").has_status(503, "GET /-/ready");
    server.get("/healthcheck").is(200, "OK");
    redis.run();
    is_ready(&server);
    server.get("/discover").is(200, "[]\n");
}

#[test]
fn what_runs_out_during_an_outage_is_kept_until_its_owner_can_renew_it() {
    let mut redis = RedisServer::start_with(DURABLE);
    let keeps = setup(&redis).env("TTL_SECONDS", "5").start();
    let drops = setup(&redis).env("OUTAGE_KEEP_SECONDS", "0").start();
    is_ready(&keeps);
    is_ready(&drops);
    keeps.register(registration("short"));
    eventually(SOON, || drops.discover().len() == 1);
    redis.kill();
    is_not_ready(&keeps);
    is_not_ready(&drops);
    // Both have the same deadline; what one of them drops is kept by the other.
    eventually(SOON, || drops.discover().is_empty());
    assert_eq!(keeps.discover(), [entry("short")]);
    redis.run();
    is_ready(&keeps);
    assert_eq!(keeps.discover(), [entry("short")], "there is time to renew it");
    eventually(SOON, || keeps.discover().is_empty());
}

/// Writes a value under the id of a made-up target as another program would.
#[track_caller]
fn plant(connection: &mut Connection, name: &str, value: &str) -> String {
    let key = TargetId::of(&[format!("{name}:9100")]).to_string();
    let _: () = command(connection, &["SET", &key, value]);
    key
}

/// Values that no list may show, by what is wrong with them.
fn unfit() -> Vec<(&'static str, String)> {
    let document =
        |labels: &str, rest: &str| format!(r#"{{"targets":["x:1"],"labels":{labels},"target_group":"g"{rest}}}"#);
    vec![
        ("no-json", "no JSON".to_owned()),
        ("empty", String::new()),
        ("number-as-label", document(r#"{"a":1}"#, "")),
        ("number-as-time", document("null", r#","updated_at":17"#)),
        ("bad-id", document("null", r#","id":"nope""#)),
        ("data-after", document("null", "") + "{}"),
        ("object", "{}".to_owned()),
        ("null", "null".to_owned()),
        ("no-targets", r#"{"targets":[],"labels":null}"#.to_owned()),
        ("empty-label", document(r#"{"":"x"}"#, "")),
        ("bad-label", document(r#"{"bad-label":"x"}"#, "")),
    ]
}

#[test]
fn values_of_other_programs_that_are_no_registrations_spoil_nothing() {
    let redis = RedisServer::start();
    let mut connection = redis.connect();
    let keys: Vec<String> = unfit().iter().map(|(name, value)| plant(&mut connection, name, value)).collect();
    let list = TargetId::of(&["list:9100".to_owned()]).to_string();
    let _: () = command(&mut connection, &["RPUSH", &list, "1"]);
    let _: () = command(&mut connection, &["SET", "session:1", "foreign"]);
    plant(&mut connection, "fit", "{\n  \"further\": [1],\n  \"labels\": null,\n  \"targets\": [\"fit:9100\"]\n}\n");

    let server = start(&redis);
    let shown = json!([{"targets": ["fit:9100"], "labels": {}}]);
    assert_eq!(server.get("/discover").json(), shown);
    assert_eq!(server.metric("inventor_registrations_quarantined"), keys.len() as f64);
    assert_eq!(server.metric("inventor_redis_foreign_keys"), 2.0);
    let late = plant(&mut connection, "late", "no JSON either");
    eventually(SOON, || server.metric("inventor_registrations_quarantined") == 1.0 + keys.len() as f64);
    assert_eq!(server.get("/discover").json(), shown);
    let told = server.log().iter().filter(|line| line.contains(&late)).count();
    assert_eq!(told, 1, "each of them is told once");

    assert_ne!(server.find(by_id(&keys[0])).status, 200);
    server.find(by_id(&list)).has_status(404, "a list is no registration");
    for key in keys.iter().chain([&list, &late]) {
        server.delete(by_id(key)).is(200, "true\n");
    }
    assert_eq!(server.metric("inventor_registrations_quarantined"), 0.0);
    assert_eq!(redis.command::<usize>(&["DBSIZE"]), 2, "the foreign key and the fit one are left");
    plant(&mut connection, "repaired", "no JSON");
    server.register(registration("repaired"));
    assert_eq!(server.discover().len(), 2);
}

#[test]
fn database_user_and_password_come_from_variables_and_a_file() {
    let redis = RedisServer::start();
    let rights: Vec<&str> = MINIMAL_RIGHTS.split(' ').chain(["+select"]).collect();
    let _: () = redis.command(&[&["ACL", "SETUSER", "inventor", "on", ">it's a secret"], &rights[..]].concat());
    let setup = Setup::new();
    let file = setup.write("password", "it's a secret\n");
    let server = setup
        .env("REDIS_URL", &format!("{}?db=2", redis.url()))
        .env("REDIS_DBNO", "3")
        .env("REDIS_USERNAME", "inventor")
        .env("REDIS_PASSWORD_FILE", file.to_str().unwrap())
        .start();
    is_ready(&server);
    let id = server.register(registration("a"));
    let mut connection = redis.connect();
    let _: () = command(&mut connection, &["SELECT", "3"]);
    assert_eq!(command::<usize>(&mut connection, &["EXISTS", &id]), 1);
    assert_eq!(redis.command::<usize>(&["EXISTS", &id]), 0);
}

#[test]
fn a_wrong_password_is_told_once_and_never_shown() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    let mut server = setup(&redis).env("REDIS_PASSWORD", "hunter2").start();
    server.process().line_with(&["Redis is unavailable", "REDIS_PASSWORD"]);
    // Tried again and again, as Redis counts.
    eventually(SOON, || {
        let mut connection = redis.connect_with(Some("right"));
        let statistics: String = command(&mut connection, &["INFO", "errorstats"]);
        let count = statistics.lines().find_map(|line| line.strip_prefix("errorstat_WRONGPASS:count="));
        count.and_then(|count| count.trim().parse::<u32>().ok()).is_some_and(|count| count >= 5)
    });
    let log = server.log().join("\n");
    assert_eq!(log.matches("Redis is unavailable").count(), 1, "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    is_unavailable(&server.put(registration("a")), &redis);
}
