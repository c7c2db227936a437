//! What `/metrics` shows of this server: what is counted with each request, and what is counted when somebody looks.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Encoder, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder};

use super::pollers::{CLIENTS, Poller, client};
use super::request::Request;
use crate::metrics::{counters, counters_by, durations_by, gauge, gauges};
use crate::registration::InvalidKind;
use crate::registry::{Discovered, EXPIRY_SPANS, Now, Registry};

/// The usual size of the text without the series of the targets.
const TEXT_BYTES: usize = 64 * 1024;

/// What is counted of the requests that handlers answer.
pub(super) struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    refused: IntCounterVec,
    polls: IntCounterVec,
}

impl HttpMetrics {
    pub(super) fn new(registry: &prometheus::Registry) -> HttpMetrics {
        HttpMetrics {
            requests: counters(
                registry,
                "inventor_http_requests_total",
                "Requests answered by a handler.",
                &["route", "method", "status"],
            ),
            durations: durations_by(
                registry,
                "inventor_http_request_duration_seconds",
                "Time that handlers took, without the transfer of request and response.",
                &["route"],
            ),
            refused: counters_by(
                registry,
                "inventor_registrations_refused_total",
                "Registrations refused as invalid, by reason.",
                "reason",
                &InvalidKind::ALL.map(InvalidKind::as_str),
            ),
            polls: counters_by(
                registry,
                "inventor_polls_total",
                "Lists sent, by what the client can be recognised as.",
                "client",
                &CLIENTS,
            ),
        }
    }

    pub(super) fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.durations.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self, kind: InvalidKind) {
        self.refused.with_label_values(&[kind.as_str()]).inc();
    }

    pub(super) fn polled(&self, request: &Request) {
        self.polls.with_label_values(&[client(request)]).inc();
    }
}

/// What is counted when somebody looks: the registry as it is at that moment.
pub(super) struct Gauges {
    /// Everything that is shown.
    exposition: prometheus::Registry,
    registrations: IntGauge,
    groups: IntGauge,
    quarantined: IntGauge,
    group_registrations: IntGaugeVec,
    expiring: IntGaugeVec,
    selections: IntGauge,
    selection_bytes: IntGauge,
    pollers: IntGaugeVec,
    list_bytes: IntGauge,
    store_up: IntGauge,
    stale: IntGauge,
}

impl Gauges {
    pub(super) fn new(exposition: prometheus::Registry) -> Gauges {
        let gauge = |name: &str, help: &str| gauge(&exposition, name, help);
        let gauges = |name: &str, help: &str, labels: &[&str]| gauges(&exposition, name, help, labels);
        Gauges {
            registrations: gauge("inventor_registrations", "Live registrations."),
            groups: gauge("inventor_groups", "Target groups with at least one live registration."),
            quarantined: gauge(
                "inventor_registrations_quarantined",
                "Stored values left out of all lists because Prometheus would refuse them.",
            ),
            group_registrations: gauges(
                "inventor_group_registrations",
                "Live registrations of each of the largest groups.",
                &["group"],
            ),
            expiring: gauges(
                "inventor_registrations_expiring",
                "Live registrations that expire within this time unless they are renewed.",
                &["within"],
            ),
            selections: gauge("inventor_selections", "Selections that are remembered for their next polls."),
            selection_bytes: gauge("inventor_selection_bytes", "What these selections take in memory."),
            pollers: gauges(
                "inventor_pollers",
                "Clients that polled a list within the hour, by what they can be recognised as and whether they still do.",
                &["client", "state"],
            ),
            list_bytes: gauge("inventor_list_bytes", "Size of the response to /discover in bytes."),
            store_up: gauge("inventor_store_up", "1 if the store can be read and written, 0 if not."),
            stale: gauge(
                "inventor_list_stale_seconds",
                "How long the lists may have been out of date because the store is unavailable; 0 if they are current.",
            ),
            exposition,
        }
    }

    pub(super) fn set(&self, registry: &Registry, discovered: Option<&Discovered>, now: Now) {
        let counts = registry.view.counts(now.monotonic);
        self.registrations.set(whole(counts.registrations));
        self.groups.set(whole(counts.groups));
        self.selections.set(whole(counts.selections));
        self.selection_bytes.set(whole(counts.selection_bytes));
        self.quarantined.set(whole(counts.quarantined));
        for ((name, _), expiring) in EXPIRY_SPANS.into_iter().zip(registry.view.expiring(now.monotonic)) {
            self.expiring.with_label_values(&[name]).set(whole(expiring));
        }
        self.store_up.set(registry.health(now).is_ok().into());
        if let Some(Discovered { list, stale }) = discovered {
            self.list_bytes.set(whole(list.rendering(false).parts.iter().map(|part| part.len()).sum()));
            self.stale.set(stale.map_or(0, |stale| i64::try_from(stale.as_secs()).unwrap_or(i64::MAX)));
        }
    }

    /// Counts the registrations of the largest groups. A group that is gone has no series any more.
    pub(super) fn set_groups(&self, largest: &[(Arc<str>, usize)]) {
        self.group_registrations.reset();
        for (name, registrations) in largest {
            self.group_registrations.with_label_values(&[&**name]).set(whole(*registrations));
        }
    }

    /// Counts who polls: `current`, or `late` after three of its intervals.
    pub(super) fn set_pollers(&self, pollers: &[(bool, Poller)]) {
        for client in CLIENTS {
            for (state, is_late) in [("current", false), ("late", true)] {
                let count = pollers.iter().filter(|(late, poller)| poller.client == client && *late == is_late).count();
                self.pollers.with_label_values(&[client, state]).set(whole(count));
            }
        }
    }

    /// All metrics of this program.
    pub(super) fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(TEXT_BYTES);
        TextEncoder::new().encode(&self.exposition.gather(), &mut text)?;
        Ok(text)
    }
}

fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
