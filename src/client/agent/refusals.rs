//! What is refused, told in one line for each cause: a wrong token refuses a thousand registrations at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use log::error;

use super::clock::Time;

/// Refusals are collected for so long at most before they are told.
const COLLECTED_FOR: Duration = Duration::from_secs(5);

/// The most causes that are told one by one.
const CAUSES_MAX: usize = 20;

const FILES_NAMED_MAX: usize = 5;

/// Why, with what is done about it.
type Cause = (&'static str, String);

#[derive(Debug, Default)]
struct Refused {
    registrations: usize,
    files: BTreeSet<String>,
    targets: String,
}

/// What has not been told yet.
#[derive(Debug, Default)]
pub(super) struct PendingRefusals {
    causes: BTreeMap<Cause, Refused>,
    since: Option<Time>,
}

impl PendingRefusals {
    pub(super) fn add(&mut self, message: &'static str, reason: String, file: &str, targets: &str, now: Time) {
        self.since.get_or_insert(now);
        let refused = self.causes.entry((message, reason)).or_default();
        refused.registrations += 1;
        refused.files.insert(file.to_owned());
        if refused.targets.is_empty() {
            refused.targets = targets.to_owned();
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.since.map(|since| since + COLLECTED_FOR)
    }

    pub(super) fn tell(&mut self) {
        self.since = None;
        let causes = std::mem::take(&mut self.causes);
        let more: usize = causes.values().skip(CAUSES_MAX).map(|refused| refused.registrations).sum();
        for ((message, reason), Refused { registrations, files, targets }) in causes.into_iter().take(CAUSES_MAX) {
            let unnamed = files.len().saturating_sub(FILES_NAMED_MAX);
            let named = files.iter().take(FILES_NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(",");
            match (registrations, unnamed) {
                (1, _) => error!(file = named, targets, reason; "{message}"),
                (_, 0) => error!(registrations, files = named, first = targets, reason; "{message}"),
                _ => error!(registrations, files = named, more_files = unnamed, first = targets, reason; "{message}"),
            }
        }
        if more > 0 {
            error!(registrations = more; "more are refused, for other reasons");
        }
    }
}
