//! How a target is to be scraped: flags that become the labels by which Prometheus can be told so.

use std::collections::BTreeMap;

use super::Failure;
use crate::config::commands::RegisterCommand;

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
    Ok(())
}

/// The message by the flags that can be given, rather than by the labels that they become.
pub(super) fn by_flag(text: &str) -> String {
    let flags = [
        ("__param_NAME", "--param"),
        ("__scheme__", "--scheme"),
        ("__metrics_path__", "--path"),
        ("__scrape_interval__", "--scrape-interval"),
        ("__scrape_timeout__", "--scrape-timeout"),
    ];
    flags.iter().fold(text.to_owned(), |text, (label, flag)| text.replace(label, flag))
}
