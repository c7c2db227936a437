//! Why a request does not get past the gate.

/// What a client is told about a request that no handler sees. The connection ends with it, because nobody can say
/// where the next request would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// What is wrong, for the client.
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
}
