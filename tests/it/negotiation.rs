//! What a client may ask of a list: only if it has changed, and compressed.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::json;

use crate::client::{Request, Response};
use crate::eventually::{SOON, eventually};
use crate::metrics::value;
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

const PATHS: [&str; 2] = ["/discover", "/group?name=g"];

/// Registers a target and returns its id.
#[track_caller]
fn register(server: &Server, target: &str) -> String {
    server.register(format!(r#"{{"static_config":{{"targets":["{target}"],"target_group":"g"}}}}"#))
}

#[track_caller]
fn get_with(server: &Server, path: &str, name: &str, value: &str) -> Response {
    server.send(&Request::new("GET", path).header(name, value))
}

#[test]
fn a_list_that_has_not_changed_is_not_sent_again() {
    let server = Server::start(&[]);
    register(&server, "a:1");
    for path in PATHS {
        let first = server.get(path);
        let tag = first.header("ETag").expect("a list has a tag");
        for tags in [tag.to_owned(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
            let response = get_with(&server, path, "If-None-Match", &tags);
            response.is(304, "");
            assert_eq!(response.header("ETag"), Some(tag));
        }
        get_with(&server, path, "If-None-Match", "\"other\"").is(200, first.text());
    }
}

#[test]
fn caches_show_nothing_to_others() {
    let server = Server::start(&[]);
    let id = register(&server, "a:1");
    let registration = server.send(&Request::new("GET", &format!("/target?id={id}")).token());
    for response in [server.get("/discover"), server.get("/group?name=inventor-default"), registration] {
        response.has_status(200, "a list or a registration");
        assert_eq!(response.header("Cache-Control"), Some("private, no-cache"));
    }
    let tag = server.get("/discover").header("ETag").map(str::to_owned).expect("a list has a tag");
    let known = get_with(&server, "/discover", "If-None-Match", &tag);
    known.has_status(304, "a list that is known");
    assert_eq!(known.header("Cache-Control"), Some("private, no-cache"));
}

#[test]
fn a_changed_list_is_sent_and_an_equal_one_has_the_same_tag() {
    let server = Server::start(&[]);
    register(&server, "a:1");
    for path in PATHS {
        let old = server.get(path);
        let tag = old.header("ETag").expect("a list has a tag");
        let added = register(&server, "b:1");
        let new = get_with(&server, path, "If-None-Match", tag);
        new.has_status(200, path);
        assert_ne!(new.body, old.body);
        assert_ne!(new.header("ETag"), Some(tag));
        server.delete(format!(r#"{{"id":"{added}"}}"#)).is(200, "true\n");
        get_with(&server, path, "If-None-Match", tag).is(304, "");
    }
}

/// A Prometheus whose polls are conditional: one that has the list is not one that has stopped polling.
#[test]
fn conditional_polls_are_polls_through_changes_outages_and_restarts() {
    let mut redis = RedisServer::start();
    let setup = Setup::new().env("REDIS_URL", &redis.url());
    let server = setup.start();
    eventually(SOON, || server.get("/-/ready").status == 200);
    let known = register(&server, "a:1");
    let poll = |server: &Server, tag: &str| {
        let poll = Request::new("GET", "/sd?group=g").header("User-Agent", "Prometheus/3.9.0");
        server.send(&poll.header("X-Prometheus-Refresh-Interval-Seconds", "30").header("If-None-Match", tag))
    };
    let first = poll(&server, "\"none\"");
    first.has_status(200, "the first list");
    let tag = first.header("ETag").expect("a list has a tag").to_owned();
    poll(&server, &tag).is(304, "");
    server.register(r#"{"static_config":{"targets":["elsewhere:1"],"target_group":"other"}}"#);
    poll(&server, &tag).is(304, "");
    assert_eq!(value(&server, r#"inventor_polls_total{client="prometheus"}"#), Some(3.0));
    assert_eq!(value(&server, r#"inventor_pollers{client="prometheus",state="current"}"#), Some(1.0));
    let poller = server.get("/api/v1/pollers").json()["pollers"][0].clone();
    assert_eq!((&poller["polls"], &poller["last_status"]), (&json!(3), &json!(304)));

    redis.stop_and_save();
    poll(&server, &tag).is(304, "");
    assert_eq!(server.terminate(), Some(0));
    let server = setup.start();
    poll(&server, &tag).has_status(503, "a server that has not loaded a list");
    server.get(&format!("/api/v1/registrations/{known}")).has_status(503, "nobody knows yet whether there is one");
    redis.run();
    eventually(SOON, || server.get("/-/ready").status == 200);
    poll(&server, &tag).is(304, "");
    register(&server, "b:1");
    let new = poll(&server, &tag);
    new.has_status(200, "a new list");
    assert!(new.text().contains("a:1") && new.text().contains("b:1"), "{}", new.text());
}

#[test]
fn metrics_are_compressed_for_who_asks() {
    for target_info in ["on", "off"] {
        let server = Server::start(&[("TARGET_INFO", target_info)]);
        let text = |response: Response| {
            let mut text = String::new();
            GzDecoder::new(response.body.as_slice()).read_to_string(&mut text).expect("it is gzip");
            text
        };
        for count in [0, 300] {
            for n in 0..count {
                register(&server, &format!("host-{n}.example.com:9100"));
            }
            // The first request for them adds series of its own.
            server.get("/metrics").has_status(200, "/metrics");
            let plain = server.get("/metrics");
            assert_eq!((plain.header("Content-Encoding"), plain.header("Vary")), (None, Some("Accept-Encoding")));
            let response = get_with(&server, "/metrics", "Accept-Encoding", "gzip");
            assert_eq!(response.header("Content-Encoding"), Some("gzip"));
            assert_eq!(response.header("Content-Type"), plain.header("Content-Type"));
            assert!(response.body.len() < plain.body.len() / 3, "{} of {}", response.body.len(), plain.body.len());
            // All but the numbers, which go on.
            let without_values = |text: &str| -> Vec<String> {
                text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
            };
            assert_eq!(without_values(&text(response)), without_values(plain.text()));
        }
    }
}

#[test]
fn a_list_is_compressed_for_who_asks() {
    let server = Server::start(&[]);
    for n in 0..300 {
        register(&server, &format!("host-{n}.example.com:9100"));
    }
    for path in PATHS {
        let plain = server.get(path);
        assert_eq!(plain.header("Content-Encoding"), None);
        for accepted in ["gzip", "deflate, gzip", "gzip;q=0.5", "GZIP"] {
            let response = get_with(&server, path, "Accept-Encoding", accepted);
            response.has_status(200, accepted);
            assert_eq!(response.header("Content-Encoding"), Some("gzip"), "{accepted}");
            assert_eq!(response.header("Content-Type"), Some("application/json"));
            assert!(response.body.len() < plain.body.len() / 3, "{} of {}", response.body.len(), plain.body.len());
            let mut unpacked = Vec::new();
            GzDecoder::new(response.body.as_slice()).read_to_end(&mut unpacked).expect("it is gzip");
            assert_eq!(unpacked, plain.body, "{accepted}");
        }
        for accepted in ["identity", "deflate", "gzip;q=0", ""] {
            let response = get_with(&server, path, "Accept-Encoding", accepted);
            assert_eq!(response.header("Content-Encoding"), None, "{accepted}");
            assert_eq!(response.body, plain.body);
        }
    }
}
