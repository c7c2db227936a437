//! What all threads of the gate share, and what they hand their requests to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::connections::Connections;
use super::large_bodies::{BodyLimit, Permit, Permits};
use super::limits::Limits;
use super::metrics::EdgeMetrics;
use super::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::logging::Throttle;

/// What answers complete requests. Called from the thread of each connection.
pub trait Backend: Send + Sync {
    /// How large the body of this request may be, which is still to come. Asked only when it is larger than that of an
    /// ordinary request, before the rest of it is read.
    fn body_limit(&self, request: &Request) -> BodyLimit;

    /// Answers a request. The permit for its body, if it has a large one, is dropped with it.
    ///
    /// # Errors
    /// A refusal when there is no answer to be had in time.
    fn answer(&self, request: Request, permit: Option<Permit>) -> Result<Answered, Refusal>;
}

/// An answer, and how long the handler took for it.
#[derive(Debug)]
pub struct Answered {
    /// What goes to the client.
    pub response: Response,
    /// The time that was not the edge's.
    pub handled_in: Duration,
}

/// The part of the gate that all its threads share.
pub(super) struct Gate {
    pub(super) limits: Limits,
    pub(super) metrics: EdgeMetrics,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) connections: Arc<Connections>,
    pub(super) large_bodies: Permits,
    pub(super) draining: AtomicBool,
    pub(super) refusals: Throttle,
    pub(super) shortages: Throttle,
}

impl Gate {
    pub(super) fn drains(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
