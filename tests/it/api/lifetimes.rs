//! A lifetime of its own: `ttl_seconds` in a registration.

use serde_json::{Value, json};

use super::{Stores, on_both_stores, start};
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

fn body(target: &str, ttl: impl Into<Value>) -> String {
    json!({"static_config": {"targets": [target], "ttl_seconds": ttl.into()}}).to_string()
}

/// What GET /target says of the lifetime; `None` when it says nothing.
#[track_caller]
fn shown(server: &Server, id: &str) -> Option<Value> {
    let found = server.find(json!({ "id": id }).to_string());
    found.has_status(200, id);
    found.json()["static_config"].get("ttl_seconds").cloned()
}

#[test]
fn a_lifetime_is_shown_where_it_was_given_and_only_there() {
    on_both_stores(|server| {
        for seconds in [0_u64, 1000, 9_223_372_036] {
            let id = server.register(body("a:1", seconds));
            assert_eq!(shown(server, &id), Some(json!(seconds)));
            let answer = server.find(json!({ "id": id }).to_string());
            let last = format!(",\"ttl_seconds\":{seconds}}},\"target_group\":\"\"}}\n");
            assert!(answer.text().ends_with(&last), "{}", answer.text());
            assert_eq!(server.register(&answer.body), id);
            assert_eq!(shown(server, &id), Some(json!(seconds)), "the answer of GET can be put again");
        }
        for nothing in [body("a:1", Value::Null), r#"{"static_config":{"targets":["a:1"]}}"#.to_owned()] {
            let id = server.register(nothing);
            assert_eq!(shown(server, &id), None, "a renewal without it returns to the default");
        }
    });
}

#[test]
fn a_registration_lives_as_long_as_it_asked_to() {
    Stores::new().each(|setup| {
        let server = start(&setup.clone().env("TTL_SECONDS", "2"));
        server.register(body("default:1", Value::Null));
        server.register(body("longer:1", 3600));
        server.register(body("forever:1", 0));
        eventually(SOON, || server.discover().len() == 2);
        server.register(body("shorter:1", 1));
        assert_eq!(server.discover().len(), 3);
        eventually(SOON, || server.discover().len() == 2);
        let targets: Vec<Value> = server.discover().iter().map(|entry| entry["targets"][0].clone()).collect();
        assert!(targets.contains(&json!("longer:1")) && targets.contains(&json!("forever:1")), "{targets:?}");
        let long = server.register(body("longer:1", 3600));
        drop(server);
        let server = start(setup);
        assert_eq!(server.discover().len(), 2, "a restart changes nothing");
        assert_eq!(shown(&server, &long), Some(json!(3600)));
    });
}

#[test]
fn a_lifetime_that_is_none_is_refused() {
    let server = Server::start(&[]);
    for ttl in ["\"600\"", "1.5", "600.0", "6e2", "-1", "-0", "9223372037", "1e999", "true", "[]", "{}"] {
        let response = server.put(format!(r#"{{"static_config":{{"targets":["a:1"],"ttl_seconds":{ttl}}}}}"#));
        response.has_status(400, ttl);
        assert!(response.text().contains("static_config: ttl_seconds: "), "{}", response.text());
    }
    assert_eq!(server.discover().len(), 0);
}

#[test]
fn a_lifetime_outside_of_the_bounds_is_refused_with_both_of_them() {
    for (bounds, inside, outside) in [
        (&[("TTL_MIN_SECONDS", "60"), ("TTL_MAX_SECONDS", "30000")][..], &[60, 30_000_u64][..], &[59, 30_001, 0][..]),
        (&[("TTL_MIN_SECONDS", "60")], &[60, 9_223_372_036, 0], &[59]),
        (&[("TTL_MAX_SECONDS", "30000")], &[1, 30_000], &[0, 30_001]),
    ] {
        let server = Server::start(bounds);
        for seconds in inside {
            server.register(body("a:1", *seconds));
        }
        for seconds in outside {
            let response = server.put(body("a:1", *seconds));
            response.has_status(400, seconds);
            for word in ["TTL_MIN_SECONDS", "TTL_MAX_SECONDS"] {
                assert!(response.text().contains(word), "{}", response.text());
            }
        }
        server.register(body("a:1", Value::Null));
    }
}

#[test]
fn the_document_ends_with_the_lifetime_and_is_otherwise_as_ever() {
    let redis = RedisServer::start();
    let server = start(&Setup::new().env("REDIS_URL", &redis.url()));
    let id = server.register(body("a:1", 600));
    let document: String = redis.command(&["GET", &id]);
    assert!(document.starts_with(&format!(r#"{{"id":"{id}","targets":["a:1"],"labels":null,"target_group""#)));
    assert!(document.ends_with("\",\"ttl_seconds\":600}"), "{document}");
    let rest: i64 = redis.command(&["TTL", &id]);
    assert!((590..=600).contains(&rest), "the rest is {rest} s");
    // What a Go replica writes has no lifetime of its own.
    server.register(body("a:1", Value::Null));
    let document: String = redis.command(&["GET", &id]);
    assert!(!document.contains("ttl_seconds"), "{document}");
}

#[test]
fn a_stored_lifetime_that_is_none_is_ignored() {
    let redis = RedisServer::start();
    let server = start(&Setup::new().env("REDIS_URL", &redis.url()));
    let id = server.register(body("a:1", Value::Null));
    for ttl in ["\"600\"", "1.5", "-1", "1e999", "9223372037", "null", "[{}]"] {
        let members = r#""targets":["a:1"],"labels":null,"target_group":"g","updated_at":"1""#;
        let planted = format!(r#"{{"id":"{id}",{members},"ttl_seconds":{ttl}}}"#);
        redis.command::<()>(&["SET", &id, &planted]);
        eventually(SOON, || server.get("/group?name=g").json().as_array().is_some_and(|list| list.len() == 1));
        assert_eq!(shown(&server, &id), None, "{ttl}");
    }
}
