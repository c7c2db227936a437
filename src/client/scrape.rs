//! How a target is to be scraped: flags that become the labels by which Prometheus can be told so, checked as it would.

use std::collections::BTreeMap;

use super::Failure;
use crate::config::commands::RegisterCommand;
use crate::config::parse_duration;

/// Adds the labels that these flags stand for.
pub(super) fn add_labels(declaration: &RegisterCommand, labels: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    let named = [
        ("__scheme__", declaration.scheme.as_ref()),
        ("__metrics_path__", declaration.path.as_ref()),
        ("__scrape_interval__", declaration.scrape_interval.as_ref().or(declaration.old_interval.as_ref())),
        ("__scrape_timeout__", declaration.scrape_timeout.as_ref().or(declaration.old_timeout.as_ref())),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    let parameters = declaration.params.iter().map(|(name, value)| (format!("__param_{name}"), value.clone()));
    for (name, value) in named.chain(parameters) {
        if let Some(other) = labels.insert(name.clone(), value.clone()).filter(|other| *other != value) {
            return Err(Failure::Usage(format!("{name} is given twice, as {other:?} and as {value:?}")));
        }
    }
    check(labels).map_err(|text| Failure::Usage(by_flag(&text)))
}

/// The message by the flag that was given, rather than by the label that it becomes.
fn by_flag(text: &str) -> String {
    let flags = [
        ("__scheme__", "--scheme"),
        ("__metrics_path__", "--path"),
        ("__scrape_interval__", "--scrape-interval"),
        ("__scrape_timeout__", "--scrape-timeout"),
    ];
    flags.iter().fold(text.to_owned(), |text, (label, flag)| text.replace(label, flag))
}

/// What Prometheus would say of these labels.
pub(super) fn check(labels: &BTreeMap<String, String>) -> Result<(), String> {
    let wrong = |name: &str, value: &str, expected: &str| Err(format!("{name}={value:?}: expected {expected}"));
    let label = |name| labels.get(name).map(String::as_str);
    if let Some(scheme) = label("__scheme__").filter(|scheme| !["http", "https"].contains(scheme)) {
        return wrong("__scheme__", scheme, "http or https");
    }
    if let Some(path) = label("__metrics_path__").filter(|path| !path.starts_with('/') || path.contains('?')) {
        return wrong("__metrics_path__", path, "a path such as /metrics; parameters are labels of their own, --param");
    }
    let duration = |name| label(name).map(|text| (text, parse_duration(text).filter(|duration| !duration.is_zero())));
    let (interval, timeout) = (duration("__scrape_interval__"), duration("__scrape_timeout__"));
    for (name, given) in [("__scrape_interval__", interval), ("__scrape_timeout__", timeout)] {
        if let Some((text, None)) = given {
            return wrong(name, text, "a duration such as 30s or 1m30s, not 0");
        }
    }
    match (interval, timeout) {
        (Some((_, interval)), Some((text, timeout))) if timeout > interval => {
            wrong("__scrape_timeout__", text, "no more than __scrape_interval__")
        }
        _ => Ok(()),
    }
}
