//! Asks whether an exporter answers, before what it exports is registered for the first time.

use std::time::Duration;

use crate::client::connection::check_url;
use crate::client::{Entry, Failure};
use crate::http_client::ProbeClient;

/// What stands for the target in the URL.
const TARGET: &str = "{target}";

/// The longest wait for an exporter's answer: nothing else is done meanwhile.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);

/// Whom to ask.
pub(super) struct Exporter {
    probe: ProbeClient,
    url: String,
}

impl Exporter {
    /// An exporter at this URL, in which `{target}` stands for the target that is to be registered.
    pub(super) fn new(url: &str) -> Result<Exporter, Failure> {
        check_url("--wait-for", &url.replace(TARGET, "localhost:1"))?;
        Ok(Exporter { probe: ProbeClient::of_urls(ANSWER_WAIT_MAX), url: url.to_owned() })
    }

    /// Whether it answers for one of these targets. Any answer but a failure of its own will do: it may want a password.
    pub(super) fn answers(&self, entry: &Entry) -> bool {
        let answers = |url: &str| self.probe.get(url).is_ok_and(|answer| answer.status() < 500);
        match self.url.contains(TARGET) {
            true => entry.targets.iter().any(|target| answers(&self.url.replace(TARGET, target))),
            false => answers(&self.url),
        }
    }
}
