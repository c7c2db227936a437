//! The request reader: however its input is cut, it finds the same requests, and they are in their normal form.

use inventor::http::Request;
use inventor::http::gate::limits::BODY_BYTES_MAX;
use inventor::http::gate::request::{Incoming, RequestReader, Step};

use crate::mutation::Random;
use crate::{INPUTS, for_each_input};

pub(crate) const SEEDS: &[&[u8]] = &[
    b"GET /discover HTTP/1.1\r\nHost: a\r\nUser-Agent: Prometheus/3\r\nAccept-Encoding: gzip\r\n\r\n",
    b"PUT /target HTTP/1.1\r\nHost: a\r\nx-api-token: secret\r\nContent-Length: 5\r\n\r\nhello",
    b"put http://a/target?x=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: x\r\n\r\n",
    b"GET /group?name=z\xc3\xbcrich HTTP/1.1\r\nHost: a\r\nx-sd-token: \xff%41\r\nConnection: close\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// The requests in these pieces, and the status that ended the reading, if one did.
pub(crate) fn read(pieces: &[&[u8]]) -> (Vec<Incoming>, Option<u16>) {
    let mut reader = RequestReader::default();
    let mut requests = Vec::new();
    for piece in pieces {
        reader.push(piece).expect("there is memory");
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

fn check_normal_form(incoming: &Incoming) {
    let Request { method, path, query, headers, body, client, .. } = &incoming.request;
    assert!(body.len() <= BODY_BYTES_MAX && client.is_empty());
    assert!(!method.is_empty() && method.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_lowercase()));
    assert!(path.starts_with(['/', '*']) && !path.contains('?'));
    assert!(path.bytes().chain(query.bytes()).all(|b| b.is_ascii_graphic()));
    for (name, value) in headers {
        assert!(incoming.request.header(name).is_some());
        assert!(value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)) && value.trim_ascii() == value);
    }
}

fn check(input: &[u8], random: &mut Random) {
    let whole = read(&[input]);
    whole.0.iter().for_each(check_normal_form);
    let (first, rest) = input.split_at(random.below(input.len() + 1));
    let (second, third) = rest.split_at(random.below(rest.len() + 1));
    assert_eq!(read(&[first, second, third]), whole, "it depends on where it is cut");
}

#[test]
fn requests_are_read_alike_however_they_come() {
    for_each_input("request reader", INPUTS, SEEDS, check);
}
