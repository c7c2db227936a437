//! The request reader against bytes that come in one piece, in two, and one by one.

use super::*;
use crate::http::gate::limits::FIELDS_MAX;

/// The requests in these bytes, and the status that ends the connection, if any.
type Outcome = (Vec<Incoming>, Option<u16>);

fn read(pieces: &[&[u8]]) -> Outcome {
    let mut reader = RequestReader::default();
    let mut requests = Vec::new();
    for piece in pieces {
        reader.push(piece).unwrap();
        loop {
            match reader.step() {
                Ok(Step::Request(request)) => requests.push(request),
                Ok(Step::Continue) => {}
                Ok(Step::LargeBody { .. }) => return (requests, Some(413)),
                Ok(Step::Read(_)) => break,
                Err(refusal) => return (requests, Some(refusal.status)),
            }
        }
    }
    (requests, None)
}

/// The outcome of these bytes, the same however they are cut.
#[track_caller]
fn outcome(bytes: &[u8]) -> Outcome {
    let whole = read(&[bytes]);
    for cut in 1..bytes.len() {
        assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single), whole, "byte by byte");
    whole
}

#[track_caller]
fn requests(bytes: impl AsRef<[u8]>) -> Vec<Incoming> {
    let (requests, refused) = outcome(bytes.as_ref());
    assert_eq!(refused, None);
    requests
}

