//! The interface to the code that answers requests, and what the gate must know about a request before its body is
//! read.

use super::request::Request;
use super::response::{Errors, Response};

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
