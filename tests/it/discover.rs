//! GET /discover and /group: the lists that Prometheus reads.

use serde_json::{Value, json};

use crate::client::Request;
use crate::server::Server;

#[track_caller]
fn register(server: &Server, targets: Value, rest: Value) {
    let mut config = rest;
    config["targets"] = targets;
    server.register(json!({ "static_config": config }).to_string());
}

#[test]
fn an_entry_is_targets_and_labels_and_nothing_else() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/discover").text(), "[]\n");
    server.register(r#"{"static_config":{"targets":["a:1","b:1"],"labels":{"y":"<2>","x":"1"},"target_group":"g"}}"#);
    for target in ["/discover", "/group?name=g"] {
        let response = server.get(target);
        response.is(200, "[{\"targets\":[\"a:1\",\"b:1\"],\"labels\":{\"x\":\"1\",\"y\":\"\\u003c2\\u003e\"}}]\n");
        assert_eq!(response.header("Content-Type"), Some("application/json"));
    }
}

#[test]
fn a_registration_without_labels_has_an_empty_object() {
    let server = Server::start(&[]);
    for labels in [json!({}), json!({"labels": null}), json!({"labels": {}})] {
        register(&server, json!(["a:1"]), labels);
        server.get("/discover").is(200, "[{\"targets\":[\"a:1\"],\"labels\":{}}]\n");
    }
}

#[test]
fn each_module_makes_an_entry() {
    let server = Server::start(&[]);
    let rest = json!({"labels": {"x": "1"}, "modules": ["node", "ipmi"], "target_group": "g"});
    register(&server, json!(["a:1"]), rest);
    let entries = [
        json!({"targets": ["a:1"], "labels": {"x": "1", "__meta_inventor_sd_module": "node"}}),
        json!({"targets": ["a:1"], "labels": {"x": "1", "__meta_inventor_sd_module": "ipmi"}}),
    ];
    assert_eq!(server.discover(), entries);
    assert_eq!(server.get("/group?name=g").json(), json!(entries));
}

#[test]
fn a_module_label_of_the_registration_wins() {
    let server = Server::start(&[]);
    let labels = json!({"__meta_inventor_sd_module": "mine"});
    register(&server, json!(["a:1"]), json!({"labels": labels, "modules": ["node", "ipmi"]}));
    let entry = json!({"targets": ["a:1"], "labels": labels});
    assert_eq!(server.discover(), [entry.clone(), entry]);
}

#[test]
fn equal_content_gives_equal_bytes() {
    let (one, other) = (Server::start(&[]), Server::start(&[]));
    for n in 0..50 {
        register(&one, json!([format!("host-{n}:1")]), json!({}));
        register(&other, json!([format!("host-{}:1", 49 - n)]), json!({}));
    }
    let list = one.get("/discover").body;
    assert_eq!(one.get("/discover").body, list);
    assert_eq!(other.get("/discover").body, list);
    register(&one, json!(["host-7:1"]), json!({"labels": {"x": "1"}}));
    assert_ne!(one.get("/discover").body, list);
    register(&one, json!(["host-7:1"]), json!({}));
    assert_eq!(one.get("/discover").body, list, "a renewal that changes nothing changes no byte");
}

#[test]
fn entries_come_in_the_order_of_their_ids() {
    let server = Server::start(&[]);
    let mut entries: Vec<(String, Value)> = (0..20)
        .map(|n| {
            let targets = json!([format!("host-{n}:1")]);
            let id = server.register(json!({"static_config": {"targets": targets}}).to_string());
            (id, json!({"targets": targets, "labels": {}}))
        })
        .collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    let entries: Vec<Value> = entries.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(server.discover(), entries);
}

