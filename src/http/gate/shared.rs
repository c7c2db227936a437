//! What all threads of the gate share, and how they have requests answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::connections::Connections;
use super::handling::Handling;
use super::held::{HeldBytes, Hold, NoRoom};
use super::limits::Limits;
use super::metrics::EdgeMetrics;
use super::proxies::TrustedProxies;
use super::refusal::Refusal;
use super::tls::Tls;
use super::upstream::{Answered, Permit, Upstream};
use crate::http::handler::{Found, Handler, Runs};
use crate::http::request::Request;
use crate::http::turns::Turns;
use crate::logging::Throttle;

/// The part of the gate that all its threads share.
pub(super) struct Gate<H> {
    pub(super) limits: Limits,
    pub(super) proxies: TrustedProxies,
    pub(super) metrics: EdgeMetrics,
    /// What TCP clients speak, unless it is HTTP alone.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) handling: Arc<Handling<H>>,
    /// For the requests that call the store.
    pub(super) upstream: Arc<Upstream>,
    /// For the requests that take time and memory of their own.
    pub(super) questions: Arc<Turns>,
    /// What clients have still to read, or to send.
    pub(super) held: Arc<HeldBytes>,
    pub(super) connections: Arc<Connections>,
    /// For the large bodies that are complete.
    pub(super) large_bodies: Arc<Turns>,
    pub(super) draining: AtomicBool,
    pub(super) refusals: Throttle,
    pub(super) shortages: Throttle,
}

const BUSY: Refusal = Refusal::new(503, "the server is busy");
const DECLARING: Refusal = Refusal::new(503, "other large bodies are being handled");
const NO_ROOM: Refusal = Refusal::new(503, "too many clients are reading answers as large as this");

impl<H: Handler> Gate<H> {
    pub(super) fn drains(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Has a request answered, here or by a worker. The hold is that of its body, if it is a large one.
    pub(super) fn answer(
        &self,
        found: Found<H::Route>,
        request: Request,
        hold: Option<Hold>,
    ) -> Result<Answered, Refusal> {
        self.metrics.in_flight.inc();
        let answered = match found.runs {
            Runs::AtOnce => self.hold(self.handle(found, &request)),
            Runs::InTurn => match self.questions.take(self.limits.question_wait) {
                // The turn does not end before the answer is counted.
                Some(_turn) => self.hold(self.handle(found, &request)),
                None => Err(BUSY),
            },
            Runs::ByWorker => match self.handling.handler.admit(found.route, &request) {
                Ok(()) => self.answer_by_worker(request, hold).and_then(|answered| self.hold(answered)),
                Err(response) => Ok(Answered { response, hold: None, handled_in: Duration::ZERO }),
            },
        };
        self.metrics.in_flight.dec();
        answered
    }

    fn answer_by_worker(&self, request: Request, hold: Option<Hold>) -> Result<Answered, Refusal> {
        let Some(hold) = hold else { return self.upstream.answer(request, None) };
        let turn = self.large_bodies.take(self.limits.answer).ok_or(DECLARING)?;
        self.upstream.answer(request, Some(Permit { _hold: hold, _turn: turn }))
    }

    fn handle(&self, found: Found<H::Route>, request: &Request) -> Answered {
        let begun = Instant::now();
        let response = self.handling.handle_found(found, request);
        Answered { response, hold: None, handled_in: begun.elapsed() }
    }

    /// Counts an answer as held for its client. With that the turn ends in which it was made.
    fn hold(&self, mut answered: Answered) -> Result<Answered, Refusal> {
        let hold = self.held.answer(&answered.response.body, || self.connections.evict_holder());
        answered.response.turn = None;
        Ok(Answered { hold: hold.map_err(|NoRoom| NO_ROOM)?, ..answered })
    }
}
