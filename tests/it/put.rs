//! PUT /target: what is accepted, and what of it is kept.

use serde_json::{Value, json};

use crate::client::Request;
use crate::server::Server;

/// Registers `{"static_config": ...}` and asserts what GET /target then says of it, id and time apart.
#[track_caller]
fn check(server: &Server, config: &str, expected: Value) {
    check_body(server, format!(r#"{{"static_config":{config}}}"#).as_bytes(), expected);
}

#[track_caller]
fn check_body(server: &Server, body: &[u8], expected: Value) {
    let response = server.put(body);
    response.has_status(200, String::from_utf8_lossy(body));
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    let id = response.json()["id"].clone();
    assert_eq!(response.text(), format!("{{\"id\":{id}}}\n"));
    assert_eq!(registration(server, &id), expected, "{}", String::from_utf8_lossy(body));
}

/// What GET /target says, without what differs from run to run; labels are an object, present or not.
#[track_caller]
fn registration(server: &Server, id: &Value) -> Value {
    let mut found = server.find(json!({ "id": id }).to_string()).json()["static_config"].take();
    let config = found.as_object_mut().expect("a registration is an object");
    assert_eq!(config.remove("id").as_ref(), Some(id));
    assert!(config.remove("updated_at").is_some_and(|time| time.is_string()), "updated_at is a string");
    if config["labels"].is_null() {
        config["labels"] = json!({});
    }
    found
}

#[test]
fn labels_group_and_modules_are_kept() {
    let server = Server::start(&[]);
    check(
        &server,
        r#"{"targets":["10.0.10.2:9100"],
            "labels":{"__meta_datacenter":"dc-01","__meta_prometheus_job":"node"},"target_group":"mygroup"}"#,
        json!({"targets": ["10.0.10.2:9100"], "target_group": "mygroup",
               "labels": {"__meta_datacenter": "dc-01", "__meta_prometheus_job": "node"}}),
    );
    check(
        &server,
        r#"{"targets":["host.local:9999"],"labels":{"__inventor_sd_job":"inventor-exporter-proxy"},
            "modules":["node_exporter","ipmi_exporter"]}"#,
        json!({"targets": ["host.local:9999"], "target_group": "inventor-default",
               "labels": {"__inventor_sd_job": "inventor-exporter-proxy"},
               "modules": ["node_exporter", "ipmi_exporter"]}),
    );
}

