//! What the link to Redis measures about itself.

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::session::Cause;
use crate::metrics::{counter, counters, durations, gauge, seconds};

pub(super) struct Metrics {
    pub(super) connected: IntGauge,
    pub(super) sessions: IntCounter,
    pub(super) sync_seconds: Gauge,
    pub(super) synced_at: Gauge,
    pub(super) resyncs: IntCounterVec,
    pub(super) pushes: IntCounter,
    pub(super) refetched: IntCounter,
    pub(super) restored: IntCounter,
    pub(super) foreign_keys: IntGauge,
    pub(super) pool_wait: Histogram,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Metrics {
        let counter = |name, help| counter(registry, name, help);
        let resyncs =
            counters(registry, "inventor_redis_resyncs_total", "Times everything was read anew, by cause.", &["cause"]);
        for cause in Cause::ALL {
            resyncs.with_label_values(&[cause.as_str()]);
        }
        Metrics {
            connected: gauge(registry, "inventor_redis_connected", "Whether the lists follow Redis."),
            sessions: counter("inventor_redis_connects_total", "Times that contact with Redis was made."),
            sync_seconds: seconds(
                registry,
                "inventor_redis_sync_duration_seconds",
                "How long it took to read everything, the last time.",
            ),
            synced_at: seconds(
                registry,
                "inventor_redis_last_sync_timestamp_seconds",
                "When everything was last read, in Unix time.",
            ),
            resyncs,
            pushes: counter("inventor_redis_pushes_total", "Reports of changed keys from Redis."),
            refetched: counter("inventor_redis_refetched_keys_total", "Keys fetched because they changed."),
            restored: counter("inventor_redis_restored_total", "Registrations put back after Redis lost them."),
            foreign_keys: gauge(
                registry,
                "inventor_redis_foreign_keys",
                "Keys in the database that are no registration, when everything was last read.",
            ),
            pool_wait: durations(registry, "inventor_redis_pool_wait_seconds", "Waits for a pooled connection."),
        }
    }
}
