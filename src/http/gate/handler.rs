//! The interface to the code that answers requests, and what the gate must know about a request before its body is
//! read. A panic there costs one request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use log::error;

use super::metrics::EdgeMetrics;
use crate::http::request::Request;
use crate::http::response::{Errors, Refusal, Response};
use crate::logging::Throttle;

const PANICKED: Refusal = Refusal::new(500, "this is a fault of the server");

/// Answers requests, from many threads at a time.
pub trait Handler: Send + Sync + 'static {
    /// What the handler finds for a request and gets back with it.
    type Route: Copy;

    /// Decides by its head how to treat a request. Called once for each.
    fn find(&self, head: &Request) -> Found<Self::Route>;

    /// Checks everything but the body, which is still to come if it is large.
    ///
    /// # Errors
    /// The answer to a request that is refused without its body.
    fn admit(&self, route: Self::Route, head: &Request) -> Result<(), Response>;

    /// Answers a request. A panic costs only this request.
    fn handle(&self, route: Self::Route, request: &Request) -> Response;
}

/// How to treat a request.
#[derive(Debug, Clone, Copy)]
pub struct Found<R> {
    pub runs: Runs,
    /// The form of its errors.
    pub errors: Errors,
    /// Whether the body may be larger than that of an ordinary request.
    pub takes_large_bodies: bool,
    /// Whether it needs no certificate even if other requests do, because it only asks whether the server is alive.
    pub is_probe: bool,
    pub route: R,
}

/// Where a handler runs, and for what the request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// In the thread of the connection, at once: the request takes next to nothing, or something that all share. Nobody
    /// can make it wait.
    AtOnce,
    /// In the thread of the connection, [this many](crate::http::server::Limits::questions) at a time: the request
    /// takes memory and time of its own.
    InTurn,
    /// By a worker: it calls the store.
    ByWorker,
}

/// A handler, for the threads of connections and those of workers.
pub struct Handling<H> {
    pub(super) handler: Arc<H>,
    metrics: EdgeMetrics,
    panics: Throttle,
}

impl<H: Handler> Handling<H> {
    pub fn new(handler: Arc<H>, metrics: EdgeMetrics) -> Handling<H> {
        Handling { handler, metrics, panics: Throttle::default() }
    }

    /// Answers a request for which the handler has not been asked yet how to run it.
    pub fn handle(&self, request: &Request) -> Response {
        self.handle_found(self.handler.find(request), request)
    }

    pub(super) fn handle_found(&self, found: Found<H::Route>, request: &Request) -> Response {
        let handled = catch_unwind(AssertUnwindSafe(|| self.handler.handle(found.route, request)));
        handled.unwrap_or_else(|_| {
            self.metrics.panics.inc();
            if let Some(events) = self.panics.admit() {
                error!(method = request.method, path = request.path, events; "a handler panicked");
            }
            PANICKED.answer(found.errors)
        })
    }
}
