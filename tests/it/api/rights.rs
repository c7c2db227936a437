//! Rights, `If-Match` and declarations are held against what the store has, whatever a server's lists show: other servers'
//! writes that it has not heard of, values that nobody can read, and writers of the same moment.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use super::scopes::teams;
use super::{Stores, is_problem, listed, start};
use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::redis::proxy::Proxy;
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};
use crate::store_contract::{id, in_group, stored};

fn by(token: &str, method: &str, path: &str) -> Request {
    Request::new(method, path).header("Authorization", format!("Bearer {token}"))
}

/// The body that registers a made-up target in a group.
fn body(name: &str, group: &str) -> String {
    json!({"static_config": {"targets": [format!("{name}:9100")], "target_group": group}}).to_string()
}

/// Each way to change or see the registration of a made-up target, with a token for a group.
fn ways(token: &str, name: &str, group: &str) -> [(&'static str, Request); 5] {
    let (id, entry) = (id(name), json!([{"targets": [format!("{name}:9100")]}]).to_string());
    let declared = format!("/api/v1/groups/{group}?adopt=true");
    [
        ("see", by(token, "GET", &format!("/target?id={id}"))),
        ("register", by(token, "PUT", "/target").body(body(name, group))),
        ("declare", by(token, "PUT", &declared).body(entry)),
        ("remove", by(token, "DELETE", &format!("/target?id={id}"))),
        ("delete", by(token, "DELETE", &format!("/api/v1/registrations/{id}"))),
    ]
}

#[test]
fn of_two_teams_that_register_the_same_new_targets_at_the_same_moment_one_gets_them() {
    Stores::new().each(|setup| {
        let server = start(&shared(setup, &teams()));
        one_of_two_teams_wins(&server, &server, 150);
    });
    let redis = RedisServer::start();
    let servers = [(); 2].map(|()| start(&teams().env("REDIS_URL", &redis.url())));
    one_of_two_teams_wins(&servers[0], &servers[1], 300);
}

/// The tokens of one setup, on the store of another.
fn shared(store: &Setup, tokens: &Setup) -> Setup {
    store.clone().env("TOKENS_FILE", tokens.path("tokens").to_str().unwrap())
}

#[track_caller]
fn one_of_two_teams_wins(one: &Server, other: &Server, tries: usize) {
    let together = Barrier::new(2);
    let register = |server: &Server, token: &str, group: &str| -> Vec<u16> {
        let mut connection = server.connect();
        let put = |n: usize| by(token, "PUT", "/target").body(body(&format!("new-{n}"), group));
        let put = |n: usize| {
            together.wait();
            connection.send(&put(n)).status
        };
        (0..tries).map(put).collect()
    };
    let [a, b] = thread::scope(|scope| {
        let a = scope.spawn(|| register(one, "wa", "a"));
        let b = scope.spawn(|| register(other, "wb", "b"));
        [a, b].map(|team| team.join().unwrap())
    });
    let mut won = 0;
    for (n, told) in a.iter().copied().zip(b).enumerate() {
        assert!(told == (200, 403) || told == (403, 200), "try {n}: {told:?}");
        won += usize::from(told.0 == 200);
    }
    for server in [one, other] {
        eventually(SOON, || listed(&server.send(&by("secret", "GET", "/group?name=a"))).len() == won);
        eventually(SOON, || listed(&server.send(&by("secret", "GET", "/group?name=b"))).len() == tries - won);
    }
}

#[test]
fn what_nobody_can_read_is_for_tokens_for_everything() {
    let redis = RedisServer::start();
    let server = start(&teams().env("REDIS_URL", &redis.url()));
    let unfit: [(&str, &[&str]); 6] = [
        ("label", &["SET", "", r#"{"targets":["label:9100"],"labels":{"bad-label":"x"},"target_group":"a"}"#]),
        ("text", &["SET", "", "no document"]),
        ("empty", &["SET", "", ""]),
        ("array", &["SET", "", "[]"]),
        ("other", &["RPUSH", "", "a list"]),
        ("no-targets", &["SET", "", r#"{"targets":[],"target_group":"a"}"#]),
    ];
    for (name, words) in unfit {
        let key = id(name).to_string();
        let words: Vec<&str> = words.iter().map(|word| if word.is_empty() { key.as_str() } else { word }).collect();
        // The key is the only empty word but for the value that is empty.
        let words = if name == "empty" { vec!["SET", &key, ""] } else { words };
        redis.command::<redis::Value>(&words);
        // Whether or not the server has heard of it.
        for _ in 0..2 {
            for (what, request) in ways("wa", name, "a") {
                // Of these it sees nothing to be shown.
                let is_absent = ["other", "empty"].contains(&name) && what == "see";
                server.send(&request).has_status(if is_absent { 404 } else { 403 }, (what, name));
            }
            assert_eq!(redis.command::<usize>(&["EXISTS", &key]), 1);
        }
        let declared = by("wa", "PUT", "/api/v1/groups/a")
            .body(json!([{"targets": ["new:1"]}, {"targets": [format!("{name}:9100")]}]).to_string());
        let refused = server.send(&declared);
        is_problem(&refused, 403, "may not change");
        assert_eq!(refused.json()["errors"][0]["pointer"], json!("/1/targets"));
        assert_eq!(listed(&server.send(&by("secret", "GET", "/discover"))), Vec::<String>::new());
    }
    assert_eq!(server.send(&by("ra", "GET", "/api/v1/status")).json()["quarantined"], json!(0));
    for (name, _) in unfit {
        server.send(&by("secret", "PUT", "/target").body(body(name, "a"))).has_status(200, name);
    }
    assert_eq!(server.send(&by("ra", "GET", "/api/v1/status")).json()["registrations"], json!(unfit.len()));
}

/// A server that does not hear of what others write, for a second or two: its lists are old, and its writes go on.
struct Deaf {
    redis: RedisServer,
    proxy: Proxy,
    server: Server,
}

impl Deaf {
    #[track_caller]
    fn new() -> Deaf {
        let redis = RedisServer::start();
        let proxy = Proxy::before(&redis.socket());
        let server = start(&teams().env("REDIS_URL", &format!("redis+unix://{}", proxy.socket().display())));
        Deaf { redis, proxy, server }
    }

    /// Another server registers a made-up target in a group, and this one does not hear of it.
    #[track_caller]
    fn misses(&self, name: &str, group: &str) -> String {
        self.proxy.hold_the_first();
        let document = stored(&in_group(name, group));
        self.redis.command::<()>(&["SET", &id(name).to_string(), &document]);
        document
    }

    /// What Redis has under a made-up target.
    fn in_redis(&self, name: &str) -> Option<String> {
        self.redis.command(&["GET", &id(name).to_string()])
    }
}

#[test]
fn what_others_made_and_this_server_does_not_show_yet_is_theirs() {
    let deaf = Deaf::new();
    for at in 0..5 {
        let name = format!("theirs-{at}");
        let document = deaf.misses(&name, "b");
        let (what, request) = ways("wa", &name, "a").into_iter().nth(at).unwrap();
        let response = deaf.server.send(&request);
        response.has_status(403, what);
        assert!(!response.text().contains("9100"), "{what}: {}", response.text());
        assert_eq!(deaf.in_redis(&name), Some(document), "{what}");
    }
    deaf.proxy.speak();
    eventually(SOON, || deaf.server.discover_as("secret").len() == 5);
}

#[test]
fn a_declaration_overwrites_nothing_that_came_after_its_plan() {
    let declare = |deaf: &Deaf, token: &str, tag: Option<&str>| {
        let request = by(token, "PUT", "/api/v1/groups/a").body(json!([{"targets": ["one:9100"]}]).to_string());
        deaf.server.send(&match tag {
            Some(tag) => request.header("If-Match", tag),
            None => request,
        })
    };
    // Another server puts it into this group, changed, or into another one.
    for (token, group, with_tag, status) in [
        ("wa", "a", true, 412),
        ("secret", "a", true, 412),
        ("secret", "b", true, 412),
        ("wa", "b", false, 403),
        ("secret", "b", false, 409),
    ] {
        let deaf = Deaf::new();
        declare(&deaf, "secret", None).has_status(200, "a group");
        let tag = deaf.server.send(&by("secret", "GET", "/api/v1/groups/a")).header("ETag").unwrap().to_owned();
        let document = deaf.misses("one", group);
        let response = declare(&deaf, token, Some(&*tag).filter(|_| with_tag));
        assert_eq!(response.status, status, "{token} {group} {with_tag}: {}", response.text());
        assert_eq!(deaf.in_redis("one"), Some(document), "{token} {group} {with_tag}");
    }
    // What was changed in the group itself is replaced, if the client does not mind.
    let deaf = Deaf::new();
    declare(&deaf, "wa", None).has_status(200, "a group");
    deaf.misses("one", "a");
    let answer = declare(&deaf, "wa", None);
    assert_eq!(answer.json(), json!({"created": 0, "updated": 1, "unchanged": 0, "deleted": 0}));
    assert!(deaf.in_redis("one").is_some_and(|document| !document.contains("text")));
}

#[test]
fn what_others_have_renewed_is_not_deleted_as_it_was() {
    let deaf = Deaf::new();
    let path = format!("/api/v1/registrations/{}", id("one"));
    deaf.server.send(&by("wa", "PUT", "/target").body(body("one", "a"))).has_status(200, "new");
    let tag = deaf.server.send(&by("wa", "GET", &path)).header("ETag").unwrap().to_owned();
    let group = deaf.server.send(&by("wa", "GET", "/api/v1/groups/a")).header("ETag").unwrap().to_owned();
    let key = id("one").to_string();
    let renewed = deaf.in_redis("one").unwrap().replace(r#""updated_at":"1"#, r#""updated_at":"2"#);
    deaf.proxy.hold_the_first();
    deaf.redis.command::<()>(&["SET", &key, &renewed]);
    for token in ["wa", "secret"] {
        let delete = by(token, "DELETE", &path).header("If-Match", &*tag);
        is_problem(&deaf.server.send(&delete), 412, "changed");
    }
    assert_eq!(deaf.in_redis("one"), Some(renewed.clone()));
    // A renewal is no change of the group.
    let delete = |tag: &str| by("wa", "DELETE", "/api/v1/groups/a").header("If-Match", tag);
    is_problem(&deaf.server.send(&delete("\"x\"")), 412, "changed");
    deaf.server.send(&delete(&group)).has_status(200, "unchanged but for a renewal");
    assert_eq!(deaf.in_redis("one"), None);
}

#[test]
fn what_is_unknown_is_unavailable() {
    let mut redis = RedisServer::start();
    let server = start(&teams().env("REDIS_URL", &redis.url()));
    server.send(&by("wb", "PUT", "/target").body(body("one", "b"))).has_status(200, "new");
    redis.kill();
    for (what, request) in ways("wa", "one", "a").into_iter().filter(|(what, _)| *what != "declare") {
        server.send(&request).has_status(503, what);
    }
    // That it stands in another group is known, whatever else may be.
    let (_, declare) = ways("wa", "one", "a").into_iter().find(|(what, _)| *what == "declare").unwrap();
    server.send(&declare).has_status(403, "declare");
}

#[test]
fn what_leaves_a_scope_is_deleted_there() {
    Stores::new().each(|setup| {
        let server = start(&shared(setup, &teams()));
        server.send(&by("wa", "PUT", "/target").body(body("one", "a"))).has_status(200, "new");
        server.send(&by("secret", "PUT", "/target").body(body("one", "b"))).has_status(200, "moved");
        let latest = |token: &str, query: &str| {
            let answer = server.send(&by(token, "GET", &format!("/api/v1/changes{query}")));
            answer.has_status(200, query);
            answer.json()["changes"][0].clone()
        };
        for query in ["", "?target_group=a", &format!("?id={}", id("one"))] {
            let change = latest("ra", query);
            assert_eq!((&change["action"], &change["target_group"]), (&json!("deleted"), &json!("a")), "{query}");
            assert_eq!((&change["by"], &change["targets"]), (&Value::Null, &json!(["one:9100"])), "{query}");
        }
        let change = latest("rall", "");
        assert_eq!((&change["action"], &change["target_group"]), (&json!("changed"), &json!("b")));
        assert!(change["by"].as_str().is_some_and(|by| by.starts_with("api ")), "{change}");
        assert_eq!(server.send(&by("wb", "GET", "/api/v1/changes")).json()["changes"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn the_status_of_a_scope_counts_nothing_of_others() {
    let redis = RedisServer::start();
    let server = start(&teams().env("REDIS_URL", &redis.url()));
    let register = |targets: Value, group: &str, ttl: u64| {
        let body = json!({"static_config": {"targets": targets, "target_group": group, "ttl_seconds": ttl}});
        server.send(&by("secret", "PUT", "/target").body(body.to_string())).has_status(200, group);
    };
    register(json!(["a:1", "b:1"]), "a", 200);
    register(json!(["b:1"]), "a-2", 10_000);
    let status = || server.send(&by("ra", "GET", "/api/v1/status")).json();
    let before = status();
    assert_eq!((&before["registrations"], &before["groups"], &before["addresses"]), (&json!(2), &json!(2), &json!(3)));
    assert_eq!((&before["duplicates"], &before["expiring"]["5m"]), (&json!(1), &json!(1)));
    register(json!(["a:1", "c:1"]), "b", 100);
    register(json!(["a:1"]), "c", 100);
    redis.command::<()>(&["SET", &id("unfit").to_string(), "x"]);
    eventually(SOON, || {
        server.get("/api/v1/quarantine").status == 401
            && server.send(&by("secret", "GET", "/api/v1/status")).json()["quarantined"] == json!(1)
    });
    assert_eq!(status(), before);
}
