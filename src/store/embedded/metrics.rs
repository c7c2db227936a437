//! What the embedded store measures.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge, Registry};

use super::file::Written;
use crate::metrics::{counter, gauge, histogram};

/// Seconds, from a fast SSD to a failing disk.
const COMMIT_SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 2.0];

/// Records changed by one commit; the queue has room for 1024.
const COMMIT_CHANGES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0];

pub(super) struct Metrics {
    file_bytes: IntGauge,
    commit_duration: Histogram,
    commit_changes: Histogram,
    /// How often the file failed and had to be opened again.
    pub(super) faults: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Metrics {
        Metrics {
            file_bytes: gauge(registry, "inventor_store_file_bytes", "Size of the embedded store's file in bytes."),
            commit_duration: histogram(
                registry,
                "inventor_store_commit_duration_seconds",
                "Time from the start of a transaction of the embedded store until it is on disk, in seconds.",
                &COMMIT_SECONDS,
            ),
            commit_changes: histogram(
                registry,
                "inventor_store_commit_changes",
                "Records changed by one transaction of the embedded store.",
                &COMMIT_CHANGES,
            ),
            faults: counter(
                registry,
                "inventor_store_faults_total",
                "Failures of the embedded store after which its file was reopened.",
            ),
        }
    }

    pub(super) fn observe(&self, written: &Written, time: Duration) {
        self.set_file_bytes(written.file_bytes);
        self.commit_duration.observe(time.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^52")]
        self.commit_changes.observe(written.changes as f64);
    }

    pub(super) fn set_file_bytes(&self, bytes: u64) {
        self.file_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
