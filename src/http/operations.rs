//! What is asked about the server itself: metrics, health, readiness, and the description of its paths.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use log::error;

use super::app::{App, Call};
use super::response::{Body, Response};
use crate::registry::{Criteria, Form, Scope};

/// The format of the metrics, 0.0.4 of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long one scrape waits for others to end.
const SCRAPE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How many groups have a series of their own.
const GROUPS_MAX: usize = 1000;

/// A small text of this request's own, and behind it the series of the targets, which all clients share, compressed or
/// not.
pub(super) fn metrics(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    // One at a time: another scrape would read groups while they are set anew, and a crowd of them takes one core.
    let gauges = app.gauges.try_lock_for(SCRAPE_WAIT_MAX);
    let gauges = gauges.ok_or_else(|| Response::unavailable("too many others read the metrics"))?;
    let now = app.now();
    let view = &app.registry.view;
    let all = Criteria::of(Scope::All, Form::Plain);
    let discovered = view.list(&all, false, &app.registry.allowance(call.request), now.monotonic).ok();
    gauges.set(&app.registry, discovered.as_ref(), now);
    if app.options.group_info {
        gauges.set_groups(&view.largest_groups(GROUPS_MAX, now.monotonic));
    }
    gauges.set_pollers(&app.pollers.seen(now.wall));
    let text = gauges.text().map_err(|e| {
        error!(reason:% = e; "cannot encode the metrics");
        Response::error(500, "cannot encode the metrics")
    })?;
    let registrations = discovered.filter(|_| app.options.target_info).map_or_else(Arc::default, |all| all.list);
    let gzip = call.request.accepts_gzip();
    let (parts, own_bytes) = registrations.exposition(text, app.options.group_info, gzip);
    let response = Response::new(200, TEXT, Body::new(parts).with_own_bytes(own_bytes));
    let response = response.with_header("Vary", "Accept-Encoding");
    Ok(if gzip { response.with_header("Content-Encoding", "gzip") } else { response })
}

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
