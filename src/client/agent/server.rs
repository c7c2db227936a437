//! The agent's side of the server: what its answers mean for what is done next, how long it is left alone when it
//! does not give any, and how what it refuses is logged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use log::{error, info, warn};

use super::schedule::{Time, UNKNOWN_RENEWED, now};
use crate::client::answer::Answer;
use crate::client::api::{TARGET, of_target};
use crate::client::connection::{Api, ApiCall, Method};
use crate::client::{Entry, Failure};
use crate::logging::News;
use crate::registration::{TargetId, Ttl, parse_id};

/// The first and the longest pause after the server did not answer. Each is cut by up to a half at random, so that
/// hosts that lost it together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where the server says how long they live.
const STATUS: &str = "/api/v1/status";

/// What the server says of its default lifetime is believed for so long.
const LIFETIME_BELIEVED: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// The server does not have it as it is.
    Refused(String),
    /// The server may have it once the token, or what it may do, has changed.
    Unauthorised(String),
    /// No answer, one that says that the server has failed, or one that no server of registrations gives.
    Unavailable,
}

pub(super) struct KnownServer {
    pub(super) connection: Api,
    failures: u32,
    /// When it may be asked again.
    pub(super) not_before: Time,
    /// How long registrations live that do not ask for a lifetime, as far as it is known.
    pub(super) lifetime: Option<Ttl>,
    /// When the server was last asked for its default lifetime.
    asked: Option<Time>,
    told_unknown: bool,
    fault: News,
}

impl KnownServer {
    pub(super) fn new(connection: Api) -> KnownServer {
        KnownServer {
            connection,
            failures: 0,
            not_before: Duration::ZERO,
            lifetime: None,
            asked: None,
            told_unknown: false,
            fault: News::default(),
        }
    }

    pub(super) fn put(&mut self, entry: &Entry) -> Verdict {
        let answer = self.connection.put(entry);
        // Whatever else answers with JSON does not know the id.
        let is_registered = |answer: &Answer| answer.status == 200 && registered_id(answer) == Some(entry.id());
        self.judge(answer, is_registered)
    }

    /// Deletes; that it is not there is as good.
    pub(super) fn delete(&mut self, id: TargetId) -> Verdict {
        let answer = self.connection.send(&of_target(Method::DELETE, id));
        self.judge(answer, |answer| [200, 404].contains(&answer.status))
    }

    /// Whether it is registered already. Not knowing is no: then its exporter is asked again.
    pub(super) fn knows(&self, id: TargetId) -> bool {
        let answer = self.connection.send(&of_target(Method::GET, id));
        answer.is_ok_and(|answer| answer.status == 200 && answer.is_ours(TARGET))
    }

    fn judge(&mut self, answer: Result<Answer, String>, is_done: impl Fn(&Answer) -> bool) -> Verdict {
        let answer = match answer {
            Ok(answer) => answer,
            Err(e) => return self.is_unavailable(&e),
        };
        let reason = format!("{}: {}", answer.status, answer.reason().replace("\n  ", "; "));
        match answer.status {
            200..=499 if !answer.is_ours(TARGET) => {
                let url = &self.connection.url;
                self.is_unavailable(&format!("what answers at {url} is no inventor: {reason}"))
            }
            _ if is_done(&answer) => {
                self.answers_again();
                Verdict::Done
            }
            401 | 403 => {
                self.answers_again();
                Verdict::Unauthorised(reason)
            }
            400..=499 if ![408, 429].contains(&answer.status) => {
                self.answers_again();
                Verdict::Refused(reason)
            }
            _ => self.is_unavailable(&format!("{} answers {reason}", &self.connection.url)),
        }
    }

    fn is_unavailable(&mut self, reason: &str) -> Verdict {
        if self.failures == 0 {
            warn!(reason; "the server does not answer; trying again until it does");
        }
        Verdict::Unavailable
    }

    fn answers_again(&mut self) {
        if self.failures > 0 {
            info!(tries = self.failures; "the server answers again");
            // It may be another one.
            self.asked = None;
        }
        (self.failures, self.not_before) = (0, Duration::ZERO);
    }

    /// Leaves the server alone for a while, though never for longer than between two renewals.
    pub(super) fn back_off(&mut self, shortest_interval: Option<Duration>) {
        let longest = PAUSE_MAX.min(shortest_interval.unwrap_or(PAUSE_MAX));
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now() + pause.mul_f64(1.0 - 0.5 * fastrand::f64());
    }

    pub(super) fn is_away(&self) -> bool {
        self.failures > 0
    }

    /// The lifetime of what asks for none; the server is asked for it if the last answer is old.
    pub(super) fn default_lifetime(&mut self) -> Option<Ttl> {
        if self.asked.is_none_or(|asked| now() >= asked + LIFETIME_BELIEVED) {
            self.asked = Some(now());
            // Without an answer of the server what is known stays: it was there a moment ago.
            match self.connection.send(&ApiCall::get(STATUS)) {
                Ok(answer) if answer.status == 200 && answer.is_ours(STATUS) => {
                    self.lifetime = said(&answer).or(self.lifetime);
                }
                // The Go program has another life than what was asked before.
                Ok(answer) if answer.is_unknown_path() => self.lifetime = None,
                _ => {}
            }
        }
        if self.lifetime.is_none() && !self.told_unknown {
            self.told_unknown = true;
            let interval = UNKNOWN_RENEWED.as_secs();
            warn!(interval_seconds = interval; "the server does not say how long registrations live; --ttl can say it");
        }
        self.lifetime
    }

    /// Goes on with what the files of token and certificates say now; whether the token is another one.
    pub(super) fn take(&mut self, read: Result<Api, Failure>) -> bool {
        match read {
            Ok(connection) => {
                self.fault.is_over();
                let is_other = self.connection.token != connection.token;
                self.connection = connection;
                is_other
            }
            Err(e) => {
                if self.fault.is(&e.to_string()) {
                    warn!(reason:% = e; "the token stays as it is, and so do the certificates");
                }
                false
            }
        }
    }
}

/// How long registrations live that ask for no lifetime, if it is a number that the server can mean.
fn said(answer: &Answer) -> Option<Ttl> {
    let seconds = answer.json()["default_ttl_seconds"].as_u64();
    seconds.filter(|seconds| *seconds <= Ttl::SECONDS_MAX).map(Ttl::from_seconds)
}

fn registered_id(answer: &Answer) -> Option<TargetId> {
    parse_id(answer.json()["id"].as_str()?).ok()
}

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

/// Refusals that have not been told yet: one line for each cause, since a wrong token refuses a thousand registrations.
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
