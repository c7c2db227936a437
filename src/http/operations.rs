//! Health, readiness and metrics: what operators and probes ask for.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::error;
use prometheus::{Encoder, IntGauge, IntGaugeVec, TextEncoder};

use super::{App, Body, Request, Response};
use crate::metrics;
use crate::registry::{Discovered, Selector};

/// How far ahead `/metrics` looks for registrations that run out, and what that is called.
const EXPIRY_HORIZONS: &[(&str, u64)] = &[("5m", 300), ("1h", 3600), ("6h", 21600)];

/// The usual size of the parts in which the text of the metrics is sent.
const TEXT_PART_BYTES: usize = 64 * 1024;

/// Alive: it answers. Whether the store does is another question, and no reason for a restart.
pub(super) fn healthcheck(_: &App, _: &Request) -> Response {
    Response::bare(200, "OK")
}

pub(super) fn ready(app: &App, _: &Request) -> Response {
    if app.ending.load(Ordering::Relaxed) {
        return Response::unavailable("shutting down");
    }
    match app.registry.health(app.now()) {
        Ok(()) => Response::bare(200, "OK"),
        Err(_) => Response::unavailable("the store is unavailable or not loaded yet"),
    }
}

/// What is counted when somebody looks.
pub(super) struct Gauges {
    registrations: IntGauge,
    groups: IntGauge,
    quarantined: IntGauge,
    expiring: IntGaugeVec,
    list_bytes: IntGauge,
    store_up: IntGauge,
    stale: IntGauge,
}

impl Gauges {
    pub(super) fn new(registry: &prometheus::Registry) -> Gauges {
        let gauge = |name: &str, help: &str| metrics::gauge(registry, name, help);
        Gauges {
            registrations: gauge("inventor_registrations", "Live registrations."),
            groups: gauge("inventor_groups", "Target groups with a live registration."),
            quarantined: gauge(
                "inventor_registrations_quarantined",
                "Stored values that are left out of all lists because Prometheus would refuse them.",
            ),
            expiring: metrics::gauges(
                registry,
                "inventor_registrations_expiring",
                "Live registrations that run out within this time unless they are renewed.",
                &["within"],
            ),
            list_bytes: gauge("inventor_list_bytes", "Size of the answer to /discover."),
            store_up: gauge("inventor_store_up", "Whether the store can be read and written."),
            stale: gauge(
                "inventor_list_stale_seconds",
                "For how long the lists may have been out of date because the store is lost; 0 when they are not.",
            ),
        }
    }
}

pub(super) fn metrics(app: &App, _: &Request) -> Response {
    let now = app.now();
    let gauges = &app.metrics.gauges;
    let counts = app.registry.counts(now);
    let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    gauges.registrations.set(whole(counts.registrations));
    gauges.groups.set(whole(counts.groups));
    gauges.quarantined.set(whole(counts.quarantined));
    for (name, seconds) in EXPIRY_HORIZONS {
        let expiring = app.registry.expiring_within(Duration::from_secs(*seconds), now);
        gauges.expiring.with_label_values(&[name]).set(whole(expiring));
    }
    gauges.store_up.set(app.registry.health(app.now()).is_ok().into());
    let discovered = app.registry.discover(Selector::All, now).ok();
    if let Some(Discovered { list, stale }) = &discovered {
        gauges.list_bytes.set(whole(list.json().parts.iter().map(|part| part.len()).sum()));
        gauges.stale.set(stale.map_or(0, |stale| i64::try_from(stale.as_secs()).unwrap_or(i64::MAX)));
    }
    let mut text = Vec::with_capacity(TEXT_PART_BYTES);
    if let Err(e) = TextEncoder::new().encode(&app.exposition.gather(), &mut text) {
        error!(reason:% = e; "the metrics cannot be encoded");
        return Response::error(500, "the metrics cannot be encoded");
    }
    let mut parts = Vec::new();
    if let Some(discovered) = discovered.filter(|_| app.options.target_info) {
        write_target_info(&mut text, &mut parts, &discovered);
    }
    parts.push(text.into());
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Response { status: 200, content_type, headers: Vec::new(), body: Body::new(parts.into()) }
}

/// One series per registration and address, as the Go program has them. There may be a hundred thousand,
/// so that they are written directly instead of being made metric objects first, and into parts, because
/// a text of megabytes is costly to let grow.
fn write_target_info(out: &mut Vec<u8>, parts: &mut Vec<Arc<[u8]>>, discovered: &Discovered) {
    let mut registrations = discovered.list.registrations().peekable();
    if registrations.peek().is_none() {
        return;
    }
    out.extend_from_slice(b"# HELP inventor_sd_target_info count of registered sd targets\n");
    out.extend_from_slice(b"# TYPE inventor_sd_target_info gauge\n");
    for (id, content) in registrations {
        let targets = content.targets();
        // An address that stands twice in a registration is one series; two would make the scrape fail.
        let mut seen = BTreeSet::new();
        for address in targets.iter().filter(|address| targets.len() == 1 || seen.insert(address.as_str())) {
            out.extend_from_slice(b"inventor_sd_target_info{address=\"");
            write_label_value(out, address);
            // Writing to memory cannot fail.
            let _ = writeln!(out, "\",id=\"{id}\"}} 1");
        }
        if out.len() >= TEXT_PART_BYTES {
            parts.push(out.as_slice().into());
            out.clear();
        }
    }
}

/// Escapes a label value by the text format 0.0.4.
fn write_label_value(out: &mut Vec<u8>, value: &str) {
    let mut rest = value.as_bytes();
    // Most addresses hold nothing to escape and are copied at once.
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\n' => b"\\n",
            b'"' => b"\\\"",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
