//! Paths about the server itself: metrics, health, readiness, and the description of its API.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use log::error;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

use super::app::{App, Call};
use super::pollers::CLIENTS;
use super::response::{Body, Response};
use crate::metrics;
use crate::registry::{Criteria, Discovered, EXPIRY_SPANS, Form, Now, Scope};

/// The format of the metrics, 0.0.4 of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long one scrape waits for others.
const SCRAPE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How many groups have a series of their own.
const GROUPS_MAX: usize = 1000;

/// The usual size of the text without the series of the targets.
const TEXT_BYTES: usize = 64 * 1024;

/// A small text made for this request, followed by the series of the targets, which all clients share, compressed or
/// not.
pub(super) fn metrics(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    // One at a time: a crowd of them takes one core.
    let scrape = app.scrape.try_lock_for(SCRAPE_WAIT_MAX);
    let _scrape = scrape.ok_or_else(|| Response::unavailable("too many others read the metrics"))?;
    let now = Now::read();
    let all = Criteria::of(Scope::All, Form::Plain);
    let discovered = app.registry.view.list(&all, false, &app.registry.allowance(call.request), now.monotonic).ok();
    let mut families = app.exposition.gather();
    families.extend(gauges(app, discovered.as_ref(), now));
    families.sort_by(|one, other| one.name().cmp(other.name()));
    let mut text = Vec::with_capacity(TEXT_BYTES);
    TextEncoder::new().encode(&families, &mut text).map_err(|e| {
        error!(reason:% = e; "cannot encode the metrics");
        Response::error(500, "cannot encode the metrics")
    })?;
    let registrations = discovered.filter(|_| app.options.target_info).map_or_else(Arc::default, |all| all.list);
    let gzip = call.request.accepts_gzip();
    let (parts, own_bytes) = registrations.exposition(text, app.registry.view.rules.shows_groups, gzip);
    let response = Response::new(200, TEXT, Body::new(parts).with_own_bytes(own_bytes));
    let response = response.with_header("Vary", "Accept-Encoding");
    Ok(if gzip { response.with_header("Content-Encoding", "gzip") } else { response })
}

/// The metrics that are made on demand: the present state of the registry.
fn gauges(app: &App, discovered: Option<&Discovered>, now: Now) -> Vec<MetricFamily> {
    let gauges = prometheus::Registry::new();
    let gauge = |name: &str, help: &str, value: usize| metrics::gauge(&gauges, name, help).set(whole(value));
    let by = |name: &str, help: &str, labels: &[&str]| metrics::gauges(&gauges, name, help, labels);
    let view = &app.registry.view;
    let counts = view.counts(now.monotonic);
    gauge("inventor_registrations", "Live registrations.", counts.registrations);
    gauge("inventor_groups", "Target groups with at least one live registration.", counts.groups);
    gauge("inventor_selections", "Selections that are remembered for their next polls.", counts.selections);
    gauge("inventor_selection_bytes", "Memory of these selections in bytes.", counts.selection_bytes);
    gauge(
        "inventor_registrations_quarantined",
        "Stored values left out of all lists because Prometheus would refuse them.",
        counts.quarantined,
    );
    let store_up = app.registry.health(now).is_ok();
    gauge("inventor_store_up", "1 if the store can be read and written, 0 if not.", store_up.into());
    let list = discovered.map(|all| all.list.rendering(false).parts);
    let list_bytes = list.map_or(0, |parts| parts.iter().map(|part| part.len()).sum());
    gauge("inventor_list_bytes", "Size of the response to /discover in bytes.", list_bytes);
    let stale = discovered.and_then(|all| all.stale).map_or(0, |stale| stale.as_secs());
    gauge(
        "inventor_list_stale_seconds",
        "How long the lists may have been out of date because the store is unavailable; 0 if they are current.",
        stale as usize,
    );
    let expiring = by(
        "inventor_registrations_expiring",
        "Live registrations that expire within this time unless they are renewed.",
        &["within"],
    );
    for ((name, _), count) in EXPIRY_SPANS.into_iter().zip(view.expiring(now.monotonic)) {
        expiring.with_label_values(&[name]).set(whole(count));
    }
    if app.registry.view.rules.shows_groups {
        let help = "Live registrations of each of the largest groups.";
        let registrations = by("inventor_group_registrations", help, &["group"]);
        for (name, count) in view.largest_groups(GROUPS_MAX, now.monotonic) {
            registrations.with_label_values(&[&*name]).set(whole(count));
        }
    }
    let pollers = by(
        "inventor_pollers",
        "Clients that polled a list within the hour, by kind and whether they still do.",
        &["client", "state"],
    );
    let seen = app.pollers.seen(now.wall);
    for client in CLIENTS {
        // Late after three of its intervals.
        for (state, is_late) in [("current", false), ("late", true)] {
            let count = seen.iter().filter(|(_, poller, late)| poller.client == client && *late == is_late).count();
            pollers.with_label_values(&[client, state]).set(whole(count));
        }
    }
    gauges.gather()
}

fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Alive means that it answers. Whether the store does is another question, and no reason for a restart.
pub(super) fn healthy(_: &App, _: &Call<'_>) -> Result<Response, Response> {
    Ok(Response::bare(200, "OK"))
}

pub(super) fn ready(app: &App, _: &Call<'_>) -> Result<Response, Response> {
    if app.is_ending() {
        return Err(Response::unavailable("shutting down"));
    }
    match app.registry.health(Now::read()) {
        Ok(()) => Ok(Response::bare(200, "OK")),
        Err(_) => Err(Response::unavailable("the store is unavailable or not loaded yet")),
    }
}

/// OpenAPI 3.1. A test compares it with the route table.
static DOCUMENT: LazyLock<Body> = LazyLock::new(|| include_bytes!("api/openapi.json").to_vec().into());

pub(super) fn description(_: &App, _: &Call<'_>) -> Result<Response, Response> {
    Ok(Response::new(200, "application/json", DOCUMENT.clone()))
}
