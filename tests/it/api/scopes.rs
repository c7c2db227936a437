//! Tokens with names, for some groups or all: what each of them may see and change.

use nix::sys::signal::Signal;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::{is_problem, listed, register, start};
use crate::client::{Request, Response};
use crate::eventually::{SOON, eventually};
use crate::server::{Server, Setup};

fn line(name: &str, role: &str, groups: &str, secret: &str) -> String {
    let hex: String = digest(&SHA256, secret.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} {role} {groups} sha256:{hex}\n")
}

/// Two teams, each with a token for writing and one for reading, and an operator.
pub(super) fn teams() -> Setup {
    let setup = Setup::new();
    let lines = [
        line("a-write", "write", "a,a-*", "wa"),
        line("b-write", "write", "b", "wb"),
        line("a-read", "read", "a,a-*", "ra"),
        line("all-read", "read", "*", "rall"),
    ];
    let file = setup.write("tokens", format!("\u{feff}# teams\n\n{}", lines.concat()));
    setup.env("TOKENS_FILE", file.to_str().unwrap())
}

#[track_caller]
fn put(server: &Server, token: &str, target: &str, group: &str) -> Response {
    let body = json!({"static_config": {"targets": [target], "target_group": group}});
    server.send(&Request::new("PUT", "/target").header("x-api-token", token).body(body.to_string()))
}

fn by_id(server: &Server, token: &str, method: &str, id: &str) -> Response {
    server.send(&Request::new(method, &format!("/target?id={id}")).header("x-api-token", token))
}

#[track_caller]
fn seen(server: &Server, token: &str, path: &str) -> Response {
    server.send(&Request::new("GET", path).header("Authorization", format!("Bearer {token}")))
}

#[test]
fn a_team_registers_in_its_groups_alone_and_takes_nothing_from_others() {
    let server = start(&teams());
    put(&server, "wa", "a:1", "a").has_status(200, "its own group");
    put(&server, "wa", "a:2", "a-2").has_status(200, "its own group by its beginning");
    put(&server, "wb", "b:1", "b").has_status(200, "its own group");
    for (token, target, group) in [
        ("wa", "c:1", "b"),
        ("wa", "c:1", "inventor-default"),
        ("wb", "c:1", "a"),
        ("ra", "c:1", "a"),
        // The targets of the other team, in a group of one's own.
        ("wa", "b:1", "a"),
        ("wb", "a:1", "b"),
        ("wb", "a:1", "a"),
    ] {
        put(&server, token, target, group).is(403, "FORBIDDEN");
    }
    let id = register(&server, "b:1", "b", json!({}));
    for method in ["GET", "DELETE"] {
        by_id(&server, "wa", method, &id).is(403, "FORBIDDEN");
    }
    by_id(&server, "wb", "GET", &id).has_status(200, "its own registration");
    by_id(&server, "wb", "DELETE", &id).is(200, "true\n");
    put(&server, "secret", "a:1", "b").has_status(200, "API_TOKEN may do everything");
}

#[test]
fn a_scoped_reader_sees_its_groups_alone() {
    let server = start(&teams());
    for (target, group) in [("a:1", "a"), ("a:2", "a-2"), ("b:1", "b")] {
        register(&server, target, group, json!({}));
    }
    for path in ["/discover", "/sd"] {
        assert_eq!(listed(&seen(&server, "ra", path)), ["a:1", "a:2"]);
        assert_eq!(listed(&seen(&server, "rall", path)), ["a:1", "a:2", "b:1"]);
        assert_eq!(listed(&seen(&server, "wb", path)), ["b:1"], "who writes may read");
        assert_eq!(listed(&seen(&server, "secret", path)), ["a:1", "a:2", "b:1"]);
    }
    let discovered = seen(&server, "ra", "/discover");
    assert_eq!(discovered.json()[0]["labels"], json!({}), "/discover shows what it always shows");
    register(&server, "a:3", "a-3", json!({}));
    assert_eq!(listed(&seen(&server, "ra", "/discover")), ["a:1", "a:2", "a:3"]);
    assert_eq!(listed(&seen(&server, "ra", "/group?name=a")), ["a:1"]);
    seen(&server, "ra", "/group?name=b").is(403, "FORBIDDEN");
    is_problem(&seen(&server, "ra", "/sd?group=b"), 403, "b");
    is_problem(&seen(&server, "ra", "/sd?group=a&group=b"), 403, "b");
    assert_eq!(listed(&seen(&server, "ra", "/sd?group=a&group=a-2")), ["a:1", "a:2"]);
}