#[track_caller]
fn request(bytes: impl AsRef<[u8]>) -> Incoming {
    let mut requests = requests(bytes);
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

/// What handlers see of the head, a line for each field.
fn lines(request: &Request) -> String {
    let mut lines = format!("{} {}", request.method, request.path);
    if !request.query.is_empty() {
        lines += &format!("?{}", request.query);
    }
    for (name, value) in &request.headers {
        lines += &format!("\n{name}: {}", value.escape_ascii());
    }
    lines
}

#[track_caller]
fn head(bytes: impl AsRef<[u8]>) -> String {
    lines(&request(bytes).request)
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>) -> u16 {
    let (requests, refused) = outcome(bytes.as_ref());
    assert_eq!(requests, [], "a request was made of it");
    refused.expect("it is refused")
}

#[test]
fn a_plain_request_passes_as_it_is() {
    let get = request("GET /discover?x=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: Prometheus/3\r\n\r\n");
    assert_eq!(lines(&get.request), "GET /discover?x=1\nuser-agent: Prometheus/3");
    assert_eq!((get.request.body.len(), get.connection), (0, ConnectionField::Unsaid));
}

#[test]
fn a_body_of_known_length_is_cut_off_where_it_ends() {
    let both =
        requests("PUT /target HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].request.body, b"hello");
    assert_eq!(lines(&both[0].request), "PUT /target");
    assert_eq!(lines(&both[1].request), "GET /");
}

#[test]
fn a_chunked_body_arrives_without_its_chunks() {
    let put = request(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: x\r\n\r\n\
         5;ext=\"1\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nx: y\r\n\r\n",
    );
    assert_eq!(put.request.body, b"hello0123456789");
    assert_eq!(lines(&put.request), "PUT /");
}

#[test]
fn pipelined_requests_come_in_order() {
    let all: String = (0..20).map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let paths: Vec<String> = requests(all).into_iter().map(|incoming| incoming.request.path).collect();
    assert_eq!(paths, (0..20).map(|i| format!("/{i}")).collect::<Vec<_>>());
}

#[test]
fn methods_come_in_upper_case() {
    assert_eq!(head("pUt / HTTP/1.1\r\nHost: a\r\n\r\n"), "PUT /");
    assert_eq!(head("head / HTTP/1.1\r\nHost: a\r\n\r\n"), "HEAD /");
}

#[test]
fn a_url_as_target_becomes_its_path() {
    for (target, path) in [
        ("http://a:9101/group?name=x", "/group?name=x"),
        ("HTTPS://a/group", "/group"),
        ("http://a", "/"),
        ("http://a?x=1", "/?x=1"),
        ("*", "*"),
        ("//double", "//double"),
    ] {
        assert_eq!(head(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), format!("GET {path}"));
    }
}

#[test]
fn bytes_outside_ascii_are_encoded_in_a_target_alone() {
    let sent = "GET /zürich?name=zürich%20&x=% HTTP/1.1\r\nHost: a\r\nx-sd-token: ü%41\r\n\r\n";
    assert_eq!(head(sent), "GET /z%C3%BCrich?name=z%C3%BCrich%20&x=%\nx-sd-token: \\xc3\\xbc%41");
}

#[test]
fn fields_about_the_connection_stay_at_the_gate() {
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, te\r\nTE: trailers\r\nUpgrade: h2c\r\n\
                Keep-Alive: 5\r\nProxy-Connection: close\r\n\r\n";
    assert_eq!(head(sent), "GET /");
}

#[test]
fn who_keeps_a_connection_is_understood() {
    use ConnectionField::{Close, KeepAlive, Unsaid};
    for (version, connection, answered) in [
        ("1.1", "", Unsaid),
        ("1.1", "Connection: close\r\n", Close),
        ("1.1", "Connection: x, CLOSE\r\n", Close),
        ("1.0", "", Close),
        ("1.0", "Connection: Keep-Alive\r\n", KeepAlive),
        ("1.0", "Connection: keep-alive, close\r\n", Close),
    ] {
        let got = request(format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"));
        assert_eq!(got.connection, answered, "{version} {connection}");
    }
}

#[test]
fn http_1_0_needs_no_host() {
    assert_eq!(head("GET / HTTP/1.0\r\n\r\n"), "GET /");
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    assert_eq!(requests("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").len(), 2);
}

#[test]
fn a_client_is_told_to_go_on_exactly_when_it_waits() {
    let head = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let mut reader = RequestReader::default();
    reader.push(head).unwrap();
    assert_eq!(reader.step(), Ok(Step::Continue));
    assert_eq!(reader.step(), Ok(Step::Read(Phase::Body)));
    reader.push(b"ab").unwrap();
    assert!(matches!(reader.step(), Ok(Step::Request(_))));
    reader.push(&[head, &b"ab"[..]].concat()).unwrap();
    assert!(matches!(reader.step(), Ok(Step::Request(_))), "it has sent the body already");
}

#[test]
fn the_phases_are_told_apart() {
    let mut reader = RequestReader::default();
    for (piece, phase) in [
        ("", Phase::Idle),
        ("P", Phase::Head),
        ("UT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r", Phase::Head),
        ("\n", Phase::Body),
        ("a", Phase::Body),
    ] {
        reader.push(piece.as_bytes()).unwrap();
        assert_eq!(reader.step(), Ok(Step::Read(phase)), "after {piece:?}");
    }
    reader.push(b"b").unwrap();
    assert!(matches!(reader.step(), Ok(Step::Request(_))));
    assert_eq!(reader.step(), Ok(Step::Read(Phase::Idle)));
}

#[test]
fn ambiguous_lengths_are_refused() {
    for fields in [
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 0x5",
        "Content-Length:",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Content-Length: 5",
    ] {
        let sent =
            format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nhelloGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(refused(sent), 400, "{fields}");
    }
    assert_eq!(refused("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
}

#[test]
fn other_transfer_codings_are_not_implemented() {
    for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked;q=1", ""] {
        assert_eq!(
            refused(format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n")),
            501,
            "{coding}"
        );
    }
}

#[test]
fn malformed_chunks_are_refused() {
    for body in [
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "\r\n",
        "-5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "g\r\n",
        " 5\r\nhello\r\n",
        "5;\n\r\nhello\r\n",
        "11111111111111111\r\n",
        "0\r\nx: y\n\r\n",
    ] {
        let sent = format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(refused(sent), 400, "{body:?}");
    }
    let extension = format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;{}", "x".repeat(300));
    assert_eq!(refused(extension), 400);
}

#[test]
fn malformed_heads_are_refused() {
    for head in [
        "GET /\r\n",
        "GET\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: ab\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX Y: ab\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : ab\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: ab\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nü: ab\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET relative HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/11\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
        "\0",
        "\n",
        "\rG",
    ] {
        assert_eq!(refused(head), 400, "{head:?}");
    }
    assert_eq!(refused(b"GET /?not-utf-8=\xff HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn other_versions_are_not_supported() {
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0"] {
        assert_eq!(refused(format!("GET / {version}\r\nHost: a\r\n\r\n")), 505, "{version}");
    }
    assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
}

#[test]
fn other_expectations_fail() {
    assert_eq!(refused("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nx"), 417);
}

#[test]
fn bodies_have_a_limit() {
    let chunked = |size: usize| {
        let mut sent =
            format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n").into_bytes();
        sent.resize(sent.len() + size, b'x');
        sent.extend_from_slice(b"\r\n0\r\n\r\n");
        sent
    };
    let known = |size: usize| {
        let mut sent = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        sent.resize(sent.len() + size, b'x');
        sent
    };
    for sent in [chunked(BODY_BYTES_MAX), known(BODY_BYTES_MAX)] {
        let (requests, refused) = read(&[&sent]);
        assert_eq!((requests[0].request.body.len(), refused), (BODY_BYTES_MAX, None));
    }
    for sent in [chunked(BODY_BYTES_MAX + 1), known(BODY_BYTES_MAX + 1)] {
        assert_eq!(read(&[&sent]), (vec![], Some(413)));
    }
    for length in [
        "65537",
        "1000000000",
        "1000000000000",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        assert_eq!(refused(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")), 413, "{length}");
    }
    assert_eq!(refused("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), 413);
}

#[test]
fn a_body_may_grow_once_that_is_allowed() {
    let mut known =
        format!("PUT /x?y=1 HTTP/1.1\r\nHost: a\r\nAccept: %\r\nContent-Length: {LARGE_BODY_BYTES_MAX}\r\n\r\n")
            .into_bytes();
    known.resize(known.len() + LARGE_BODY_BYTES_MAX, b'x');
    let mut chunked = b"PUT /x?y=1 HTTP/1.1\r\nHost: a\r\nAccept: %\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in vec![b'x'; LARGE_BODY_BYTES_MAX].chunks(1 << 15) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for sent in [known, chunked] {
        let mut reader = RequestReader::default();
        let mut asked = 0;
        for piece in sent.chunks(10_000) {
            reader.push(piece).unwrap();
            match reader.step().unwrap() {
                Step::LargeBody { request } => {
                    assert_eq!(lines(&request), "PUT /x?y=1\naccept: %");
                    asked += 1;
                    reader.allow_large_body().unwrap();
                    assert_eq!(reader.step(), Ok(Step::Read(Phase::LargeBody)));
                }
                Step::Request(incoming) => assert_eq!(incoming.request.body.len(), LARGE_BODY_BYTES_MAX),
                step => assert_eq!(step, Step::Read(if asked == 0 { Phase::Body } else { Phase::LargeBody })),
            }
        }
        assert_eq!(asked, 1);
        assert_eq!(reader.step(), Ok(Step::Read(Phase::Idle)), "the request was not read to its end");
    }
}

#[test]
fn compressed_bodies_are_refused() {
    let put =
        |coding: &str| format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Encoding: {coding}\r\nContent-Length: 1\r\n\r\nx");
    for coding in ["gzip", "br", "identity, gzip", "x"] {
        assert_eq!(refused(put(coding)), 415, "{coding}");
    }
    assert_eq!(request(put("Identity")).request.body, b"x");
    assert_eq!(requests("GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n\r\n").len(), 1);
}

#[test]
fn heads_have_a_limit() {
    let filled = |before: &str, after: &str, length: usize| {
        format!("{before}{}{after}", "x".repeat(length - before.len() - after.len()))
    };
    let line = ("GET /", " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(read(&[filled(line.0, line.1, HEAD_BYTES_MAX).as_bytes()]).1, None);
    assert_eq!(read(&[filled(line.0, line.1, HEAD_BYTES_MAX + 30).as_bytes()]).1, Some(414));
    let field = ("GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n");
    assert_eq!(read(&[filled(field.0, field.1, HEAD_BYTES_MAX).as_bytes()]).1, None);
    assert_eq!(read(&[filled(field.0, field.1, HEAD_BYTES_MAX + 1).as_bytes()]).1, Some(431));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
    assert_eq!(read(&[fields(FIELDS_MAX).as_bytes()]).1, None);
    assert_eq!(read(&[fields(FIELDS_MAX + 1).as_bytes()]).1, Some(431));
    let trailer =
        format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "a: b\r\n".repeat(3000));
    assert_eq!(read(&[trailer.as_bytes()]).1, Some(431));
}
