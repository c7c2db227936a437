//! From start to end: what survives a restart, how long registrations live, and how the server stops.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::client::{Connection, Request};
use crate::eventually::{SOON, eventually};
use crate::server::{Server, Setup};

const BODY: &str = r#"{"static_config":{"targets":["a:1"],"labels":{"x":"1"},"target_group":"g"}}"#;
const ID: &str = r#"{"id":"7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"}"#;

#[test]
fn registrations_survive_a_restart() {
    let setup = Setup::new();
    let server = setup.start();
    server.register(BODY);
    server.register(r#"{"static_config":{"targets":["b:1"],"modules":["m"]}}"#);
    server.register(r#"{"static_config":{"targets":["c:1"]}}"#);
    server.delete(r#"{"id":"c8a7c4a0-0000-5000-8000-000000000000"}"#).has_status(404, "an unknown id");
    let (list, found) = (server.get("/discover").body, server.find(ID).body);
    assert_eq!(server.terminate(), Some(0));

    let server = setup.start();
    assert_eq!(server.get("/discover").body, list);
    assert_eq!(server.find(ID).body, found, "not even the time of the update changes");
    server.delete(ID).is(200, "true\n");
    assert_eq!(server.terminate(), Some(0));

    let server = setup.start();
    assert_eq!(server.discover().len(), 2, "what was deleted stays deleted");
    server.find(ID).is(404, "Id not found\n");
}

#[test]
fn registrations_survive_a_kill() {
    let setup = Setup::new();
    let server = setup.start();
    server.register(BODY);
    let list = server.get("/discover").body;
    // Dropping a server kills it.
    drop(server);
    assert_eq!(setup.start().get("/discover").body, list);
}

#[test]
fn a_registration_expires_unless_it_is_renewed() {
    let server = Server::start(&[("TTL_SECONDS", "2")]);
    let start = Instant::now();
    server.register(BODY);
    server.register(r#"{"static_config":{"targets":["renewed:1"]}}"#);
    eventually(SOON, || {
        server.register(r#"{"static_config":{"targets":["renewed:1"]}}"#);
        server.discover().len() == 1
    });
    assert!(start.elapsed() >= Duration::from_millis(1900), "it lived for {:?} only", start.elapsed());
    assert_eq!(server.discover(), [json!({"targets": ["renewed:1"], "labels": {}})]);
    server.find(ID).is(404, "Id not found\n");
    server.delete(ID).is(404, "Id not found\n");
    assert_eq!(server.get("/group?name=g").text(), "[]\n");
    assert!(!server.get("/metrics").text().contains("a:1"));
    server.register(BODY);
    assert_eq!(server.discover().len(), 2, "what expired can be registered again");
}

#[test]
fn a_registration_without_a_ttl_lives_for_ever() {
    let setup = Setup::new().env("TTL_SECONDS", "1");
    let server = setup.start();
    server.register(r#"{"static_config":{"targets":["mortal:1"]}}"#);
    assert_eq!(server.terminate(), Some(0));
    // The time to live is set when a registration is written, so the first one still expires.
    let server = setup.env("TTL_SECONDS", "0").start();
    server.register(BODY);
    eventually(SOON, || server.discover().len() == 1);
    assert_eq!(server.discover(), [json!({"targets": ["a:1"], "labels": {"x": "1"}})]);
}

#[test]
fn time_in_which_the_server_was_stopped_does_not_end_a_lifetime() {
    let setup = Setup::new().env("TTL_SECONDS", "2");
    let server = setup.start();
    server.register(BODY);
    let end = Instant::now() + Duration::from_secs(2);
    assert_eq!(server.terminate(), Some(0));
    // Only time itself can make this true.
    thread::sleep(end.saturating_duration_since(Instant::now()));
    let server = setup.start();
    assert_eq!(server.discover().len(), 1, "its owner could not renew it");
    eventually(SOON, || server.discover().is_empty());
}

#[test]
fn each_ending_signal_ends_with_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let mut server = Server::start(&[]);
        server.register(BODY);
        let mut idle = server.connect();
        idle.send(&Request::new("GET", "/discover")).has_status(200, "/discover");
        let start = Instant::now();
        server.process().signal(signal);
        assert_eq!(server.process().wait().code(), Some(0), "{signal}");
        assert!(start.elapsed() < Duration::from_secs(10), "an idle connection holds up {signal}");
    }
}

#[test]
fn a_hangup_does_not_end_the_server() {
    let mut server = Server::start(&[]);
    server.process().signal(Signal::SIGHUP);
    server.get("/discover").is(200, "[]\n");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn requests_under_way_at_the_end_are_answered() {
    let setup = Setup::new();
    let mut server = setup.start();
    let acknowledged: usize = thread::scope(|scope| {
        let writers = [0, 1, 2, 3, 4, 5, 6, 7].map(|writer| {
            let connection = server.connect();
            scope.spawn(move || register_to_the_end(connection, writer))
        });
        eventually(SOON, || server.discover().len() > 20);
        server.process().signal(Signal::SIGTERM);
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(server.process().wait().code(), Some(0));
    let found = setup.start().discover().len();
    assert_eq!(found, acknowledged, "a registration was made, and its client was not told, or the other way round");
}

/// Registers one thing after the other until an answer says that it is the last one on this connection, and returns
/// how many there were. A client that is about to send its next request is not cut off without that word.
fn register_to_the_end(mut connection: Connection, writer: usize) -> usize {
    let end = Instant::now() + SOON;
    for acknowledged in 1.. {
        assert!(Instant::now() < end, "the server still serves after {SOON:?}");
        let body = format!(r#"{{"static_config":{{"targets":["writer-{writer}:{acknowledged}"]}}}}"#);
        let response = connection.send(&Request::new("PUT", "/target").token().body(body));
        response.has_status(200, "a write");
        if response.header("Connection") == Some("close") {
            return acknowledged;
        }
    }
    unreachable!("the server ends first")
}

#[test]
fn a_request_that_is_half_sent_at_the_end_is_answered_when_it_is_complete() {
    let setup = Setup::new();
    let mut server = setup.start();
    let mut connection = server.connect();
    let request = Request::new("PUT", "/target").token().body(BODY).to_bytes();
    let (one_half, other_half) = request.split_at(request.len() - 10);
    connection.write(one_half);
    // Nothing shows that the server has read half a request; that it answers others meanwhile is as near as one comes.
    server.get("/discover").is(200, "[]\n");
    server.process().signal(Signal::SIGTERM);
    server.process().line_with(&["shutting down"]);
    connection.write(other_half);
    connection.read("PUT").has_status(200, "the whole request");
    assert!(connection.is_at_end());
    assert_eq!(server.process().wait().code(), Some(0));
    assert_eq!(setup.start().discover().len(), 1);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let setup = Setup::new();
    let server = setup.start();
    server.register(BODY);
    let outcome = setup.run();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(setup.path("data").to_str().unwrap()), "{outcome:?}");
    assert_eq!(server.discover().len(), 1);
}

#[test]
fn the_data_directory_is_made_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new();
    let server = setup.start();
    let mode = setup.path("data").metadata().expect("the directory was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(server.terminate(), Some(0));
}
