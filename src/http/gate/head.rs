//! The head of a request: what it means for the connection, and what handlers see of it. Pure.

use std::fmt::Write as _;

use super::chunks::Chunks;
use super::limits::{BODY_BYTES_MAX, FIELDS_MAX};
use crate::http::request::{FIELDS, Request};
use crate::http::response::Refusal;

/// A request, and the client's wish for the connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// What handlers see: the method in upper case, a target in ASCII that is a path, no field about the connection or
    /// the extent of the body, and the body without transfer coding. `client` is not set yet.
    pub request: Request,
    pub connection: ConnectionField,
}

/// What the head of the response says about the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionField {
    /// It is kept, which is the default of HTTP/1.1.
    #[default]
    Unsaid,
    /// It is kept, which HTTP/1.0 must be told.
    KeepAlive,
    Close,
}

/// A head that is complete and unambiguous; the body of the request is still to come.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) incoming: Incoming,
    pub(super) body: Extent,
    /// The largest body that is taken, in bytes.
    pub(super) bytes_max: usize,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// How the end of a body is found.
#[derive(Debug)]
pub(super) enum Extent {
    Known(u64),
    Chunked(Chunks),
}

/// Parses a head that ends with its empty line.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
        Ok(_) => return Err(Refusal::bad("the header is malformed")),
        Err(error) => return Err(refusal(error)),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::bad("the request line is incomplete"));
    };

    let mut framing = Framing::default();
    let mut headers = Vec::new();
    for field in request.headers.iter() {
        let value = field.value.trim_ascii();
        framing.note(field.name, value)?;
        if let Some(name) = FIELDS.into_iter().find(|known| field.name.eq_ignore_ascii_case(known)) {
            headers.push((name, value.to_vec()));
        }
    }
    let http_1_0 = version == 0;
    let body = framing.body(http_1_0)?;
    let (path, query) = path_and_query(target)?;
    let connection = match http_1_0 {
        _ if framing.close => ConnectionField::Close,
        false => ConnectionField::Unsaid,
        true if framing.keep_alive => ConnectionField::KeepAlive,
        true => ConnectionField::Close,
    };
    let request = Request { method: method.to_ascii_uppercase(), path, query, headers, ..Request::default() };
    Ok(Head {
        incoming: Incoming { request, connection },
        expects_continue: framing.expects_continue && !http_1_0 && !matches!(body, Extent::Known(0)),
        body,
        bytes_max: BODY_BYTES_MAX,
    })
}

/// The method and the path of a head. Only its first line must be valid.
pub(super) fn request_line(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = path_and_query(target).ok()?;
    Some(Request { method: method.to_ascii_uppercase(), path, query, ..Request::default() })
}

fn refusal(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(431, "too many header fields"),
        httparse::Error::HeaderName => Refusal::bad("a header name is malformed"),
        httparse::Error::HeaderValue => Refusal::bad("a header value contains a control character"),
        // The version itself has been checked before.
        httparse::Error::Token | httparse::Error::Version => Refusal::bad("the request line is malformed"),
        httparse::Error::NewLine | httparse::Error::Status => Refusal::bad("a header line is malformed"),
    }
}

/// The path and the query of a target, which may be a whole URL.
fn path_and_query(target: &str) -> Result<(String, String), Refusal> {
    let url = ["http://", "https://"].iter().find_map(|scheme| {
        target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &target[scheme.len()..])
    });
    let target = match url {
        Some(rest) => rest.find(['/', '?']).map_or("", |start| &rest[start..]),
        None if target.starts_with('/') || target == "*" => target,
        None => return Err(Refusal::bad("the request target is neither a path nor a URL")),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = if path.is_empty() { "/" } else { path };
    Ok((in_ascii(path), in_ascii(query)))
}

/// Writes bytes outside ASCII as `%XX`, as a client could have done itself.
fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii() {
            true => ascii.push(byte.into()),
            // Writing to a String cannot fail.
            false => drop(write!(ascii, "%{byte:02X}")),
        }
    }
    ascii
}

/// The fields about the connection and the extent of the request.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    compressed: bool,
}

impl Framing {
    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("host") {
            self.hosts += 1;
        } else if is("content-length") {
            if self.length.replace(length(value)?).is_some() {
                return Err(Refusal::bad("Content-Length is repeated"));
            }
        } else if is("transfer-encoding") {
            if self.chunked {
                return Err(Refusal::bad("Transfer-Encoding is repeated"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::new(501, "the only supported transfer coding is chunked"));
            }
            self.chunked = true;
        } else if is("connection") {
            for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::new(417, "the only supported expectation is 100-continue"));
            }
            self.expects_continue = true;
        } else if is("content-encoding") {
            self.compressed |= !value.eq_ignore_ascii_case(b"identity");
        }
        Ok(())
    }

    fn body(&self, http_1_0: bool) -> Result<Extent, Refusal> {
        if self.hosts > 1 || (self.hosts == 0 && !http_1_0) {
            return Err(Refusal::bad("exactly one Host is required"));
        }
        let has_body = self.chunked || self.length.is_some_and(|length| length > 0);
        if self.compressed && has_body {
            return Err(Refusal::new(415, "request bodies must not be compressed"));
        }
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Refusal::bad("Content-Length and Transfer-Encoding must not be combined")),
            (None, true) if http_1_0 => Err(Refusal::bad("HTTP/1.0 does not support Transfer-Encoding")),
            (None, true) => Ok(Extent::Chunked(Chunks::new())),
            (None, false) => Ok(Extent::Known(0)),
            (Some(length), false) => Ok(Extent::Known(length)),
        }
    }
}

/// Digits only. A number beyond 64 bits is as good as infinite.
fn length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::bad("Content-Length is not a number"));
    }
    let digits = value.iter().map(|b| u64::from(b - b'0'));
    Ok(digits.fold(0u64, |length, digit| length.saturating_mul(10).saturating_add(digit)))
}
