//! What is logged, and how: the same for the server and the agent.

use super::error::ConfigError;
use super::values::Values;
use super::variables::{LOG_FORMAT, RUST_LOG};
use crate::logging::{Format, Logging};

pub(super) fn settings(values: &Values) -> Result<Logging, ConfigError> {
    Ok(Logging {
        filter: values.required(RUST_LOG, "a level such as info, or a filter such as warn,inventor=debug", filter)?,
        format: values.required(LOG_FORMAT, "logfmt or json", format)?,
    })
}

fn format(text: &str) -> Option<Format> {
    match text {
        "logfmt" => Some(Format::Logfmt),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// A filter that `env_logger` takes. It takes any word for the name of a module, and then logs nothing else: a mistyped
/// level must not do that.
fn filter(text: &str) -> Option<String> {
    let words = text.split('/').next().unwrap_or_default();
    let known =
        |word: &str| word.contains('=') || word.starts_with("inventor") || word.parse::<log::LevelFilter>().is_ok();
    let valid = words.split(',').all(|word| known(word.trim())) && env_filter::Builder::new().try_parse(text).is_ok();
    valid.then(|| text.to_owned())
}
