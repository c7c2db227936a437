//! The metrics of the HTTP edge.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use crate::metrics::{counter, counters_by, durations, gauge};

/// The statuses that the gate answers by itself.
const REFUSALS: [&str; 12] = ["400", "401", "403", "408", "413", "414", "415", "417", "431", "501", "503", "505"];

#[derive(Debug, Clone)]
pub struct EdgeMetrics {
    pub(super) connections: IntGauge,
    pub(super) accepted: IntCounter,
    pub(super) refused: IntCounterVec,
    pub(super) evicted: IntCounterVec,
    pub(super) received_bytes: IntCounter,
    pub(super) sent_bytes: IntCounter,
    /// Bounded by [`Limits::held_bytes`](super::limits::Limits::held_bytes).
    pub(super) held_bytes: IntGauge,
    bad_requests: IntCounterVec,
    pub(super) edge_seconds: Histogram,
    /// Requests that have been received and not answered.
    pub in_flight: IntGauge,
    /// Requests that wait for a worker.
    pub queue: IntGauge,
    pub panics: IntCounter,
}

/// Why a connection is closed without service: the server has as many threads as it may have, or the system permits no
/// more, and too many connections wait.
const REFUSED: [&str; 2] = [FULL, NO_THREAD];

/// Why a connection must make room: there are as many as there may be; the system has no descriptor, thread or memory
/// for a new one; or clients hold as many bytes as they may.
const EVICTED: [&str; 3] = [FULL, SHORTAGE, MEMORY];

pub(super) const FULL: &str = "full";
pub(super) const NO_THREAD: &str = "no_thread";
pub(super) const SHORTAGE: &str = "shortage";
pub(super) const MEMORY: &str = "memory";

impl EdgeMetrics {
    pub fn new(registry: &Registry) -> EdgeMetrics {
        EdgeMetrics {
            connections: gauge(registry, "inventor_http_connections", "Open connections."),
            accepted: counter(registry, "inventor_http_connections_accepted_total", "Connections accepted."),
            refused: counters_by(
                registry,
                "inventor_http_connections_refused_total",
                "Connections closed without service because there was no thread for them.",
                "reason",
                &REFUSED,
            ),
            evicted: counters_by(
                registry,
                "inventor_http_connections_evicted_total",
                "Connections closed to make room for new ones, by reason.",
                "reason",
                &EVICTED,
            ),
            received_bytes: counter(registry, "inventor_http_received_bytes_total", "Bytes received from clients."),
            sent_bytes: counter(registry, "inventor_http_sent_bytes_total", "Bytes of completely sent responses."),
            held_bytes: gauge(
                registry,
                "inventor_http_held_bytes",
                "Bytes in memory for clients that have not read their answers or are sending large bodies.",
            ),
            bad_requests: counters_by(
                registry,
                "inventor_http_bad_requests_total",
                "Requests refused before they reached a handler, by status.",
                "status",
                &REFUSALS,
            ),
            edge_seconds: durations(
                registry,
                "inventor_http_edge_duration_seconds",
                "Time from the end of a request to the end of its response, without the time in the handler.",
            ),
            in_flight: gauge(registry, "inventor_http_requests_in_flight", "Requests received and not yet answered."),
            queue: gauge(registry, "inventor_http_queue_length", "Complete requests waiting for a worker."),
            panics: counter(registry, "inventor_http_handler_panics_total", "Requests whose handler panicked."),
        }
    }

    pub(super) fn bad_request(&self, status: u16) {
        self.bad_requests.with_label_values(&[&status.to_string()]).inc();
    }
}
