//! What the edge counts.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use crate::metrics::{counter, counters, durations, gauge};

/// The statuses that the gate answers by itself.
const REFUSALS: [&str; 12] = ["400", "401", "403", "408", "413", "414", "415", "417", "431", "501", "503", "505"];

/// The metrics of the HTTP edge.
#[derive(Debug, Clone)]
pub struct EdgeMetrics {
    pub(super) connections: IntGauge,
    pub(super) accepted: IntCounter,
    refused: IntCounterVec,
    evicted: IntCounterVec,
    pub(super) received_bytes: IntCounter,
    pub(super) sent_bytes: IntCounter,
    /// What [`Limits::held_bytes`](super::limits::Limits::held_bytes) is for.
    pub(super) held_bytes: IntGauge,
    bad_requests: IntCounterVec,
    pub(super) edge_seconds: Histogram,
    /// Requests that have been handed to the workers and are not answered.
    pub in_flight: IntGauge,
    /// Those of them that wait for a worker.
    pub queue: IntGauge,
    pub panics: IntCounter,
}

/// Why a connection was not served.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unserved {
    /// As many as may be served are served, and too many wait for their turn.
    Full,
    /// The system has no threads for more, and too many wait for their turn.
    NoThread,
}

/// Why a connection had to make room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Evicted {
    /// There are as many as there may be.
    Full,
    /// The system has no descriptor, thread or memory for a new one.
    Shortage,
    /// As many bytes are held for clients as may be.
    Memory,
}

impl EdgeMetrics {
    pub fn new(registry: &Registry) -> EdgeMetrics {
        let metrics = EdgeMetrics {
            connections: gauge(registry, "inventor_http_connections", "Open connections."),
            accepted: counter(registry, "inventor_http_connections_accepted_total", "Connections accepted."),
            refused: counters(
                registry,
                "inventor_http_connections_refused_total",
                "Connections closed without service because there was no thread for them.",
                &["reason"],
            ),
            evicted: counters(
                registry,
                "inventor_http_connections_evicted_total",
                "Connections closed to make room for new ones, by reason.",
                &["reason"],
            ),
            received_bytes: counter(registry, "inventor_http_received_bytes_total", "Bytes received from clients."),
            sent_bytes: counter(registry, "inventor_http_sent_bytes_total", "Bytes of completely sent responses."),
            held_bytes: gauge(
                registry,
                "inventor_http_held_bytes",
                "Bytes in memory for clients that have not read their answers or are sending large bodies.",
            ),
            bad_requests: counters(
                registry,
                "inventor_http_bad_requests_total",
                "Requests refused before they reached a handler, by status.",
                &["status"],
            ),
            edge_seconds: durations(
                registry,
                "inventor_http_edge_duration_seconds",
                "Time from the end of a request to the end of its response, without the time in the handler.",
            ),
            in_flight: gauge(registry, "inventor_http_requests_in_flight", "Requests received and not yet answered."),
            queue: gauge(registry, "inventor_http_queue_length", "Complete requests waiting for a worker."),
            panics: counter(registry, "inventor_http_handler_panics_total", "Requests whose handler panicked."),
        };
        // Series exist from the start, so that their first increase is seen.
        for reason in ["full", "no_thread"] {
            metrics.refused.with_label_values(&[reason]);
        }
        for reason in ["full", "shortage", "memory"] {
            metrics.evicted.with_label_values(&[reason]);
        }
        for status in REFUSALS {
            metrics.bad_requests.with_label_values(&[status]);
        }
        metrics
    }

    pub(super) fn refused(&self, why: Unserved) {
        let reason = match why {
            Unserved::Full => "full",
            Unserved::NoThread => "no_thread",
        };
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn evicted(&self, why: Evicted) {
        let reason = match why {
            Evicted::Full => "full",
            Evicted::Shortage => "shortage",
            Evicted::Memory => "memory",
        };
        self.evicted.with_label_values(&[reason]).inc();
    }

    pub(super) fn bad_request(&self, status: u16) {
        self.bad_requests.with_label_values(&[&status.to_string()]).inc();
    }
}
