//! Behind a reverse proxy: who the client is.

use serde_json::{Value, json};

use crate::client::{Request, Response};
use crate::server::{Server, Setup};

const BODY: &str = r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#;

/// Polls as Prometheus does, through a proxy that was asked from this address.
fn poll(server: &Server, forwarded_for: &str) -> Response {
    let request = Request::new("GET", "/discover").header("User-Agent", "Prometheus/3.0.0");
    server.send(&request.header("X-Forwarded-For", forwarded_for))
}

fn pollers(server: &Server) -> Vec<Value> {
    let pollers = server.get("/api/v1/pollers").json()["pollers"].as_array().unwrap().clone();
    pollers.into_iter().map(|poller| poller["address"].clone()).collect()
}

#[test]
fn the_client_is_whom_trusted_proxies_name() {
    let setup = Setup::new().env("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8, unix").env("RUST_LOG", "debug");
    let mut server = setup.start();
    let forwarded = |request: Request, address: &str| server.send(&request.header("X-Forwarded-For", address));
    forwarded(Request::new("PUT", "/target").token().body(BODY), "192.0.2.9, 203.0.113.7, 10.0.0.2")
        .has_status(200, "");
    assert_eq!(server.get("/api/v1/changes").json()["changes"][0]["by"], json!("api 203.0.113.7"));
    forwarded(Request::new("PUT", "/target").body(BODY), "203.0.113.8:4711").has_status(403, "no token");
    let entries: Vec<Value> =
        (0..2000).map(|n| json!({"targets": [format!("a-host-with-a-long-name-{n}:9100")]})).collect();
    let group = Request::new("PUT", "/api/v1/groups/h").header("Authorization", "Bearer secret");
    let group = group.body(Value::from(entries).to_string());
    assert!(group.to_bytes().len() > 64 * 1024, "this is a large body");
    forwarded(group, "2001:db8::7").has_status(200, "a group");
    assert_eq!(server.get("/api/v1/changes").json()["changes"][0]["by"], json!("api 2001:db8::7"));
    // What is refused before anybody looks at it is logged with the client as well.
    let too_large = Request::new("PUT", "/target").token().body(vec![b' '; 70_000]);
    forwarded(too_large, "203.0.113.9").has_status(413, "a large body");

    // Two servers of one version are two pollers, and what nobody can read is nobody else.
    for address in ["203.0.113.1", "203.0.113.2", "203.0.113.1", "unknown", &"10.0.0.1,".repeat(1500)] {
        poll(&server, address).has_status(200, address);
    }
    assert_eq!(pollers(&server), ["127.0.0.1", "203.0.113.1", "203.0.113.2"]);
    for words in [
        ["client=203.0.113.7 ", "action=put"],
        ["client=203.0.113.8:4711 ", "token missing or wrong"],
        ["client=2001:db8::7 ", "action=declare"],
        ["client=203.0.113.9 ", "status=413"],
    ] {
        server.process().line_with(&words);
    }
}

#[test]
fn nobody_else_says_who_the_client_is() {
    for trusted in ["", "127.0.0.2", "10.0.0.0/8,unix,::1"] {
        let server = Setup::new().env("TRUSTED_PROXIES", trusted).start();
        poll(&server, "203.0.113.1").has_status(200, "a poll");
        assert_eq!(pollers(&server), ["127.0.0.1"], "{trusted}");
    }
}
