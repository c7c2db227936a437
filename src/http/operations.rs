//! What is asked about the server itself: health, readiness, and the description of its paths.

use super::app::{App, Call};
use super::response::{Body, Response};
use std::sync::LazyLock;

/// Alive: it answers. Whether the store does is another question, and no reason for a restart.
pub(super) fn healthy(_: &App, _: &Call<'_>) -> Result<Response, Response> {
    Ok(Response::bare(200, "OK"))
}

pub(super) fn ready(app: &App, _: &Call<'_>) -> Result<Response, Response> {
    if app.is_ending() {
        return Err(Response::unavailable("shutting down"));
    }
    match app.registry.health(app.now()) {
        Ok(()) => Ok(Response::bare(200, "OK")),
        Err(_) => Err(Response::unavailable("the store is unavailable or not loaded yet")),
    }
}

/// OpenAPI 3.1. A test compares it with the route table.
static DOCUMENT: LazyLock<Body> = LazyLock::new(|| include_bytes!("api/openapi.json").to_vec().into());

pub(super) fn description(_: &App, _: &Call<'_>) -> Result<Response, Response> {
    Ok(Response::new(200, "application/json", DOCUMENT.clone()))
}
