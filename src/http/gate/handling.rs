//! A handler, and the limit of a panic in it: one request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use log::error;

use super::metrics::EdgeMetrics;
use super::refusal::Refusal;
use crate::http::handler::{Found, Handler};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::logging::Throttle;

const PANICKED: Refusal = Refusal::new(500, "this is a fault of the server");

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