#[test]
fn a_change_shows_in_the_very_next_answer() {
    let server = Server::start(&[]);
    let labels_now = || server.discover().iter().map(|entry| entry["labels"]["n"].clone()).collect::<Vec<_>>();
    for n in 0..50 {
        register(&server, json!(["a:1"]), json!({"labels": {"n": n.to_string()}, "target_group": n.to_string()}));
        assert_eq!(labels_now(), [json!(n.to_string())]);
        assert_eq!(server.get(&format!("/group?name={n}")).json().as_array().map(Vec::len), Some(1));
        assert_eq!(server.get(&format!("/group?name={}", n + 1)).text(), "[]\n");
    }
    server.delete(r#"{"id":"7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"}"#).is(200, "true\n");
    assert_eq!(labels_now(), Vec::<Value>::new());
}

#[test]
fn a_group_is_named_exactly() {
    let server = Server::start(&[]);
    register(&server, json!(["default:1"]), json!({}));
    for group in ["g", "G", "g h", "a+b", "a&b;c", "ü/\u{1f600}", "%41", "a=b"] {
        register(&server, json!([group]), json!({ "target_group": group }));
    }
    for (query, group) in [
        ("name=inventor-default", "default:1"),
        ("name=g", "g"),
        ("name=%67", "g"),
        ("name=G", "G"),
        ("name=g+h", "g h"),
        ("name=g%20h", "g h"),
        ("name=a%2Bb", "a+b"),
        ("name=a%26b%3Bc", "a&b;c"),
        ("name=a%26b%3bc", "a&b;c"),
        ("name=%C3%BC/%F0%9F%98%80", "ü/\u{1f600}"),
        ("name=ü/\u{1f600}", "ü/\u{1f600}"),
        ("name=%2541", "%41"),
        ("name=a=b", "a=b"),
        ("%6eame=g", "g"),
        ("name=g&name=G", "g"),
        ("foo=%zz&name=g&bar", "g"),
        ("foo=bar&name=g", "g"),
        ("Name=G&name=g", "g"),
    ] {
        let response = server.get(&format!("/group?{query}"));
        response.has_status(200, query);
        assert_eq!(response.json(), json!([{"targets": [group], "labels": {}}]), "{query}");
    }
    for query in ["name=none", "name=Inventor-Default", "name=g%20", "name=%FF"] {
        server.get(&format!("/group?{query}")).is(200, "[]\n");
    }
}

#[test]
fn a_group_without_a_name_is_refused() {
    let server = Server::start(&[]);
    for target in
        ["/group", "/group?", "/group?name", "/group?name=", "/group?Name=x", "/group?name=&name=x", "/group?x"]
    {
        let response = server.get(target);
        response.is(400, "Get parameter `name` is not defined\n");
        assert!(response.header("Content-Type").is_some_and(|value| value.starts_with("text/plain")), "{target}");
    }
}

#[test]
fn the_query_of_discover_is_ignored() {
    let server = Server::start(&[]);
    register(&server, json!(["a:1"]), json!({}));
    let list = server.get("/discover").body;
    for query in ["foo=%zz", "name=x", "", "a;b", "x=1&x=2"] {
        assert_eq!(server.get(&format!("/discover?{query}")).body, list, "{query}");
    }
}

#[test]
fn what_a_client_accepts_does_not_change_the_list_for_prometheus() {
    let server = Server::start(&[]);
    register(&server, json!(["a:1"]), json!({}));
    let list = server.get("/discover").body;
    for (name, value) in
        [("Accept", "text/html"), ("Range", "bytes=0-1"), ("X-Prometheus-Refresh-Interval-Seconds", "60")]
    {
        let response = server.send(&Request::new("GET", "/discover").header(name, value));
        response.has_status(200, name);
        assert_eq!(response.body, list);
        assert_eq!(response.header("Content-Encoding"), None);
    }
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let server = Server::start(&[]);
    register(&server, json!(["a:1"]), json!({"target_group": "g"}));
    for target in ["/discover", "/group?name=g", "/group?name=none", "/group", "/metrics", "/healthcheck"] {
        let mut connection = server.connect();
        let head = connection.send(&Request::new("HEAD", target));
        let get = connection.send(&Request::new("GET", target));
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(head.header("Content-Type"), get.header("Content-Type"), "{target}");
        if !target.starts_with("/metrics") {
            assert_eq!(head.header("Content-Length"), Some(get.body.len().to_string().as_str()), "{target}");
        }
    }
}
