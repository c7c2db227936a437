//! What answers requests, and what the edge has to know of each before its body is read.

use super::request::Request;
use super::response::{Errors, Response};

/// What answers requests. Called from many threads at a time.
pub trait Handler: Send + Sync + 'static {
    /// What the handler finds again for each request.
    type Route: Copy;

    /// How a request is dealt with, by its head. Asked once for each.
    fn find(&self, head: &Request) -> Found<Self::Route>;

    /// Looks at everything but the body, which is still to come if it is large.
    ///
    /// # Errors
    /// The answer to a request that needs no more to be refused.
    fn admit(&self, route: Self::Route, head: &Request) -> Result<(), Response>;

    /// Answers a request. A panic costs this request.
    fn handle(&self, route: Self::Route, request: &Request) -> Response;
}

/// How a request is dealt with.
#[derive(Debug, Clone, Copy)]
pub struct Found<R> {
    pub runs: Runs,
    /// The form in which it is refused.
    pub errors: Errors,
    /// Whether the body may be larger than that of an ordinary request.
    pub takes_large_bodies: bool,
    /// Whether those may ask who have no certificate where one is needed: who looks whether the server is alive.
    pub is_probe: bool,
    pub route: R,
}

/// Where a handler runs, and who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// In the thread of the connection, at once: it takes next to nothing, or what all share. Nobody can make such a
    /// request wait.
    AtOnce,
    /// In the thread of the connection, [so many](crate::http::server::Limits::questions) at a time: it takes memory
    /// and time of its own.
    InTurn,
    /// By a worker: it calls the store.
    ByWorker,
}
