//! What all threads of the gate share, and how they have requests answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::error;

use super::connections::Connections;
use super::large_bodies::{Permit, Permits};
use super::limits::Limits;
use super::metrics::EdgeMetrics;
use super::refusal::{PANICKED, Refusal};
use super::turns::Turns;
use crate::http::handler::{Found, Handler, Runs};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::logging::Throttle;

/// Answers the requests that call the store. Called from the thread of each connection.
pub trait Pool: Send + Sync {
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
pub(super) struct Gate<H> {
    pub(super) limits: Limits,
    pub(super) metrics: EdgeMetrics,
    pub(super) handler: Arc<H>,
    pub(super) pool: Arc<dyn Pool>,
    /// For the requests that take time and memory of their own.
    pub(super) questions: Turns,
    pub(super) connections: Arc<Connections>,
    pub(super) large_bodies: Permits,
    pub(super) draining: AtomicBool,
    pub(super) refusals: Throttle,
    pub(super) panics: Throttle,
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
            Runs::ByWorker => match self.handler.admit(found.route, &request) {
                Ok(()) => self.pool.answer(request, permit),
                Err(response) => Ok(Answered { response, handled_in: Duration::ZERO }),
            },
        };
        self.metrics.in_flight.dec();
        answered
    }

    fn handle(&self, found: Found<H::Route>, request: &Request) -> Answered {
        let begun = Instant::now();
        let response = catch_unwind(AssertUnwindSafe(|| self.handler.handle(found.route, request)));
        let response = response.unwrap_or_else(|_| {
            self.metrics.panics.inc();
            if let Some(events) = self.panics.admit() {
                error!(method = request.method, path = request.path, events; "a handler panicked");
            }
            PANICKED.answer(found.errors)
        });
        Answered { response, handled_in: begun.elapsed() }
    }
}