#[test]
fn what_is_missing_or_null_has_its_default() {
    let server = Server::start(&[]);
    let plain = json!({"targets": ["a:1"], "labels": {}, "target_group": "inventor-default"});
    for rest in [
        "",
        r#","target_group":null"#,
        r#","target_group":"""#,
        r#","labels":null"#,
        r#","labels":{}"#,
        r#","modules":null"#,
        r#","modules":[]"#,
        r#","id":null,"updated_at":null"#,
        r#","id":"3ebd7d3f-feb7-5a81-aa0d-89c9d0a516ed","updated_at":"7""#,
    ] {
        check(&server, &format!(r#"{{"targets":["a:1"]{rest}}}"#), plain.clone());
    }
    check(
        &server,
        r#"{"targets":["a:1"],"labels":{"empty":"","none":null}}"#,
        json!({"targets": ["a:1"], "labels": {"empty": "", "none": ""}, "target_group": "inventor-default"}),
    );
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    let server = Server::start(&[]);
    let plain = json!({"targets": ["a:1"], "labels": {}, "target_group": "inventor-default"});
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for unknown in [r#""x""#, "5", "1e999", "true", "null", "{}", r#"{"targets":["b:1"]}"#, deep.as_str()] {
        let (inner, outer) =
            (format!(r#""more":{unknown}"#), format!(r#""more":{unknown},"id":"x","target_group":"g""#));
        let body = format!(r#"{{{outer},"static_config":{{{inner},"targets":["a:1"]}}}}"#);
        check_body(&server, body.as_bytes(), plain.clone());
    }
}

#[test]
fn field_names_match_in_any_case_and_the_last_of_several_counts() {
    let server = Server::start(&[]);
    check_body(
        &server,
        br#"{"Static_Config":{"TARGETS":["a:1"],"Labels":{"Job":"x"},"Target_Group":"g","MODULES":["m"]}}"#,
        json!({"targets": ["a:1"], "labels": {"Job": "x"}, "target_group": "g", "modules": ["m"]}),
    );
    check(
        &server,
        r#"{"targets":["x:1"],"target_group":"old","labels":{"job":"a","datacenter":"b","job":"c","datacenter":"d"},
            "targets":["a:1"],"target_group":"new"}"#,
        json!({"targets": ["a:1"], "labels": {"job": "c", "datacenter": "d"}, "target_group": "new"}),
    );
}

#[test]
fn targets_are_kept_as_they_are() {
    let server = Server::start(&[]);
    for targets in [
        json!(["https://example.com/x?y=1&z=<2>", "http://[::1]:8080/"]),
        json!(["[2001:db8::1]:9100", "::1"]),
        json!(["UPPER:1", " with blanks ", "Zürich:1", "\u{1f600}", "\"\\/\u{2028}\t"]),
        json!(["b:1", "a:1", "b:1", "b:1"]),
        json!((0..1000).map(|n| format!("host-{n}.example.com:9100")).collect::<Vec<_>>()),
    ] {
        let expected = json!({"targets": targets, "labels": {}, "target_group": "inventor-default"});
        check(&server, &json!({ "targets": targets }).to_string(), expected);
    }
}

#[test]
fn label_values_are_kept_as_they_are() {
    let server = Server::start(&[]);
    for value in ["", "<a href=\"x\">&amp;</a>", "\u{2028}\u{2029}", "\0\u{1}\u{1f}\n\t", "\u{1f600}", "\\", " x "] {
        let labels = json!({ "label": value, "__meta_x": value });
        let expected = json!({"targets": ["a:1"], "labels": labels, "target_group": "inventor-default"});
        check(&server, &json!({"targets": ["a:1"], "labels": labels}).to_string(), expected);
    }
    let replaced = json!({"targets": ["a:1"], "labels": {"l": "z\u{fffd}rich"}, "target_group": "\u{fffd}\u{fffd}"});
    check_body(
        &server,
        b"{\"static_config\":{\"targets\":[\"a:1\"],\"labels\":{\"l\":\"z\xFCrich\"},\"target_group\":\"\xE2\x82\"}}",
        replaced,
    );
}

#[test]
fn blanks_and_the_content_type_do_not_matter() {
    let server = Server::start(&[]);
    let plain = json!({"targets": ["a:1"], "labels": {}, "target_group": "inventor-default"});
    check_body(&server, b" \r\n\t{\n\"static_config\" : { \"targets\" : [\n\"a:1\" ] } }\r\n\n ", plain);
    for content_type in ["application/x-www-form-urlencoded", "application/json; charset=utf-8", "text/plain", "x", ""]
    {
        let request = Request::new("PUT", "/target").token().header("Content-Type", content_type);
        server.send(&request.body(r#"{"static_config":{"targets":["a:1"]}}"#)).has_status(200, content_type);
    }
}

#[test]
fn the_same_targets_again_replace_all_of_it() {
    let server = Server::start(&[]);
    check(
        &server,
        r#"{"targets":["a:1"],"labels":{"x":"1"},"target_group":"g","modules":["m"]}"#,
        json!({"targets": ["a:1"], "labels": {"x": "1"}, "target_group": "g", "modules": ["m"]}),
    );
    check(
        &server,
        r#"{"targets":["a:1"],"labels":{"y":"2"}}"#,
        json!({"targets": ["a:1"], "labels": {"y": "2"}, "target_group": "inventor-default"}),
    );
    assert_eq!(server.discover(), [json!({"targets": ["a:1"], "labels": {"y": "2"}})]);
    assert_eq!(server.get("/group?name=g").text(), "[]\n");
}

#[test]
fn the_answer_of_get_can_be_put_again() {
    let server = Server::start(&[]);
    let body = r#"{"static_config":{"targets":["a:1"],"labels":{"x":"<1>"},"target_group":"g","modules":["m"]}}"#;
    let id = server.register(body);
    let found = server.find(json!({ "id": id }).to_string());
    assert_eq!(server.register(&found.body), id);
    assert_eq!(server.find(json!({ "id": id }).to_string()).json()["static_config"]["labels"], json!({"x": "<1>"}));
}

#[test]
fn utf_8_label_names_pass_when_asked_for() {
    let server = Server::start(&[("LABEL_NAMES", "utf8")]);
    for name in ["bad-label", "service.name", "1abc", "a b", "ü", "\u{1f600}"] {
        check(
            &server,
            &json!({"targets": ["a:1"], "labels": {name: "x"}}).to_string(),
            json!({"targets": ["a:1"], "labels": {name: "x"}, "target_group": "inventor-default"}),
        );
    }
    let response = server.put(r#"{"static_config":{"targets":["b:1"],"labels":{"":"x"}}}"#);
    response.has_status(400, "an empty label name");
    assert_eq!(server.discover().len(), 1);
}

#[test]
fn who_asks_for_a_problem_document_learns_all_faults_at_once() {
    let server = Server::start(&[("TTL_SECONDS", "600"), ("TTL_MAX_SECONDS", "3600")]);
    let faults = |body: &str| {
        let put = Request::new("PUT", "/target").header("Authorization", "Bearer secret").body(body);
        let response = server.send(&put.header("Accept", "application/json, application/problem+json"));
        response.has_status(400, body);
        assert_eq!(response.header("Content-Type"), Some("application/problem+json"));
        let pointers = response.json()["errors"].as_array().cloned().unwrap_or_default();
        pointers.iter().map(|fault| fault["pointer"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let all = r#"{"static_config":{"targets":["a:1",""],"labels":{"a-b":"","c/d":""},"ttl_seconds":7200}}"#;
    let places = ["/targets/1", "/labels/a-b", "/labels/c~1d", "/ttl_seconds"];
    assert_eq!(faults(all), places.map(|place| format!("/static_config{place}")));
    assert_eq!(faults(r#"{"static_config":{}}"#), ["/static_config/targets"]);
    assert_eq!(faults("{}"), ["/static_config"]);
    assert_eq!(faults("nonsense"), [""]);
    let refused = server.put(all);
    assert!(refused.text().starts_with("static_config: ttl_seconds: 7200 is not between"), "{}", refused.text());
}

#[test]
fn a_body_that_is_not_json_is_called_that() {
    let server = Server::start(&[]);
    for body in ["", "{", "hello", "{\"static_config\": {\"targets\": [\"a:1\"]}} x"] {
        let answer = server.put(body);
        answer.has_status(400, body);
        assert!(answer.text().starts_with("the body is not JSON: "), "{body}: {}", answer.text());
    }
}
