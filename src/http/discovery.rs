//! `/discover` and `/group`: the lists that Prometheus polls.

use super::app::{App, Call};
use super::negotiation::{accepts_gzip, lists_tag};
use super::query::parameter;
use super::request::Request;
use super::response::{Body, Response};
use crate::registry::{Discovered, NotLoaded, Rendering, Selector};

pub(super) fn discover(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    list(app, call.request, app.registry.discover(Selector::All, app.now()))
}

pub(super) fn group(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    match parameter(call.request, "name") {
        Some(name) if !name.is_empty() => {
            list(app, call.request, app.registry.discover(Selector::Group(&name), app.now()))
        }
        _ => Err(Response::error(400, "Get parameter `name` is not defined")),
    }
}

fn list(app: &App, request: &Request, discovered: Result<Discovered, NotLoaded>) -> Result<Response, Response> {
    // An empty answer would make Prometheus forget every target; after an error it keeps what it has.
    let not_loaded = |NotLoaded| Response::unavailable("the registrations are not loaded yet");
    let Discovered { list, stale } = discovered.map_err(not_loaded)?;
    app.metrics.polled(request);
    let gzip = accepts_gzip(request);
    let Rendering { parts, hash } = if gzip { list.gzip() } else { list.json() };
    // The two encodings are different bytes, so that their tags have to differ (RFC 9110, 8.8.3).
    let tag = if gzip { format!("\"{hash:016x}-gzip\"") } else { format!("\"{hash:016x}\"") };
    let known = lists_tag(request.header("if-none-match").unwrap_or_default(), &tag);
    let (status, body) = if known { (304, Body::default()) } else { (200, Body::new(parts)) };
    let mut response = Response::new(status, "application/json", body)
        .with_header("ETag", tag)
        .with_header("Vary", "Accept-Encoding")
        .private();
    if gzip && !known {
        response = response.with_header("Content-Encoding", "gzip");
    }
    if let Some(stale) = stale {
        response = response.with_header("X-Inventor-Stale", stale.as_secs().to_string());
    }
    Ok(response)
}
