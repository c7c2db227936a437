//! PUT /target: what is refused, with which words, and that nothing of it is kept.

use serde_json::json;

use crate::client::{Request, Response};
use crate::server::Server;

const BODY_BYTES_MAX: usize = 65536;

/// Sends each body, and asserts that it is refused as malformed with these words and leaves nothing behind.
#[track_caller]
fn check<Body: AsRef<[u8]>>(cases: &[(Body, &str)]) {
    let server = Server::start(&[]);
    for (body, words) in cases {
        let body = body.as_ref();
        let response = server.put(body);
        response.has_status(400, body.escape_ascii().to_string());
        assert!(response.text().contains(words), "{} is answered by {:?}", body.escape_ascii(), response.text());
        assert!(response.text().ends_with('\n'), "an error is a line");
        assert!(response.header("Content-Type").is_some_and(|value| value.starts_with("text/plain")));
    }
    assert_eq!(server.get("/discover").text(), "[]\n");
}

#[test]
fn what_is_no_json_document_is_refused() {
    check(&[
        (b"".as_slice(), ""),
        (b"  \n", ""),
        (b"hello", ""),
        (br#"{"static_config":{"targets":["a:1"]}"#, ""),
        (br#"{"static_config":{"targets":["a:1",]}}"#, ""),
        (br#"{"static_config":{"targets":["a:1"],}}"#, ""),
        (br#"{"static_config":{"targets":["a:1"]}} // why"#, ""),
        (br#"{/* why */"static_config":{"targets":["a:1"]}}"#, ""),
        (br"{'static_config':{'targets':['a:1']}}", ""),
        (b"{\"static_config\":{\"targets\":[\"a\n:1\"]}}", ""),
        (br#"{"static_config":{"targets":["\x61:1"]}}"#, ""),
        (br#"{"static_config":{"targets":["a:1"],"x":NaN}}"#, ""),
        (br#"{"static_config":{"targets":["a:1"]}}}"#, "trailing"),
        (br#"{"static_config":{"targets":["a:1"]}}{"static_config":{"targets":["b:1"]}}"#, "trailing"),
        (br#"{"static_config":{"targets":["a:1"]}} garbage"#, "trailing"),
    ]);
}

#[test]
fn a_document_of_the_wrong_form_is_refused_by_field_and_reason() {
    check(&[
        ("[]", ""),
        ("true", ""),
        ("5", ""),
        (r#""x""#, ""),
        (r#"[{"targets":["a:1"],"labels":{}}]"#, ""),
        (r#"{"static_config":"a:1"}"#, "static_config"),
        (r#"{"static_config":["a:1"]}"#, "static_config"),
        (r#"{"static_config":{"targets":"a:1"}}"#, "static_config: targets"),
        (r#"{"static_config":{"targets":{"a":"b"}}}"#, "static_config: targets"),
        (r#"{"static_config":{"targets":["a:1",5]}}"#, "static_config: targets: 1"),
        (r#"{"static_config":{"targets":[true]}}"#, "static_config: targets: 0"),
        (r#"{"static_config":{"targets":[["a:1"]]}}"#, "static_config: targets: 0"),
        (r#"{"static_config":{"targets":[{}]}}"#, "static_config: targets: 0"),
        (r#"{"static_config":{"targets":["a:1"],"labels":["x"]}}"#, "static_config: labels"),
        (r#"{"static_config":{"targets":["a:1"],"labels":"x"}}"#, "static_config: labels"),
        (r#"{"static_config":{"targets":["a:1"],"labels":{"port":9100}}}"#, "static_config: labels: port"),
        (r#"{"static_config":{"targets":["a:1"],"labels":{"on":true}}}"#, "static_config: labels: on"),
        (r#"{"static_config":{"targets":["a:1"],"labels":{"x":{}}}}"#, "static_config: labels: x"),
        (r#"{"static_config":{"targets":["a:1"],"labels":{"x":[]}}}"#, "static_config: labels: x"),
        (r#"{"static_config":{"targets":["a:1"],"target_group":5}}"#, "static_config: target_group"),
        (r#"{"static_config":{"targets":["a:1"],"modules":"m"}}"#, "static_config: modules"),
        (r#"{"static_config":{"targets":["a:1"],"modules":["m",5]}}"#, "static_config: modules: 1"),
    ]);
}

#[test]
fn a_registration_without_targets_is_refused() {
    check(&[
        ("{}", "static_config: missing"),
        ("null", ""),
        (r#"{"targets":["a:1"],"labels":{}}"#, "static_config: missing"),
        (r#"{"static_config":null}"#, "static_config: missing"),
        (r#"{"static_config":{}}"#, "static_config: targets"),
        (r#"{"static_config":{"targets":null}}"#, "static_config: targets"),
        (r#"{"static_config":{"targets":[]}}"#, "static_config: targets"),
        (r#"{"static_config":{"targets":[""]}}"#, "static_config: targets: 0"),
        (r#"{"static_config":{"targets":["a:1",null]}}"#, "static_config: targets: 1"),
    ]);
}

#[test]
fn label_names_that_some_prometheus_refuses_are_refused() {
    let names = ["", "bad-label", "service.name", "1abc", "a b", "ü", " x", "x:y", "\u{1f600}", "a\0"];
    let bodies = names.map(|name| {
        let body = json!({"static_config": {"targets": ["a:1"], "labels": {"good": "x", name: "y"}}});
        (body.to_string(), "static_config: labels: ")
    });
    check(&bodies);
    check(&[(
        r#"{"static_config":{"targets":["a:1"],"labels":{"bad-label":"y"}}}"#,
        "\"bad-label\" does not match [a-zA-Z_]",
    )]);
}

#[test]
fn brackets_without_end_do_no_harm() {
    let brackets = "[".repeat(BODY_BYTES_MAX - 100);
    check(&[
        (brackets.clone(), ""),
        (format!(r#"{{"x":{brackets}"#), ""),
        (format!(r#"{{"static_config":{{"targets":["a:1"],"x":{brackets}"#), ""),
    ]);
}

#[test]
fn modules_that_multiply_an_entry_beyond_measure_are_refused() {
    let modules: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let targets: Vec<String> = (0..1000).map(|n| format!("host-{n}:9100")).collect();
    let body = json!({"static_config": {"targets": targets, "modules": modules}}).to_string();
    check(&[(body, "static_config: modules: ")]);
}

#[test]
fn a_body_of_65536_bytes_is_accepted_and_one_byte_more_is_413() {
    let server = Server::start(&[]);
    let body_of = |bytes: usize| {
        let frame = r#"{"static_config":{"targets":["a:1"],"labels":{"x":""}}}"#.len();
        json!({"static_config": {"targets": ["a:1"], "labels": {"x": "y".repeat(bytes - frame)}}}).to_string()
    };
    server.put(body_of(BODY_BYTES_MAX + 1)).has_status(413, "65537 bytes");
    put_in_chunks(&server, body_of(BODY_BYTES_MAX + 1).as_bytes()).has_status(413, "65537 bytes in chunks");
    assert_eq!(server.get("/discover").text(), "[]\n");
    server.put(body_of(BODY_BYTES_MAX)).has_status(200, "65536 bytes");
    put_in_chunks(&server, body_of(BODY_BYTES_MAX).as_bytes()).has_status(200, "65536 bytes in chunks");
}

#[test]
fn a_compressed_body_is_refused() {
    let server = Server::start(&[]);
    let put = |coding: &str| {
        let request = Request::new("PUT", "/target").token().header("Content-Encoding", coding);
        server.send(&request.body(r#"{"static_config":{"targets":["a:1"]}}"#))
    };
    let refused = put("gzip");
    refused.has_status(415, "gzip");
    assert_eq!(refused.text(), "415 Unsupported Media Type: request bodies must not be compressed\n");
    put("identity").has_status(200, "identity");
}

#[track_caller]
fn put_in_chunks(server: &Server, body: &[u8]) -> Response {
    let mut connection = server.connect();
    let request = Request::new("PUT", "/target").token().header("Transfer-Encoding", "chunked");
    connection.write(request.to_bytes());
    for chunk in body.chunks(10_000) {
        connection.write([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    connection.write("0\r\n\r\n");
    connection.read("PUT")
}

#[test]
fn a_client_that_goes_away_in_mid_body_leaves_nothing() {
    let server = Server::start(&[]);
    let body = r#"{"static_config":{"targets":["a:1"]}}"#;
    let complete = Request::new("PUT", "/target").token().body(body).to_bytes();
    for missing in [1, body.len() / 2, body.len()] {
        let mut connection = server.connect();
        connection.write(&complete[..complete.len() - missing]);
        connection.end_sending();
        // Any refusal will do, or none; what counts is that the server is done with it.
        if !connection.is_at_end() {
            assert!(connection.read("PUT").status >= 400, "a request without its end is not served");
        }
        assert_eq!(server.get("/discover").text(), "[]\n", "{missing} bytes were missing");
    }
    let mut connection = server.connect();
    let head = Request::new("PUT", "/target").token().header("Transfer-Encoding", "chunked").to_bytes();
    connection.write([head, format!("{:x}\r\n{body}\r\n", body.len()).into_bytes()].concat());
    connection.end_sending();
    if !connection.is_at_end() {
        assert!(connection.read("PUT").status >= 400, "a chunked body without its end is not served");
    }
    assert_eq!(server.get("/discover").text(), "[]\n", "the last chunk was missing");
}
