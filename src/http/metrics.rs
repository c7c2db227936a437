//! What is counted of the requests that handlers answer.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use super::request::Request;
use crate::metrics;
use crate::registration::InvalidKind;

/// The clients that can be told apart by what they send. The OpenTelemetry collector and Alloy poll with the library
/// of Prometheus, and so count as `prometheus`.
pub(super) const CLIENTS: [&str; 3] = ["prometheus", "vmagent", "other"];

/// The counters of the handlers.
pub(super) struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    refused: IntCounterVec,
    polls: IntCounterVec,
}

impl HttpMetrics {
    pub(super) fn new(registry: &prometheus::Registry) -> HttpMetrics {
        let refused = metrics::counters(
            registry,
            "inventor_registrations_refused_total",
            "Registrations refused as invalid, by reason.",
            &["reason"],
        );
        for kind in InvalidKind::ALL {
            refused.with_label_values(&[kind.as_str()]);
        }
        let polls = metrics::counters(
            registry,
            "inventor_polls_total",
            "Lists sent, by what the client can be recognised as.",
            &["client"],
        );
        for client in CLIENTS {
            polls.with_label_values(&[client]);
        }
        HttpMetrics {
            requests: metrics::counters(
                registry,
                "inventor_http_requests_total",
                "Requests answered by a handler.",
                &["route", "method", "status"],
            ),
            durations: metrics::durations_by(
                registry,
                "inventor_http_request_duration_seconds",
                "Time that handlers took, without the transfer of request and response.",
                &["route"],
            ),
            refused,
            polls,
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

/// What a client can be recognised as. vmagent has sent the name of its HTTP library since 1.80, and is told from
/// other programs by the field that it sends with every poll.
pub(super) fn client(request: &Request) -> &'static str {
    let agent = request.header("user-agent").unwrap_or_default().to_ascii_lowercase();
    let starts = |start: &str| agent.starts_with(start.as_bytes());
    let [prometheus, vmagent, other] = CLIENTS;
    let says_its_interval = request.header("x-prometheus-refresh-interval-seconds").is_some();
    match () {
        () if starts("prometheus/") => prometheus,
        () if starts("vm_promscrape") || (starts("go-http-client/") && says_its_interval) => vmagent,
        () => other,
    }
}
