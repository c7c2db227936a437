//! A response as the handlers make it. Errors have the forms that scripts know from the Go program, or, on paths that
//! it does not have, those of problem documents.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use crate::registration::BodyFault;
use crate::turns::Turn;

/// When a client may try again after a 503, in seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

/// The most faults that one answer lists.
const FAULTS_MAX: usize = 100;

/// A complete response. To a HEAD request the server sends it without the body, with the same length.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub content_type: Cow<'static, str>,
    /// Further header fields. `Content-Length`, `Date` and `Connection` are the server's.
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: Body,
    /// The turn in which a large body was made. It ends when there is room for the body, so that no more bodies wait
    /// for room than are made at a time.
    pub turn: Option<Arc<Turn>>,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
        Response { status, content_type: content_type.into(), headers: Vec::new(), body: body.into(), turn: None }
    }

    /// A fixed text without a newline, as in the Go program.
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

    /// An outage: the client may try again. Details are only logged, because they may name hosts.
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

    /// Whether it has neither a body nor header fields about one.
    pub(super) fn has_no_content(&self) -> bool {
        self.status == 204 || self.status == 304
    }

    pub(super) fn in_turn(self, turn: Option<Turn>) -> Response {
        Response { turn: turn.map(Arc::new), ..self }
    }

    /// Marks a response that depends on a token and may change at any time: caches keep it for nobody else, and ask
    /// before they show it again.
    pub(super) fn private(self) -> Response {
        self.with_header("Cache-Control", "private, no-cache")
    }
}

/// The bytes of a response, shared by all connections that send them.
#[derive(Debug, Clone, Default)]
pub struct Body {
    parts: Arc<[Arc<[u8]>]>,
    len: usize,
    own: usize,
}

impl Body {
    pub fn new(parts: Arc<[Arc<[u8]>]>) -> Body {
        Body { len: parts.iter().map(|part| part.len()).sum(), own: 0, parts }
    }

    /// A body of this many bytes that is not sent, for the answer to HEAD.
    pub(super) fn unsent(len: usize) -> Body {
        Body { len, ..Body::default() }
    }

    pub fn parts(&self) -> &[Arc<[u8]>] {
        &self.parts
    }

    /// Sets how many of its bytes are in memory for this answer, unlike those of a list, which are there anyway.
    pub(super) fn with_own_bytes(self, own: usize) -> Body {
        Body { own, ..self }
    }

    /// How many of its bytes are in memory only for this answer or for equal ones.
    pub fn own_bytes(&self) -> usize {
        self.own
    }

    /// The length in bytes, the value of `Content-Length`.
    pub fn len(&self) -> usize {
        self.len
    }

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

/// The form of errors on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// Text, as in the Go program.
    Text,
    /// Problem documents, on paths that the Go program does not have. These refuse odd requests.
    Problem,
}

/// Why a request was not answered as intended.
#[derive(Debug)]
pub(super) struct Problem {
    status: u16,
    detail: String,
    faults: Vec<BodyFault>,
    faults_total: usize,
}

impl Problem {
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), faults: Vec::new(), faults_total: 0 }
    }

    /// An invalid parameter, path or body.
    pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(400, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, detail)
    }

    /// Adds the first of these faults, and their number.
    pub(super) fn with_faults(mut self, faults: Vec<BodyFault>) -> Problem {
        (self.faults_total, self.faults) = (faults.len(), faults);
        self.faults.truncate(FAULTS_MAX);
        self
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Response {
        #[derive(Serialize)]
        struct ProblemBody<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            errors: &'a [BodyFault],
            errors_total: usize,
        }
        let Problem { status, detail, faults, faults_total } = &problem;
        let details = ProblemBody {
            r#type: "about:blank",
            // As `about:blank` requires (RFC 9457, 4.2.1).
            title: phrase(*status),
            status: *status,
            detail,
            errors: faults,
            errors_total: *faults_total,
        };
        // Strings and numbers can always be written.
        let mut body = serde_json::to_vec(&details).unwrap_or_default();
        body.push(b'\n');
        let response = Response::new(*status, "application/problem+json", body).private();
        match status {
            401 => response.with_header("WWW-Authenticate", "Bearer"),
            503 => response.retry_later(),
            _ => response,
        }
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

/// A status and a reason for a request that no handler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// For the client.
    pub reason: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: u16, reason: &'static str) -> Refusal {
        Refusal { status, reason }
    }

    pub(super) const fn bad(reason: &'static str) -> Refusal {
        Refusal::new(400, reason)
    }

    pub(super) const fn no_memory() -> Refusal {
        Refusal::new(503, "there is not enough memory for this request")
    }

    /// The answer, in the form of its path for errors.
    pub(super) fn answer(self, errors: Errors) -> Response {
        let Refusal { status, reason } = self;
        let response = match errors {
            Errors::Problem => return Problem::new(status, reason).into(),
            Errors::Text => {
                let text = format!("{status} {}: {reason}\n", phrase(status));
                Response::new(status, "text/plain; charset=utf-8", text.into_bytes())
            }
        };
        if status == 503 { response.retry_later() } else { response }
    }
}
