//! How metrics are made and registered. Modules that measure something register metrics of their own.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Seconds, from a poll answered from memory to the slowest reader of a long list.
const DURATION_BUCKETS: [f64; 11] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Registers a metric. A wrong or repeated name is a mistake in this program; the first start shows it.
#[allow(clippy::expect_used)]
pub fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("metric names are constants and valid");
    registry.register(Box::new(metric.clone())).expect("each metric is registered once");
    metric
}

pub fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name, help))
}

pub fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

/// Counters told apart by one label. All series exist from the start, so that their first increase is seen.
pub fn counters_by(registry: &Registry, name: &str, help: &str, label: &str, values: &[&str]) -> IntCounterVec {
    let counters = counters(registry, name, help, &[label]);
    values.iter().for_each(|value| drop(counters.with_label_values(&[value])));
    counters
}

pub fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

pub fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

pub fn seconds(registry: &Registry, name: &str, help: &str) -> Gauge {
    register(registry, Gauge::new(name, help))
}

/// A histogram of seconds.
pub fn durations(registry: &Registry, name: &str, help: &str) -> Histogram {
    histogram(registry, name, help, &DURATION_BUCKETS)
}

pub fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    register(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

pub fn durations_by(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    register(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec()), labels))
}

/// A registry with the metrics of the process and of the build.
pub fn new_registry() -> Registry {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        // Names cannot clash in an empty registry.
        let _ = registry.register(Box::new(process));
    }
    let labels = ["version", "revision"];
    let info: GaugeVec =
        register(&registry, GaugeVec::new(Opts::new("inventor_build_info", "The running build; always 1."), &labels));
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision()]).set(1.0);
    registry
}

/// The source revision given at build time by `INVENTOR_REVISION`.
pub fn revision() -> &'static str {
    option_env!("INVENTOR_REVISION").unwrap_or("unknown")
}
