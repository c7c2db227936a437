//! What the link to Redis measures about itself.

use ::prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::session::Cause;

/// Bounds in seconds: a free connection is there at once, and nobody waits longer than half a second.
const POOL_WAIT_BUCKETS: [f64; 7] = [0.000_01, 0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5];

pub(super) struct Metrics {
    pub(super) connected: IntGauge,
    pub(super) sync_seconds: Gauge,
    pub(super) synced_at: Gauge,
    pub(super) pushes: IntCounter,
    pub(super) refetched: IntCounter,
    pub(super) resyncs: IntCounterVec,
    pub(super) restored: IntCounter,
    pub(super) sessions: IntCounter,
    pub(super) foreign_keys: IntGauge,
    pub(super) pool_wait: Histogram,
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// A name is registered already.
    pub(super) fn register(registry: &Registry) -> Result<Metrics, ::prometheus::Error> {
        let gauge = |name, help| -> Result<IntGauge, ::prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let seconds = |name, help| -> Result<Gauge, ::prometheus::Error> {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let counter = |name, help| -> Result<IntCounter, ::prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let resyncs = IntCounterVec::new(
            Opts::new("inventor_redis_resyncs_total", "Times everything was read anew, by cause."),
            &["cause"],
        )?;
        for cause in Cause::ALL {
            resyncs.with_label_values(&[cause.as_str()]);
        }
        registry.register(Box::new(resyncs.clone()))?;
        let pool_wait = Histogram::with_opts(
            HistogramOpts::new("inventor_redis_pool_wait_seconds", "Waits for a pooled connection.")
                .buckets(POOL_WAIT_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(pool_wait.clone()))?;
        Ok(Metrics {
            connected: gauge("inventor_redis_connected", "Whether Redis is reached and followed.")?,
            sync_seconds: seconds("inventor_redis_sync_duration_seconds", "How long the last full sync took.")?,
            synced_at: seconds("inventor_redis_last_sync_timestamp_seconds", "When the last full sync ended.")?,
            pushes: counter("inventor_redis_pushes_total", "Reports of changed keys from Redis.")?,
            refetched: counter("inventor_redis_refetched_keys_total", "Keys fetched because they changed.")?,
            resyncs,
            restored: counter("inventor_redis_restored_total", "Registrations put back after Redis lost them.")?,
            sessions: counter("inventor_redis_connects_total", "Times that contact with Redis was made.")?,
            foreign_keys: gauge("inventor_redis_foreign_keys", "Keys that are no registration, at the last sync.")?,
            pool_wait,
        })
    }
}
