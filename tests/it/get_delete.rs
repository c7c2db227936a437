//! GET and DELETE /target: the registration of an id, however the id is spelt.

use std::time::SystemTime;

use serde_json::json;

use crate::client::Request;
use crate::server::Server;

const ID: &str = "7214ebb0-ab3e-513a-bafe-fb6b460c2cfa";
const BODY: &str = r#"{"static_config":{"targets":["a:1"],"labels":{"x":"<1>"},"target_group":"g","modules":["m"]}}"#;
const UNKNOWN: &str = r#"{"id":"00000000-0000-4000-8000-000000000000"}"#;

/// Bodies that name [`ID`].
fn spellings() -> Vec<String> {
    let plain = ID.replace('-', "");
    let ids = [
        ID.to_owned(),
        ID.to_uppercase(),
        format!("urn:uuid:{ID}"),
        format!("URN:UUID:{}", ID.to_uppercase()),
        format!("Urn:Uuid:{ID}"),
        format!("{{{ID}}}"),
        plain.to_uppercase(),
        plain,
    ];
    let mut bodies: Vec<String> = ids.iter().map(|id| json!({ "id": id }).to_string()).collect();
    bodies.push(format!(r#"{{"ID":"{ID}","more":5}}"#));
    bodies.push(format!(r#" {{ "id" : "nope" , "id" : "{ID}" }} "#));
    bodies
}

/// Bodies that name no id at all, with a word of the error.
const MALFORMED: &[(&str, &str)] = &[
    ("", ""),
    ("not JSON", ""),
    ("[]", ""),
    ("{}", "id: missing"),
    ("null", ""),
    (r#"{"id":null}"#, "id: missing"),
    (r#"{"id":5}"#, "id"),
    (r#"{"id":""}"#, "id"),
    (r#"{"id":"nope"}"#, "id: \"nope\" is not a UUID"),
    (r#"{"id":"urn:uuix:7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"}"#, "id"),
    (r#"{"id":"7214ebb0a-b3e-513a-bafe-fb6b460c2cfa"}"#, "id"),
    (r#"{"id":"7214ebb0-ab3e-513a-bafe-fb6b460c2cf"}"#, "id"),
];

#[test]
fn get_shows_the_registration() {
    let server = Server::start(&[]);
    let before = unix_seconds();
    server.register(BODY);
    let response = server.find(json!({ "id": ID }).to_string());
    response.has_status(200, "a known id");
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    let updated_at = response.json()["static_config"]["updated_at"].as_str().expect("a string").to_owned();
    let seconds: u64 = updated_at.parse().expect("whole seconds");
    assert!((before..=unix_seconds()).contains(&seconds), "{seconds} is not between {before} and now");
    let expected = format!(
        "{{\"static_config\":{{\"id\":\"{ID}\",\"targets\":[\"a:1\"],\"labels\":{{\"x\":\"\\u003c1\\u003e\"}},\
         \"target_group\":\"g\",\"modules\":[\"m\"],\"updated_at\":\"{updated_at}\"}},\"target_group\":\"\"}}\n"
    );
    assert_eq!(response.text(), expected);
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

#[test]
fn modules_are_left_out_when_there_are_none() {
    let server = Server::start(&[]);
    server.register(r#"{"static_config":{"targets":["a:1"],"modules":[]}}"#);
    let found = server.find(json!({ "id": ID }).to_string()).json();
    assert_eq!(found["static_config"].get("modules"), None);
    assert_eq!(found["static_config"]["target_group"], "inventor-default");
}

#[test]
fn an_id_is_found_in_every_spelling() {
    let server = Server::start(&[]);
    server.register(BODY);
    for body in spellings() {
        let response = server.find(&body);
        response.has_status(200, &body);
        assert_eq!(response.json()["static_config"]["id"], ID, "{body}");
    }
}

#[test]
fn an_id_is_deleted_in_every_spelling() {
    let server = Server::start(&[]);
    for body in spellings() {
        server.register(BODY);
        let response = server.delete(&body);
        response.is(200, "true\n");
        assert_eq!(response.header("Content-Type"), Some("application/json"));
        assert_eq!(server.get("/discover").text(), "[]\n", "{body}");
    }
}

#[test]
fn a_deleted_registration_is_gone_from_every_endpoint() {
    let server = Server::start(&[]);
    server.register(BODY);
    server.register(r#"{"static_config":{"targets":["b:1"]}}"#);
    server.delete(json!({ "id": ID }).to_string()).is(200, "true\n");
    server.find(json!({ "id": ID }).to_string()).is(404, "Id not found\n");
    assert_eq!(server.discover(), [json!({"targets": ["b:1"], "labels": {}})]);
    assert_eq!(server.get("/group?name=g").text(), "[]\n");
    assert!(!server.get("/metrics").text().contains("a:1"));
    server.delete(json!({ "id": ID }).to_string()).is(404, "Id not found\n");
    server.register(BODY);
    assert_eq!(server.discover().len(), 2);
}

#[test]
fn an_unknown_id_is_not_found() {
    let server = Server::start(&[]);
    server.register(BODY);
    for response in [server.find(UNKNOWN), server.delete(UNKNOWN)] {
        response.is(404, "Id not found\n");
        assert!(response.header("Content-Type").is_some_and(|value| value.starts_with("text/plain")));
    }
    assert_eq!(server.discover().len(), 1);
}

#[test]
fn a_request_that_names_no_id_is_refused() {
    let server = Server::start(&[]);
    server.register(BODY);
    for (body, words) in MALFORMED {
        for response in [server.find(body), server.delete(body)] {
            response.has_status(400, body);
            assert!(response.text().contains(words), "{body} is answered by {:?}", response.text());
        }
    }
    for method in ["GET", "DELETE"] {
        server.send(&Request::new(method, "/target").token()).has_status(400, method);
    }
    assert_eq!(server.discover().len(), 1);
}

#[test]
fn the_body_of_a_get_may_be_chunked() {
    let server = Server::start(&[]);
    server.register(BODY);
    let mut connection = server.connect();
    connection.write(Request::new("GET", "/target").token().header("Transfer-Encoding", "chunked").to_bytes());
    connection.write(format!("7\r\n{{\"id\":\"\r\n26\r\n{ID}\"}}\r\n0\r\n\r\n"));
    assert_eq!(connection.read("GET").json()["static_config"]["id"], ID);
}

#[test]
fn the_id_may_stand_in_the_query() {
    let server = Server::start(&[]);
    let send = |method: &str, id: &str| server.send(&Request::new(method, &format!("/target?id={id}")).token());
    for id in [ID.to_owned(), ID.to_uppercase(), format!("urn:uuid:{ID}"), format!("%7B{ID}%7D")] {
        server.register(BODY);
        send("GET", &id).has_status(200, &id);
        send("DELETE", &id).is(200, "true\n");
        send("GET", &id).is(404, "Id not found\n");
        send("DELETE", &id).is(404, "Id not found\n");
    }
    for id in ["nope", "7214ebb0"] {
        send("GET", id).has_status(400, id);
        send("DELETE", id).has_status(400, id);
    }
}