#[test]
fn who_is_unknown_is_told_to_say_who_it_is() {
    let server = start(&teams());
    let response = server.get("/sd");
    is_problem(&response, 401, "token");
    assert_eq!(response.header("WWW-Authenticate"), Some("Bearer"));
    is_problem(&seen(&server, "wrong", "/sd"), 401, "token");
    server.get("/discover").is(403, "FORBIDDEN");
    let by = |name: &str, value: &str| server.send(&Request::new("GET", "/sd").header(name, value)).status;
    assert_eq!(by("x-sd-token", "ra"), 200);
    assert_eq!(by("x-sd-token", "wa"), 200, "a write token reads");
    assert_eq!(by("x-api-token", "wa"), 200);
    assert_eq!(by("x-api-token", "ra"), 401, "a token of the wrong header is none");
    assert_eq!(by("Authorization", "ra"), 200);
    assert_eq!(by("Authorization", "Basic YW55OnJh"), 200);
    let both = Request::new("GET", "/sd").header("Authorization", "Basic cHJveHk6eA==").header("x-sd-token", "ra");
    server.send(&both).has_status(200, "a proxy's own Basic locks nobody out");
    let writes = |name: &str, value: &str| {
        let body = r#"{"static_config":{"targets":["a:1"],"target_group":"a"}}"#;
        server.send(&Request::new("PUT", "/target").header(name, value).body(body)).status
    };
    assert_eq!(writes("Authorization", "Basic YW55Ondh"), 200);
    assert_eq!(writes("Authorization", "wa"), 200);
    assert_eq!(writes("x-sd-token", "wa"), 403);
}

#[test]
fn reading_is_open_while_no_token_is_for_reading() {
    let setup = Setup::new().without("API_TOKEN");
    let file = setup.write("tokens", line("team", "write", "a", "wa"));
    let server = start(&setup.env("TOKENS_FILE", file.to_str().unwrap()));
    put(&server, "wa", "a:1", "a").has_status(200, "the only token");
    assert_eq!(listed(&server.get("/sd")), ["a:1"]);
    assert_eq!(listed(&seen(&server, "wrong", "/sd")), ["a:1"]);
    put(&server, "secret", "a:1", "a").is(403, "FORBIDDEN");
}

#[test]
fn the_file_is_read_again_and_a_bad_one_leaves_the_tokens_as_they_were() {
    let setup = teams();
    let mut server = start(&setup);
    setup.write("tokens", line("new", "write", "a", "wn"));
    server.process().signal(Signal::SIGHUP);
    eventually(SOON, || put(&server, "wn", "a:1", "a").status == 200);
    put(&server, "wa", "a:1", "a").is(403, "FORBIDDEN");
    setup.write("tokens", "new write a sha256:beef\n");
    server.process().signal(Signal::SIGHUP);
    server.process().line_with(&["TOKENS_FILE", "line 1"]);
    put(&server, "wn", "a:1", "a").has_status(200, "the token is in force");
    assert!(!server.log().iter().any(|line| line.contains("beef")), "digests are not logged");
}

#[test]
fn names_stand_in_the_audit_line() {
    let mut server = start(&teams());
    put(&server, "wa", "a:1", "a").has_status(200, "a write");
    server.process().line_with(&["action=put", "token=a-write", "group=a", "outcome=ok"]);
    put(&server, "secret", "a:2", "a").has_status(200, "a write");
    server.process().line_with(&["action=put", "token=api", "outcome=ok"]);
}

#[test]
fn a_wrong_file_ends_the_start() {
    let setup = Setup::new().without("API_TOKEN");
    for (content, word) in [
        (line("team", "read", "a", "ra"), "no token for writing"),
        (line("api", "write", "a", "wa"), "line 1"),
        (line("x", "write", "a", "wa") + &line("x", "write", "b", "wb"), "line 2"),
        ("x write a".to_owned(), "line 1"),
    ] {
        let file = setup.write("tokens", &content);
        let outcome = setup.clone().env("TOKENS_FILE", file.to_str().unwrap()).run();
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("TOKENS_FILE") && outcome.stderr.contains(word), "{outcome:?}");
    }
}

#[test]
fn metrics_can_be_for_those_alone_who_may_read_everything() {
    let setup = teams().env("METRICS_AUTH", "read");
    let server = start(&setup);
    server.get("/metrics").is(403, "FORBIDDEN");
    for (token, status) in [("ra", 403), ("wa", 403), ("unknown", 403), ("rall", 200), ("secret", 200)] {
        seen(&server, token, "/metrics").has_status(status, token);
    }
    server.send(&Request::new("HEAD", "/metrics")).has_status(403, "HEAD");
    drop(server);
    // That lists are open to everybody opens nothing else.
    let server = start(&setup.without("TOKENS_FILE"));
    server.get("/discover").has_status(200, "a poll");
    server.get("/metrics").is(403, "FORBIDDEN");
    seen(&server, "secret", "/metrics").has_status(200, "a token for everything");
    drop(server);
    start(&teams()).get("/metrics").has_status(200, "the default");
}
