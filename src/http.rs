//! HTTP as the handlers see it: plain requests and responses. How they travel is known to `server` alone.

use std::sync::Arc;

/// The largest body of a request, in bytes; the Go program has the same limit.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A complete request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// What follows `?`, still percent-encoded; empty when there is none.
    pub query: String,
    /// Header fields in the order sent: the name in lower case, the value without blanks around it, any bytes.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, at most [`BODY_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
    /// The address of the client for the log; `unix` where it has none.
    pub client: String,
}

impl Request {
    /// The value of the first header field with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_slice())
    }
}

/// A complete response. To a HEAD request the server sends it without the body, with the same length.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further header fields. `Content-Length`, `Date` and `Connection` are the server's.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// The bytes of a response, shared between all that are sending them.
#[derive(Debug, Clone, Default)]
pub struct Body {
    parts: Arc<[Arc<[u8]>]>,
    len: usize,
}

impl Body {
    /// A body of these parts in this order.
    pub fn new(parts: Vec<Arc<[u8]>>) -> Body {
        Body { len: parts.iter().map(|part| part.len()).sum(), parts: parts.into() }
    }

    /// The parts to be sent one after the other.
    pub fn parts(&self) -> &[Arc<[u8]>] {
        &self.parts
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
        Body::new(vec![bytes.into()])
    }
}
