//! `/metrics`: what is counted all the time, what is counted when somebody looks, and one series for each target.

use std::sync::Arc;
use std::time::Duration;

use log::error;
use prometheus::{Encoder, TextEncoder};

use super::app::{App, Call};
use super::request::accepts_gzip;
use super::response::{Body, Response};
use crate::registry::{Criteria, Discovered, Form, Now, Scope};

/// The format of the text, 0.0.4 of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long one scrape waits for others to end.
const SCRAPE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How many groups have a series of their own.
const GROUPS_MAX: usize = 1000;

/// The usual size of the text without the series of the targets.
const TEXT_BYTES: usize = 64 * 1024;

/// A small text of this request's own, and behind it the series of the targets, which all clients share, compressed or
/// not.
pub(super) fn metrics(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    // One at a time: another scrape would read groups while they are set anew, and a crowd of them takes one core.
    let scrape = app.scrape.try_lock_for(SCRAPE_WAIT_MAX);
    let _scrape = scrape.ok_or_else(|| Response::unavailable("too many others read the metrics"))?;
    let now = app.now();
    let all = Criteria::of(Scope::All, Form::Plain);
    let discovered = app.registry.view.list(&all, false, &app.registry.allowance(call.request), now.monotonic).ok();
    let text = text(app, discovered.as_ref(), now).map_err(|e| {
        error!(reason:% = e; "cannot encode the metrics");
        Response::error(500, "cannot encode the metrics")
    })?;
    let registrations = discovered.filter(|_| app.options.target_info).map_or_else(Arc::default, |all| all.list);
    let gzip = accepts_gzip(call.request);
    let (parts, own_bytes) = registrations.exposition(text, app.options.group_info, gzip);
    let response = Response::new(200, TEXT, Body::new(parts).with_own_bytes(own_bytes));
    let response = response.with_header("Vary", "Accept-Encoding");
    Ok(if gzip { response.with_header("Content-Encoding", "gzip") } else { response })
}

fn text(app: &App, discovered: Option<&Discovered>, now: Now) -> prometheus::Result<Vec<u8>> {
    let pollers = app.pollers.seen(now.wall);
    let groups =
        if app.options.group_info { app.registry.view.largest_groups(GROUPS_MAX, now.monotonic) } else { Vec::new() };
    app.gauges.set(&app.registry, discovered, now);
    app.gauges.set_groups(&groups);
    app.gauges.set_pollers(&pollers);
    let families = app.exposition.gather();
    let mut text = Vec::with_capacity(TEXT_BYTES);
    TextEncoder::new().encode(&families, &mut text)?;
    Ok(text)
}
