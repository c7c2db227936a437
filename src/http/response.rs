//! A response as the handlers make it, in the forms that scripts know from the Go program.

use std::borrow::Cow;
use std::sync::Arc;

use crate::turns::Turn;

/// When a client may try again after a 503, in seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

/// A complete response. To a HEAD request the server sends it without the body, with the same length.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub content_type: Cow<'static, str>,
    /// Further header fields. `Content-Length`, `Date` and `Connection` are the server's.
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: Body,
    /// The turn in which a large body was made. It ends when there is room for the body, so that no more of them wait for
    /// that than are made at a time.
    pub turn: Option<Arc<Turn>>,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
        Response { status, content_type: content_type.into(), headers: Vec::new(), body: body.into(), turn: None }
    }

    /// A fixed text without a newline, as scripts know it from the Go program.
    pub(super) fn bare(status: u16, text: &str) -> Response {
        Response::new(status, "text/plain", text.as_bytes().to_vec())
    }

    /// A sentence for people, ended by a newline.
    pub(super) fn error(status: u16, text: impl std::fmt::Display) -> Response {
        Response::new(status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
            .with_header("X-Content-Type-Options", "nosniff")
    }

    /// One JSON document, ended by a newline.
    pub(super) fn json(mut document: Vec<u8>) -> Response {
        document.push(b'\n');
        Response::new(200, "application/json", document)
    }

    /// Done, and there is nothing to say.
    pub(super) fn no_content() -> Response {
        Response::new(204, "application/json", Vec::new())
    }

    /// An outage: the client may try again. Details are for the log, they may name hosts.
    pub(super) fn unavailable(text: &str) -> Response {
        Response::error(503, text).retry_later()
    }

    pub(super) fn retry_later(self) -> Response {
        self.with_header("Retry-After", RETRY_AFTER_SECONDS.to_string())
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whether it has no body, and says nothing about one.
    pub(super) fn has_no_content(&self) -> bool {
        self.status == 204 || self.status == 304
    }

    /// Made in this turn.
    pub(super) fn in_turn(self, turn: Option<Turn>) -> Response {
        Response { turn: turn.map(Arc::new), ..self }
    }

    /// It depends on a token and may change at any time: caches keep it for nobody else, and ask before they show it again.
    pub(super) fn private(self) -> Response {
        self.with_header("Cache-Control", "private, no-cache")
    }
}

/// The bytes of a response, shared between all that are sending them.
#[derive(Debug, Clone, Default)]
pub struct Body {
    parts: Arc<[Arc<[u8]>]>,
    len: usize,
    own: usize,
}

impl Body {
    /// A body of these parts in this order.
    pub fn new(parts: Arc<[Arc<[u8]>]>) -> Body {
        Body { len: parts.iter().map(|part| part.len()).sum(), own: 0, parts }
    }

    /// A body of this many bytes that is not to be sent, for the answer to HEAD.
    pub(super) fn unsent(len: usize) -> Body {
        Body { len, ..Body::default() }
    }

    /// The parts to be sent one after the other.
    pub fn parts(&self) -> &[Arc<[u8]>] {
        &self.parts
    }

    /// So many of its bytes are in memory for this answer, unlike those of a list, which are there anyway.
    pub(super) fn with_own_bytes(self, own: usize) -> Body {
        Body { own, ..self }
    }

    /// How many of its bytes are in memory for this answer alone, or for those that are equal.
    pub fn own_bytes(&self) -> usize {
        self.own
    }

    /// The length in bytes, the value of `Content-Length`.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        let own = bytes.len();
        Body::new([bytes.into()].into()).with_own_bytes(own)
    }
}

pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        // The phrase may be empty, and nobody reads it.
        _ => "",
    }
}
