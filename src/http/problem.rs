//! Errors of the paths that the Go program does not have: RFC 9457, with the places in the body that are at fault.

use serde::Serialize;

use super::response::{Response, phrase};
use crate::registration::BodyFault;

/// The most faults that one answer lists.
pub(super) const FAULTS_MAX: usize = 100;

/// The form in which a path tells errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// Text, as the Go program has it.
    Text,
    /// Problem documents, on paths that the Go program does not have. Odd requests are refused there.
    Problem,
}

/// Why a request was not answered as it was meant.
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

    /// A parameter, a path or a body that is odd.
    pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(400, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, detail)
    }

    /// With the first of these faults, and their number.
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
            // As `about:blank` wants it (RFC 9457, 4.2.1).
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
