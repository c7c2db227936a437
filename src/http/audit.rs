//! The audit line: one for each write, whatever came of it, so that somebody can later say who did it.

use std::fmt::Display;

use log::kv::Value;
use log::{Level, Record, error};

use super::app::{App, Call};
use super::problem::{Errors, Problem};
use super::response::Response;
use crate::registration::Invalid;
use crate::store::StoreError;

/// Writes the line of a write: who, what, to what, and the outcome.
pub(super) fn written(call: &Call<'_>, action: &str, details: &[(&str, &dyn Display)], outcome: &str) {
    let mut pairs = vec![("client", Value::from(call.request.client.as_str())), ("action", Value::from(action))];
    pairs.extend(call.caller.name().map(|name| ("token", Value::from(name))));
    pairs.extend(details.iter().map(|(name, value)| (*name, Value::from_dyn_display(value))));
    pairs.push(("outcome", Value::from(outcome)));
    let mut line = Record::builder();
    line.level(Level::Info).target(module_path!()).module_path_static(Some(module_path!()));
    log::logger().log(&line.key_values(&pairs.as_slice()).args(format_args!("write")).build());
}

/// The line of a write that was refused because of what it says, and the answer.
pub(super) fn refused(call: &Call<'_>, action: &str, invalid: &Invalid) -> Response {
    written(call, action, &[("reason", invalid)], "refused");
    Response::error(400, invalid)
}

impl App {
    /// The line and the answer when the store did not do it. In an outage that is every request: one line a second is
    /// logged.
    pub(super) fn failed(&self, call: &Call<'_>, what: &dyn Display, error: StoreError) -> Response {
        if let Some(events) = self.failures.admit() {
            let (client, method) = (call.request.client.as_str(), call.request.method.as_str());
            error!(client, method, what:% = what, reason:% = error, events; "request failed");
        }
        let text = match error {
            StoreError::Unavailable(_) => "the store is unavailable; a write may or may not have happened",
            StoreError::Busy(_) => "the store has no time for this write; nothing was changed",
            StoreError::Unsupported(_) => "the store does not take this kind of write; the server's log says why",
        };
        match call.errors {
            Errors::Problem => Problem::new(503, text).into(),
            Errors::Text => Response::unavailable(text),
        }
    }
}
