//! What all threads of the gate share, and how they have requests answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::connections::Connections;
use super::handling::Handling;
use super::large_bodies::{Permit, Permits};
use super::limits::Limits;
use super::metrics::EdgeMetrics;
use super::refusal::Refusal;
use super::turns::Turns;
use super::upstream::{Answered, Upstream};
use crate::http::handler::{Found, Handler, Runs};
use crate::http::request::Request;
use crate::logging::Throttle;

/// The part of the gate that all its threads share.
pub(super) struct Gate<H> {
    pub(super) limits: Limits,
    pub(super) metrics: EdgeMetrics,
    pub(super) handling: Arc<Handling<H>>,
    /// For the requests that call the store.
    pub(super) upstream: Arc<Upstream>,
    /// For the requests that take time and memory of their own.
    pub(super) questions: Turns,
    pub(super) connections: Arc<Connections>,
    pub(super) large_bodies: Permits,
    pub(super) draining: AtomicBool,
    pub(super) refusals: Throttle,
    pub(super) shortages: Throttle,
}

const BUSY: Refusal = Refusal::new(503, "the server is busy");

impl<H: Handler> Gate<H> {
    pub(super) fn drains(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Has a request answered, here or by a worker.
    pub(super) fn answer(
        &self,
        found: Found<H::Route>,
        request: Request,
        permit: Option<Permit>,
    ) -> Result<Answered, Refusal> {
        self.metrics.in_flight.inc();
        let answered = match found.runs {
            Runs::AtOnce => Ok(self.handle(found, &request)),
            Runs::InTurn => match self.questions.take(self.limits.question_wait) {
                Some(_turn) => Ok(self.handle(found, &request)),
                None => Err(BUSY),
            },
            Runs::ByWorker => match self.handling.handler.admit(found.route, &request) {
                Ok(()) => self.upstream.answer(request, permit),
                Err(response) => Ok(Answered { response, handled_in: Duration::ZERO }),
            },
        };
        self.metrics.in_flight.dec();
        answered
    }

    fn handle(&self, found: Found<H::Route>, request: &Request) -> Answered {
        let begun = Instant::now();
        let response = self.handling.handle_found(found, request);
        Answered { response, handled_in: begun.elapsed() }
    }
}
