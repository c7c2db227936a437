//! The metrics of registrations, and of operations on a store of either kind.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec, Registry};

use super::change_log::Action;
use crate::metrics::{counters, durations_by};

const OPERATIONS: [&str; 4] = ["put", "get", "delete", "declare"];

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
        // All series exist from the start: an alert on a missing series never fires.
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

/// How many groups are counted separately, in the order in which they appear. The others are counted together.
const GROUPS_COUNTED_MAX: usize = 1000;

/// The longest name of a group that metrics show, in bytes: they keep every name that they have shown.
const SHOWN_NAME_BYTES_MAX: usize = 256;

/// The label value for the other groups.
const OTHERS: &str = "(others)";

/// Whether metrics may show this name. Registrations may have names of tens of kilobytes.
pub(super) fn is_shown(group: &str) -> bool {
    group.len() <= SHOWN_NAME_BYTES_MAX
}

/// Counts the registrations that have left the lists, by group. A target that vanishes from Prometheus takes its `up`
/// with it, and only these counters tell whether it was deleted or expired.
#[derive(Debug)]
pub(super) struct Departures {
    expired: IntCounterVec,
    deleted: IntCounterVec,
    met: HashSet<Arc<str>>,
    groups_max: usize,
}

impl Departures {
    /// Group names that are confidential are not shown.
    pub(super) fn new(registry: &Registry, shows_groups: bool) -> Departures {
        let by_group = |name: &str, help: &str| counters(registry, name, help, &["group"]);
        let expired = by_group("inventor_registrations_expired_total", "Registrations that expired, by group.");
        let deleted = by_group("inventor_registrations_deleted_total", "Registrations that were deleted, by group.");
        let groups_max = if shows_groups { GROUPS_COUNTED_MAX } else { 0 };
        let departures = Departures { expired, deleted, met: HashSet::new(), groups_max };
        departures.begin(OTHERS);
        departures
    }

    /// Starts the counters of this group at 0: an increase shows only in a series that existed before.
    pub(super) fn meet(&mut self, group: &Arc<str>) {
        if self.met.len() < self.groups_max && is_shown(group) && !self.met.contains(group) {
            self.begin(group);
            self.met.insert(Arc::clone(group));
        }
    }

    pub(super) fn count(&self, action: Action, group: &str) {
        let counters = match action {
            Action::Expired => &self.expired,
            Action::Deleted => &self.deleted,
            Action::Registered | Action::Changed | Action::Restored => return,
        };
        counters.with_label_values(&[if self.met.contains(group) { group } else { OTHERS }]).inc();
    }

    /// How many have expired in all groups.
    #[cfg(test)]
    pub(super) fn expired(&self) -> f64 {
        use prometheus::core::Collector;
        let families = self.expired.collect();
        families.iter().flat_map(|family| family.get_metric()).map(|metric| metric.get_counter().get_value()).sum()
    }

    fn begin(&self, group: &str) {
        self.expired.with_label_values(&[group]);
        self.deleted.with_label_values(&[group]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_groups_are_counted_apart_and_the_others_together() {
        let registry = Registry::new();
        let mut departures = Departures::new(&registry, true);
        let groups: Vec<Arc<str>> = (0..GROUPS_COUNTED_MAX + 2).map(|n| format!("{n}").into()).collect();
        for group in &groups {
            departures.meet(group);
            departures.count(Action::Expired, group);
        }
        assert_eq!(departures.expired.with_label_values(&["0"]).get(), 1);
        assert_eq!(departures.expired.with_label_values(&[OTHERS]).get(), 2);
        let series = registry.gather().iter().map(|family| family.get_metric().len()).sum::<usize>();
        assert_eq!(series, 2 * (GROUPS_COUNTED_MAX + 1));
    }

    #[test]
    fn groups_with_long_names_are_counted_with_the_others() {
        let registry = Registry::new();
        let mut departures = Departures::new(&registry, true);
        let names = [SHOWN_NAME_BYTES_MAX, SHOWN_NAME_BYTES_MAX + 1, 60_000].map(|len| Arc::from("x".repeat(len)));
        for group in &names {
            departures.meet(group);
            departures.count(Action::Deleted, group);
        }
        assert_eq!(departures.deleted.with_label_values(&[&*names[0]]).get(), 1);
        assert_eq!(departures.deleted.with_label_values(&[OTHERS]).get(), 2);
        assert_eq!(departures.met.len(), 1);
    }
}
