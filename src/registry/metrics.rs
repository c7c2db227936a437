//! What is counted of registrations and of the store, whichever it is.

use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec, Registry};

use crate::metrics::{counters, durations_by};

const OPERATIONS: [&str; 4] = ["put", "get", "delete", "declare"];

/// What is counted of registrations and of the store, whichever it is.
#[derive(Clone)]
pub(super) struct StoreMetrics {
    operations: IntCounterVec,
    durations: HistogramVec,
}

impl StoreMetrics {
    pub(super) fn new(registry: &Registry) -> StoreMetrics {
        let operations = counters(
            registry,
            "inventor_store_operations_total",
            "Store operations by outcome.",
            &["operation", "outcome"],
        );
        let durations = durations_by(
            registry,
            "inventor_store_operation_duration_seconds",
            "Duration of store operations in seconds.",
            &["operation"],
        );
        // They stand there from the start: an alert on something that is not there sees nothing.
        for operation in OPERATIONS {
            durations.with_label_values(&[operation]);
            for outcome in ["ok", "error"] {
                operations.with_label_values(&[operation, outcome]);
            }
        }
        StoreMetrics { operations, durations }
    }

    /// Runs an operation, counts it and takes its time.
    pub(super) fn observe<T, E>(&self, operation: &str, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let start = Instant::now();
        let result = run();
        self.durations.with_label_values(&[operation]).observe(start.elapsed().as_secs_f64());
        let outcome = if result.is_ok() { "ok" } else { "error" };
        self.operations.with_label_values(&[operation, outcome]).inc();
        result
    }
}
