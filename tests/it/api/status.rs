//! Status, pollers, changes, quarantine, duplicates: what people look at to see what is wrong.

use serde_json::{Value, json};

use super::{Stores, authorized, is_problem, on_both_stores, register, scopes, start};
use crate::cli::Cli;
use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

#[test]
fn the_status_says_how_the_server_is_and_what_it_has() {
    Stores::new().each(|setup| {
        let server = start(&setup.clone().env("TTL_SECONDS", "1000"));
        server.register(r#"{"static_config":{"targets":["a:1","b:1"],"target_group":"g","ttl_seconds":100}}"#);
        register(&server, "c:1", "h", json!({}));
        server.register(r#"{"static_config":{"targets":["b:1"],"ttl_seconds":0}}"#);
        let status = server.get("/api/v1/status").json();
        let list = server.get("/discover").body.len();
        for (name, value) in [
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("default_ttl_seconds", json!(1000)),
            ("registrations", json!(3)),
            ("groups", json!(3)),
            ("addresses", json!(4)),
            ("quarantined", json!(0)),
            ("duplicates", json!(1)),
            ("expiring", json!({"5m": 1, "1h": 2, "6h": 2})),
            ("list_bytes", json!(list)),
            ("tokens", json!({"read": false, "write": true})),
            ("caller", json!(null)),
        ] {
            assert_eq!(status[name], value, "{name}");
        }
        let store = &status["store"];
        assert!(["embedded", "redis"].contains(&store["kind"].as_str().unwrap()));
        assert_eq!(
            (&store["healthy"], &store["reason"], &store["stale_seconds"]),
            (&json!(true), &Value::Null, &json!(0))
        );
        assert!(status["started_at"].is_string() && status["revision"].is_string());
    });
}

#[test]
fn the_status_of_a_server_that_has_not_loaded_says_why() {
    // Where nobody listens.
    let server = Setup::new().env("REDIS_ADDR", "127.0.0.1").env("REDIS_PORT", "1").start();
    server.get("/-/ready").has_status(503, "it has no list");
    let status = || server.get("/api/v1/status").json();
    eventually(SOON, || {
        status()["store"]["reason"].as_str().is_some_and(|reason| reason.contains("onnection refused"))
    });
    let status = status();
    let store = &status["store"];
    assert_eq!((&store["loaded"], &store["healthy"]), (&json!(false), &json!(false)));
    assert_eq!(status["registrations"], json!(0));
    assert!(Cli::of(&server).ends_with(0, &["status"]).contains("onnection refused"));
}

#[test]
fn the_status_of_a_lost_store_names_no_address() {
    let mut redis = RedisServer::start();
    let server = start(&Setup::new().env("REDIS_URL", &redis.url()));
    register(&server, "a:1", "g", json!({}));
    redis.kill();
    eventually(SOON, || server.get("/api/v1/status").json()["store"]["healthy"] == json!(false));
    let status = server.get("/api/v1/status");
    let store = &status.json()["store"];
    assert!(store["reason"].as_str().is_some_and(|reason| reason.contains("connection")), "{store}");
    assert_eq!(store["loaded"], json!(true));
    assert_eq!(status.json()["registrations"], json!(1));
    assert!(!status.text().contains(&redis.socket().display().to_string()));
    is_problem(&server.send(&authorized("DELETE", "/api/v1/groups/g")), 503, "store");
    let put = authorized("PUT", "/api/v1/groups/g").body(r#"[{"targets":["b:1"]}]"#);
    let refused = server.send(&put);
    is_problem(&refused, 503, "store");
    assert!(refused.header("Retry-After").is_some());
}

#[test]
fn a_scoped_token_sees_the_numbers_of_its_groups() {
    let server = start(&scopes::teams());
    for (target, group) in [("a:1", "a"), ("a:2", "a-2"), ("b:1", "b"), ("b:2", "b")] {
        register(&server, target, group, json!({}));
    }
    let get = |token: &str, path: &str| {
        server.send(&Request::new("GET", &format!("/api/v1/{path}")).header("Authorization", format!("Bearer {token}")))
    };
    let status = get("ra", "status").json();
    assert_eq!((&status["registrations"], &status["groups"], &status["addresses"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!(status["expiring"]["6h"], json!(2));
    assert_eq!(status["tokens"], json!({"read": true, "write": true}));
    assert_eq!(status["caller"], json!({"name": "a-read", "role": "read", "groups": ["a", "a-*"]}));
    assert_eq!(get("wa", "status").json()["caller"]["role"], json!("write"));
    assert_eq!(get("secret", "status").json()["caller"], json!({"name": "api", "role": "write", "groups": ["*"]}));
    assert_eq!(get("rall", "status").json()["registrations"], json!(4));
    assert_eq!(get("ra", "registrations").json()["total"], json!(2));
    assert_eq!(get("ra", "groups").json()["groups"].as_array().unwrap().len(), 2);
    for path in ["pollers", "quarantine", "duplicates", "groups/b", "changes?target_group=b", "registrations?group=b"] {
        is_problem(&get("ra", path), 403, "token");
        get("rall", path).has_status(200, path);
    }
    let id = get("wb", "registrations").json()["registrations"][0]["id"].as_str().unwrap().to_owned();
    is_problem(&get("ra", &format!("registrations/{id}")), 404, "no such");
    let delete = |token: &str| {
        let request = Request::new("DELETE", &format!("/api/v1/registrations/{id}"));
        server.send(&request.header("Authorization", format!("Bearer {token}")))
    };
    is_problem(&delete("wa"), 403, "may not change");
    is_problem(&delete("ra"), 403, "reading");
    delete("wb").has_status(204, "its own registration");
    assert_eq!(get("ra", "changes").json()["changes"].as_array().unwrap().len(), 2);
    let labels = json!({"__scheme__": "ftp"});
    for (target, group) in [("a:1", "a"), ("b:2", "b")] {
        register(&server, target, group, labels.clone());
    }
    for (token, total) in [("ra", 1), ("rall", 2)] {
        assert_eq!(get(token, "problems").json()["total"], json!(total), "{token}");
    }
}

#[test]
fn changes_say_what_happened_and_who_did_it() {
    on_both_stores(|server| {
        let change = |query: &str| server.get(&format!("/api/v1/changes{query}")).json()["changes"].clone();
        let config = json!({"targets": ["a:1", "b:1", "c:1", "d:1"], "target_group": "g"});
        let id = server.register(json!({ "static_config": config }).to_string());
        let first = change("")[0].clone();
        assert_eq!(first["action"], json!("registered"));
        assert_eq!((&first["id"], &first["target_group"]), (&json!(id), &json!("g")));
        assert_eq!((&first["targets"], &first["targets_total"]), (&json!(["a:1", "b:1", "c:1"]), &json!(4)));
        assert_eq!(first["by"], json!("api 127.0.0.1"));
        assert!(first["at"].is_string());
        // A renewal is no change, another lifetime neither.
        server.register(json!({ "static_config": config }).to_string());
        let longer = json!({"targets": ["a:1", "b:1", "c:1", "d:1"], "target_group": "g", "ttl_seconds": 5});
        server.register(json!({ "static_config": longer }).to_string());
        assert_eq!(change("").as_array().unwrap().len(), 1);
        let moved = json!({"targets": ["a:1", "b:1", "c:1", "d:1"], "target_group": "h"});
        server.register(json!({ "static_config": moved }).to_string());
        server.delete(json!({ "id": id }).to_string()).is(200, "true\n");
        let actions = |query: &str| -> Vec<String> {
            let changes = change(query);
            changes.as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(actions(""), ["deleted", "changed", "registered"], "the newest is first");
        assert_eq!(actions("?target_group=g"), ["changed", "registered"]);
        assert_eq!(actions("?target_group=h"), ["deleted", "changed"], "a move is found under both");
        assert_eq!(actions("?limit=1"), ["deleted"]);
        assert_eq!(actions(&format!("?id={id}")).len(), 3);
        assert_eq!(actions("?id=7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"), [""; 0]);
        server.register(r#"{"static_config":{"targets":["x:1"],"ttl_seconds":1}}"#);
        eventually(SOON, || actions("?limit=1") == ["expired"]);
        assert_eq!(change("?limit=1")[0]["by"], Value::Null);
    });
}

#[test]
fn changes_of_another_server_are_told_as_such() {
    let redis = RedisServer::start();
    let setup = Setup::new().env("REDIS_URL", &redis.url());
    let (one, other) = (start(&setup), start(&setup));
    register(&one, "a:1", "g", json!({}));
    eventually(SOON, || other.discover().len() == 1);
    assert_eq!(other.get("/api/v1/changes").json()["changes"][0]["by"], json!("another server"));
    assert_eq!(one.get("/api/v1/changes").json()["changes"][0]["by"], json!("api 127.0.0.1"));
    drop(other);
    let fresh = start(&setup);
    assert_eq!(fresh.get("/api/v1/changes").json(), json!({"changes": []}), "what is loaded at the start is no change");
}

#[test]
fn pollers_are_those_who_poll() {
    let server = Server::start(&[]);
    let poll = |path: &str, interval: &str| {
        let request = Request::new("GET", path).header("User-Agent", "Prometheus/3.0.0");
        server.send(&request.header("X-Prometheus-Refresh-Interval-Seconds", interval))
    };
    poll("/discover", "60").has_status(200, "a poll");
    poll("/discover", "60").has_status(200, "a poll");
    for _ in 0..3 {
        poll("/sd?group=g", "1").has_status(200, "a poll");
        std::thread::sleep(std::time::Duration::from_millis(1050));
    }
    // One header alone makes nobody late.
    poll("/sd?group=once", "1").has_status(200, "a poll");
    poll("/sd?gruop=g", "60").has_status(400, "no poll");
    server.get("/group?name=g").has_status(200, "a poll");
    let pollers = || server.get("/api/v1/pollers").json()["pollers"].as_array().unwrap().clone();
    let found = pollers();
    let paths: Vec<&str> = found.iter().map(|poller| poller["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/discover", "/group?name=g", "/sd?group=g", "/sd?group=once"]);
    let first = &found[0];
    for (name, value) in [
        ("client", json!("prometheus")),
        ("user_agent", json!("Prometheus/3.0.0")),
        ("address", json!("127.0.0.1")),
        ("refresh_interval_seconds", json!(60)),
        ("last_status", json!(200)),
        ("polls", json!(2)),
        ("late", json!(false)),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert!(first["first_seen"].is_string() && first["last_seen"].is_string());
    assert_eq!((&found[1]["client"], &found[1]["refresh_interval_seconds"]), (&json!("other"), &Value::Null));
    // Three of its intervals of a second.
    eventually(SOON, || pollers()[2]["late"] == json!(true));
    let gauge = |state: &str| {
        crate::metrics::value(&server, &format!("inventor_pollers{{client=\"prometheus\",state=\"{state}\"}}"))
    };
    assert_eq!((gauge("current"), gauge("late")), (Some(2.0), Some(1.0)));
}

#[test]
fn pollers_of_one_client_are_bounded_and_those_that_come_again_stay() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for _ in 0..2 {
        connection.send(&Request::new("GET", "/sd")).has_status(200, "a poll");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for n in 0..1100 {
        connection.send(&Request::new("GET", &format!("/discover?{n}"))).has_status(200, n);
    }
    let pollers = server.get("/api/v1/pollers").json()["pollers"].as_array().unwrap().clone();
    assert_eq!(pollers.len(), 250);
    assert!(pollers.iter().any(|poller| poller["path"] == json!("/sd")));
}

#[test]
fn what_is_left_out_is_shown_with_its_reason() {
    let redis = RedisServer::start();
    let server = start(&Setup::new().env("REDIS_URL", &redis.url()));
    let (one, two) = ("7214ebb0-ab3e-513a-bafe-fb6b460c2cfa", "ea9cdeed-4a13-5f04-99db-4487b775ede0");
    redis.command::<()>(&["SET", one, &"x".repeat(2000)]);
    redis.command::<()>(&["SET", two, r#"{"targets":["a:1"],"labels":{"bad-label":"x"}}"#]);
    eventually(SOON, || server.get("/api/v1/quarantine").json()["total"] == json!(2));
    let quarantine = server.get("/api/v1/quarantine").json()["quarantine"].clone();
    assert_eq!((&quarantine[0]["id"], &quarantine[1]["id"]), (&json!(one), &json!(two)));
    assert_eq!(quarantine[0]["value"].as_str().unwrap().len(), 512);
    assert!(quarantine[1]["reason"].as_str().unwrap().contains("bad-label"));
    assert_eq!(server.get("/api/v1/status").json()["quarantined"], json!(2));
    register(&server, "a:1", "g", json!({}));
    eventually(SOON, || server.get("/api/v1/quarantine").json()["total"] == json!(1));
}

#[test]
fn addresses_in_several_registrations_are_found() {
    let server = Server::start(&[]);
    let lists = [json!(["a:1", "b:1"]), json!(["b:1", "b:1"]), json!(["c:1"]), json!(["c:1", "b:1"])];
    for (targets, group) in lists.into_iter().zip(["x", "y", "x", "x"]) {
        server.register(json!({"static_config": {"targets": targets, "target_group": group}}).to_string());
    }
    let found = server.get("/api/v1/duplicates").json();
    assert_eq!(found["total"], json!(2));
    assert_eq!((&found["duplicates"][0]["address"], &found["duplicates"][0]["ids_total"]), (&json!("b:1"), &json!(3)));
    assert_eq!(found["duplicates"][0]["groups"], json!(["x", "y"]));
    assert_eq!(found["duplicates"][1]["ids"].as_array().unwrap().len(), 2);
    assert_eq!(found["duplicates"][1]["groups"], json!(["x"]));
}

#[test]
fn labels_by_which_prometheus_drops_a_target_are_told_with_the_reason() {
    let server = Server::start(&[]);
    let id = register(&server, "a:1", "g", json!({"__scheme__": "ftp", "__scrape_timeout__": "1m"}));
    register(&server, "b:1", "g", json!({"__scrape_interval__": "1m", "__param_x": "?"}));
    let found = server.get("/api/v1/problems").json();
    let problem = json!({
        "id": id, "target_group": "g", "label": "__scheme__", "value": "ftp", "reason": "expected http or https",
    });
    assert_eq!(found, json!({"problems": [problem], "total": 1}));
    assert_eq!(server.get("/api/v1/status").json()["label_problems"], json!(1));
    // Found once per change, not once.
    register(&server, "b:1", "g", json!({"__scrape_interval__": "1m", "__scrape_timeout__": "x".repeat(1000)}));
    let found = server.get("/api/v1/problems").json();
    assert_eq!(found["total"], json!(2));
    let values = found["problems"].as_array().unwrap().iter().map(|problem| problem["value"].as_str().unwrap());
    assert!(values.clone().any(|value| value == "x".repeat(100)), "{found}");
    register(&server, "a:1", "g", json!({"__scheme__": "https"}));
    register(&server, "b:1", "g", json!({}));
    assert_eq!(server.get("/api/v1/problems").json(), json!({"problems": [], "total": 0}));
}

#[test]
fn what_prometheus_would_drop_is_refused_where_that_is_asked_for() {
    let server = Server::start(&[]);
    let put = |path: &str, body: Value| {
        let request = Request::new("PUT", path).header("Authorization", "Bearer secret");
        server.send(&request.header("Accept", "application/problem+json").body(body.to_string()))
    };
    let labels = json!({"__scrape_interval__": "soon", "__scheme__": "ftp"});
    let one = json!({"static_config": {"targets": ["a:1"], "labels": labels}});
    for (path, body, at) in [
        ("/target?strict=true", one.clone(), "/static_config"),
        ("/api/v1/groups/g", json!([{"targets": ["a:1"], "labels": labels}]), "/0"),
    ] {
        let refused = put(path, body);
        refused.has_status(400, path);
        let errors = refused.json()["errors"].clone();
        for (error, label) in [(&errors[0], "__scheme__"), (&errors[1], "__scrape_interval__")] {
            assert_eq!(error["pointer"], json!(format!("{at}/labels/{label}")), "{path}: {errors}");
        }
    }
    assert!(server.discover().is_empty());
    put("/target?strict=yes", one.clone()).has_status(400, "neither true nor false");
    put("/target", one).has_status(200, "as the Go program does");
}

#[test]
fn what_redis_had_lost_is_told_and_keeps_its_lifetime() {
    let mut redis = RedisServer::start();
    let server = start(&Setup::new().env("REDIS_URL", &redis.url()));
    let id = server.register(r#"{"static_config":{"targets":["a:1"],"ttl_seconds":1000}}"#);
    redis.kill();
    eventually(SOON, || server.get("/-/ready").status == 503);
    redis.run();
    eventually(SOON, || server.get("/-/ready").status == 200);
    let latest = || server.get("/api/v1/changes?limit=1").json()["changes"][0].clone();
    eventually(SOON, || latest()["action"] == json!("restored"));
    assert_eq!((&latest()["id"], &latest()["by"]), (&json!(id), &Value::Null));
    let document: String = redis.command(&["GET", &id]);
    assert!(document.ends_with(",\"ttl_seconds\":1000}"), "{document}");
    let rest: i64 = redis.command(&["TTL", &id]);
    assert!((900..=1000).contains(&rest), "the rest is {rest} s");
}
