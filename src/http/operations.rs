//! Health and readiness: what probes ask for.

use super::app::{App, Call};
use super::response::Response;

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
