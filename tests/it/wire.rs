//! HTTP/1.1 and 1.0 as clients speak it: connections that stay open, bodies in chunks, requests in pieces.

use std::time::{Duration, Instant};

use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::server::Server;

const BODY: &str = r#"{"static_config":{"targets":["a:1"]}}"#;
const ID: &str = "{\"id\":\"7214ebb0-ab3e-513a-bafe-fb6b460c2cfa\"}\n";

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for _ in 0..20 {
        connection.send(&Request::new("PUT", "/target").token().body(BODY)).is(200, ID);
        connection.send(&Request::new("GET", "/discover")).has_status(200, "/discover");
        connection.send(&Request::new("HEAD", "/discover")).has_status(200, "/discover");
        connection.send(&Request::new("GET", "/nope")).has_status(404, "/nope");
        connection.send(&Request::new("POST", "/discover").body("x")).has_status(405, "/discover");
        connection.send(&Request::new("PUT", "/target").body(BODY)).has_status(403, "/target");
        connection.send(&Request::new("PUT", "/target").token().body("{}")).has_status(400, "/target");
    }
}

/// How often the threads of this name have waited for something, all of them together.
fn waits(process: &str, name: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the server runs");
    let states = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let ours = states.filter(|state| state.starts_with(&format!("Name:\t{name}\n")));
    let count = |state: String| {
        state.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
    };
    ours.filter_map(count).sum()
}

#[test]
fn what_calls_the_store_wakes_no_thread_for_nothing() {
    const REQUESTS: u64 = 100;
    let mut server = Server::start(&[]);
    let process = server.process().id().to_string();
    let find = Request::new("GET", "/target").token().body(ID);
    let mut connection = server.connect();
    // The thread of the connection waits for a request and for its answer; one of tiny_http's, which have the name of the
    // program, waits for a request. The other end of a socket can wake them as well, when it takes what they have written.
    for (name, waits_each) in [("connection", 2), ("inventor", 1)] {
        // On a busy machine it may happen now and then.
        eventually(SOON, || {
            let before = waits(&process, name);
            (0..REQUESTS).for_each(|_| connection.send(&find).has_status(404, "/target"));
            waits(&process, name) - before < waits_each * REQUESTS + REQUESTS / 2
        });
    }
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let server = Server::start(&[]);
    let requests = [
        (Request::new("PUT", "/target").token().body(BODY), 200),
        (Request::new("GET", "/nope"), 404),
        (Request::new("GET", "/discover"), 200),
        (Request::new("PUT", "/target").body(BODY), 403),
        (Request::new("POST", "/group"), 405),
        (Request::new("GET", "/group"), 400),
    ];
    let mut connection = server.connect();
    connection.write(requests.iter().flat_map(|(request, _)| request.to_bytes()).collect::<Vec<_>>());
    for (request, status) in requests {
        connection.read("GET").has_status(status, request);
    }
}

#[test]
fn a_client_that_says_close_is_closed() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    connection.send(&Request::new("GET", "/healthcheck").header("Connection", "close")).is(200, "OK");
    assert!(connection.is_at_end());
}

#[test]
fn http_1_0_is_answered_without_chunks() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    connection.write("GET /metrics HTTP/1.0\r\n\r\n");
    let response = connection.read("GET");
    response.has_status(200, "/metrics");
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert!(connection.is_at_end(), "without keep-alive the connection ends");

    let mut connection = server.connect();
    for _ in 0..3 {
        connection.write("GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = connection.read("GET");
        assert_eq!(response.header("Transfer-Encoding"), None);
        assert!(response.header("Content-Length").is_some());
    }
}

#[test]
fn a_client_may_wait_for_100_continue() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let head = Request::new("PUT", "/target").token().header("Expect", "100-continue");
    connection.write(head.header("Content-Length", BODY.len().to_string()).to_bytes());
    connection.read("PUT").has_status(100, "the head");
    connection.write(BODY);
    connection.read("PUT").is(200, ID);
}

#[test]
fn a_request_may_come_in_single_bytes() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for byte in Request::new("PUT", "/target").token().body(BODY).to_bytes() {
        connection.write([byte]);
    }
    connection.read("PUT").is(200, ID);
    let mut connection = server.connect();
    let head = Request::new("PUT", "/target").token().header("Transfer-Encoding", "chunked").to_bytes();
    let chunks: String = BODY.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    for piece in [head.as_slice(), chunks.as_bytes(), b"0\r\n", b"\r\n"].concat().chunks(7) {
        connection.write(piece);
    }
    connection.read("PUT").is(200, ID);
}

#[test]
fn long_heads_and_queries_are_served() {
    let server = Server::start(&[]);
    let long_field = Request::new("GET", "/discover").header("X-Long", "x".repeat(6 * 1024));
    server.send(&long_field).is(200, "[]\n");
    let many_fields = (0..40)
        .fold(Request::new("GET", "/discover"), |request, n| request.header(&format!("X-Field-{n}"), "x".repeat(100)));
    server.send(&many_fields).is(200, "[]\n");
    server.get(&format!("/group?x={}&name=g", "y".repeat(4 * 1024))).is(200, "[]\n");
    server.get(&format!("/group?name={}", "%41".repeat(1300))).is(200, "[]\n");
}

#[test]
fn nonsense_is_refused_and_leaves_the_server_unharmed() {
    let server = Server::start(&[]);
    for nonsense in [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /discover HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /discover HTTP/1.1\r\nHost: x\r\nno field\r\n\r\n",
        "PUT /target HTTP/1.1\r\nHost: x\r\nx-api-token: secret\r\nContent-Length: x\r\n\r\n",
        "PUT /target HTTP/1.1\r\nHost: x\r\nx-api-token: secret\r\nContent-Length: -5\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.write(nonsense);
        connection.end_sending();
        if !connection.is_at_end() {
            let status = connection.read("GET").status;
            assert!((400..600).contains(&status), "{nonsense:?} is answered by {status}");
        }
        server.get("/discover").is(200, "[]\n");
    }
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let server = Server::start(&[]);
    let mut connections: Vec<_> = (0..64).map(|_| server.connect()).collect();
    let start = Instant::now();
    for _ in 0..5 {
        for connection in &mut connections {
            connection.write(Request::new("GET", "/discover").to_bytes());
        }
        for connection in &mut connections {
            connection.read("GET").is(200, "[]\n");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
}
