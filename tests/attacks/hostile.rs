//! Attacks by what is sent: too much, ambiguous, malformed.

use std::io::Write;

use socket2::Socket;

use crate::target::{Target, read_all};

pub(crate) fn run(target: &Target) {
    target.attack("a header line of 200 MB", || header_line(target));
    target.attack("100,000 header fields", || header_fields(target));
    target.attack("a chunked body of 100 MB", || chunked_body(target));
    target.attack("huge lengths", || huge_lengths(target));
    target.attack("smuggled requests", || smuggling(target));
    target.attack("malformed requests", || malformed(target));
}

/// The statuses of all responses on this connection, until the server closes it.
fn statuses(client: &Socket) -> Vec<u16> {
    let answers = read_all(client);
    let answers = String::from_utf8_lossy(&answers);
    let lines = answers.split('\n').filter_map(|line| line.split_once("HTTP/1.1 ").map(|(_, rest)| rest));
    // A body may speak of HTTP/1.1 as well.
    lines.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

#[track_caller]
fn check(target: &Target, sent: impl AsRef<[u8]>, status: u16) {
    let got = statuses(&target.send(&sent));
    assert_eq!(got, [status], "{:?}", String::from_utf8_lossy(sent.as_ref()).chars().take(300).collect::<String>());
}

/// Sends the same bytes again and again after a beginning, or until the server has closed. A client that goes on
/// sending after the answer may lose it to a reset, but gets no other.
#[track_caller]
fn check_endless(target: &Target, begin: &str, part: &[u8], times: usize, status: u16) {
    let client = target.send(begin);
    let _ = (0..times).try_for_each(|_| (&client).write_all(part));
    let got = statuses(&client);
    assert!(got.is_empty() || got == [status], "{got:?}");
}

fn header_line(target: &Target) {
    check_endless(target, "GET / HTTP/1.1\r\nHost: a\r\nX: ", &[b'x'; 1 << 20], 200, 431);
    check(target, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)), 431);
    check(target, format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1 << 20)), 414);
}

fn header_fields(target: &Target) {
    check(target, format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100_000)), 431);
    check(target, format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100)), 431);
}

fn chunked_body(target: &Target) {
    let head = "PUT /target HTTP/1.1\r\nHost: a\r\nx-api-token: secret\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    check_endless(target, head, chunk.as_bytes(), 100 * 1024, 413);
    check(target, format!("{head}{}", chunk.repeat(65)), 413);
    check(target, format!("{head}fffffffffffffffe\r\n"), 413);
}

fn huge_lengths(target: &Target) {
    for length in ["65537", "1000000000", "1000000000000", "9223372036854775808", "18446744073709551616"] {
        check(target, format!("PUT /target HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{{}}"), 413);
    }
}

fn smuggling(target: &Target) {
    let inner = "GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "X: y\r\n Content-Length: 5",
    ] {
        check(target, format!("PUT /target HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{inner}"), 400);
    }
    for coding in ["gzip, chunked", "identity", "xchunked", "chunked;q=1"] {
        check(target, format!("PUT /target HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"), 501);
    }
    let chunked = "PUT /target HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in
        ["5\r\nhello!\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "\r\nGET / HTTP/1.1\r\n", "-1\r\n", "0\r\nX: y\n\r\n"]
    {
        check(target, format!("{chunked}{body}"), 400);
    }
    // Where a body ends is where the next request begins: these are two, and what the first holds is no third.
    let first = format!("PUT /target HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let both = format!("{first}GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&target.send(both)), [403, 404]);
}

fn malformed(target: &Target) {
    for (sent, status) in [
        ("GET /\r\n", 400),
        ("GET / HTTP/0.9\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\u{16}\u{3}\u{1}\0\u{5}hello", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nü: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 417),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        check(target, sent, status);
    }
    for _ in 0..300 {
        check(target, "GET / HTTP/2.0\r\n\r\n", 505);
    }
}
