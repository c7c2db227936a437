//! What the server has its requests answered by.

use crate::http::gate::BodyLimit;
use crate::http::request::Request;
use crate::http::response::Response;

/// What answers requests. Called from several threads at a time.
pub trait Handler: Send + Sync {
    /// Answers a request. A panic costs this request.
    fn handle(&self, request: &Request) -> Response;

    /// Whether answering this request may take a call to the store. Such requests never take all workers, if there are
    /// two or more.
    fn may_wait(&self, _request: &Request) -> bool {
        false
    }

    /// How large the body of this request may be. Asked when it turns out to be larger than 64 KiB, before more of it
    /// is read: there is everything but the body.
    fn body_limit(&self, _request: &Request) -> BodyLimit {
        BodyLimit::Ordinary
    }
}

impl<F: Fn(&Request) -> Response + Send + Sync> Handler for F {
    fn handle(&self, request: &Request) -> Response {
        self(request)
    }
}
