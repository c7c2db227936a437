//! Why the gate refuses a request, and how its client is told.

use crate::http::response::{Errors, Problem, Response, phrase};

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
