//! The metrics of the link to Redis.

use std::time::{SystemTime, UNIX_EPOCH};

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
            counters(registry, "inventor_redis_resyncs_total", "Full reloads from Redis by cause.", &["cause"]);
        for cause in Cause::ALL {
            resyncs.with_label_values(&[cause.as_str()]);
        }
        Metrics {
            connected: gauge(registry, "inventor_redis_connected", "1 if the lists follow Redis, 0 if not."),
            sessions: counter("inventor_redis_connects_total", "Connections established to Redis for following it."),
            sync_seconds: seconds(
                registry,
                "inventor_redis_sync_duration_seconds",
                "Duration of the last full load from Redis in seconds.",
            ),
            synced_at: seconds(
                registry,
                "inventor_redis_last_sync_timestamp_seconds",
                "Unix time of the last full load from Redis.",
            ),
            resyncs,
            pushes: counter("inventor_redis_pushes_total", "Notifications of changed keys received from Redis."),
            refetched: counter("inventor_redis_refetched_keys_total", "Keys read again because they changed."),
            restored: counter("inventor_redis_restored_total", "Registrations put back after Redis lost them."),
            foreign_keys: gauge(
                registry,
                "inventor_redis_foreign_keys",
                "Keys that were not registrations at the last full load.",
            ),
            pool_wait: durations(
                registry,
                "inventor_redis_pool_wait_seconds",
                "Time spent waiting for a pooled connection, in seconds.",
            ),
        }
    }
    /// The lists follow Redis: everything was loaded in this many seconds, besides this many keys of other programs.
    pub(super) fn synchronised(&self, seconds: f64, foreign: usize) {
        self.connected.set(1);
        self.sync_seconds.set(seconds);
        self.synced_at.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        self.foreign_keys.set(foreign as i64);
    }
}
