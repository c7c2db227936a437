//! The server as the agent sees it: what its answers mean for the next steps, how long it is left alone when it gives
//! none, and how its refusals are logged.

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
/// hosts that lost it together do not return together.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The path at which the server says how long registrations live.
const STATUS: &str = "/api/v1/status";

/// How long the server's answer about its default lifetime is used.
const LIFETIME_BELIEVED: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// The server refuses it as it is.
    Refused(String),
    /// The server may accept it once the token or its rights have changed.
    Unauthorised(String),
    /// No answer, or an error of the server, or the answer of another program.
    Unavailable,
}

pub(super) struct KnownServer {
    pub(super) connection: Api,
    failures: u32,
    /// When it may be asked again.
    pub(super) not_before: Time,
    /// The server's default lifetime, if it is known.
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
        // Another program that answers with JSON does not know the id.
        let is_registered = |answer: &Answer| answer.status == 200 && registered_id(answer) == Some(entry.id());
        self.judge(answer, is_registered)
    }

    /// Deletes a registration. A missing one is as good.
    pub(super) fn delete(&mut self, id: TargetId) -> Verdict {
        let answer = self.connection.send(&of_target(Method::DELETE, id));
        self.judge(answer, |answer| [200, 404].contains(&answer.status))
    }

    /// Whether it is registered already; `false` if unknown, so that its exporter is asked again.
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
                self.is_unavailable(&format!("the program at {url} is not inventor: {reason}"))
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

    /// Leaves the server alone for a while, but not longer than between two renewals.
    pub(super) fn back_off(&mut self, shortest_interval: Option<Duration>) {
        let longest = PAUSE_MAX.min(shortest_interval.unwrap_or(PAUSE_MAX));
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now() + pause.mul_f64(1.0 - 0.5 * fastrand::f64());
    }

    pub(super) fn is_away(&self) -> bool {
        self.failures > 0
    }

    /// The server's default lifetime. Asks the server if its last answer is old.
    pub(super) fn default_lifetime(&mut self) -> Option<Ttl> {
        if self.asked.is_none_or(|asked| now() >= asked + LIFETIME_BELIEVED) {
            self.asked = Some(now());
            // Without an answer, the known lifetime still holds.
            match self.connection.send(&ApiCall::get(STATUS)) {
                Ok(answer) if answer.status == 200 && answer.is_ours(STATUS) => {
                    self.lifetime = said(&answer).or(self.lifetime);
                }
                // The Go program has another default than the server that was asked before.
                Ok(answer) if answer.is_unknown_path() => self.lifetime = None,
                _ => {}
            }
        }
        if self.lifetime.is_none() && !self.told_unknown {
            self.told_unknown = true;
            let interval = UNKNOWN_RENEWED.as_secs();
            warn!(interval_seconds = interval; "the server does not say how long registrations live; --ttl sets it");
        }
        self.lifetime
    }

    /// Continues with the present files of token and certificates. Returns whether the token has changed.
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

/// The default lifetime in an answer, if it is in range.
fn said(answer: &Answer) -> Option<Ttl> {
    let seconds = answer.json()["default_ttl_seconds"].as_u64();
    seconds.filter(|seconds| *seconds <= Ttl::SECONDS_MAX).map(Ttl::from_seconds)
}

fn registered_id(answer: &Answer) -> Option<TargetId> {
    parse_id(answer.json()["id"].as_str()?).ok()
}

/// How long refusals are collected before they are reported.
const COLLECTED_FOR: Duration = Duration::from_secs(5);

/// The most causes that are reported one by one.
const CAUSES_MAX: usize = 20;

const FILES_NAMED_MAX: usize = 5;

/// What the agent does about a refusal, and its reason.
type Cause = (&'static str, String);

#[derive(Debug, Default)]
struct Refused {
    registrations: usize,
    files: BTreeSet<String>,
    targets: String,
}

/// Refusals that have not been reported yet. Each cause gets one line, since a wrong token refuses a thousand
/// registrations.
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
