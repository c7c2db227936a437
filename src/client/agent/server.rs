//! The agent's side of the server: what its answers mean for what is done next, and how long it is left alone when it
//! does not give any.

use std::time::Duration;

use log::{info, warn};

use super::clock::{Time, now};
use super::schedule::Lifetime;
use crate::client::Entry;
use crate::client::api::id_body;
use crate::client::connection::{Answer, Call, Connection, Method, Unreachable};
use crate::registration::TargetId;

/// The first and the longest pause after the server did not answer. Each is cut by up to a half at random, so that
/// hosts that lost it together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the server says of its default lifetime is believed for so long.
const LIFETIME_BELIEVED: Duration = Duration::from_secs(60);

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// It will always be refused.
    Refused(String),
    /// It may be accepted once the token, or what it may do, has changed; or once the way leads to the server.
    Unauthorised(String),
    /// No answer, or one that says that the server has failed.
    Unavailable,
}

/// The server as the agent knows it.
pub(super) struct Server {
    connection: Connection,
    failures: u32,
    not_before: Time,
    lifetime: Lifetime,
    /// When the server was last asked for its default lifetime.
    asked: Option<Time>,
    told_unknown: bool,
    told_token: bool,
}

impl Server {
    pub(super) fn new(connection: Connection) -> Server {
        Server {
            connection,
            failures: 0,
            not_before: Duration::ZERO,
            lifetime: Lifetime::Unknown,
            asked: None,
            told_unknown: false,
            told_token: false,
        }
    }

    pub(super) fn url(&self) -> &str {
        self.connection.url()
    }

    pub(super) fn put(&mut self, entry: &Entry) -> Verdict {
        let answer = self.connection.put(entry);
        self.judge(answer, &[200])
    }

    /// Deletes; that it is not there is as good.
    pub(super) fn delete(&mut self, id: TargetId) -> Verdict {
        let body = id_body(id);
        let answer = self.connection.send(&Call::new(Method::DELETE, "/target").body(&body));
        self.judge(answer, &[200, 404])
    }

    /// Whether it is registered already. Not knowing is no: then its exporter is asked again.
    pub(super) fn knows(&self, id: TargetId) -> bool {
        let body = id_body(id);
        let answer = self.connection.send(&Call::new(Method::GET, "/target").body(&body));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    fn judge(&mut self, answer: Result<Answer, Unreachable>, done: &[u16]) -> Verdict {
        let answer = match answer {
            Ok(answer) if done.contains(&answer.status) => {
                self.answers_again();
                return Verdict::Done;
            }
            Ok(answer) => answer,
            Err(e) => return self.is_unavailable(&e.to_string()),
        };
        let reason = format!("{}: {}", answer.status, answer.reason());
        match answer.status {
            400 | 413 | 415 | 422 => {
                self.answers_again();
                Verdict::Refused(reason)
            }
            // Others than these two say that something on the way is wrong; that may be mended as well.
            300..=499 if ![408, 429].contains(&answer.status) => {
                self.answers_again();
                Verdict::Unauthorised(reason)
            }
            _ => self.is_unavailable(&format!("{} answers {reason}", self.connection.url())),
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

    /// When it may be asked again.
    pub(super) fn not_before(&self) -> Time {
        self.not_before
    }

    pub(super) fn is_away(&self) -> bool {
        self.failures > 0
    }

    /// How long registrations live that do not ask for a lifetime, as far as it is known.
    pub(super) fn known_lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The same, asked for if the last answer is old.
    pub(super) fn default_lifetime(&mut self) -> Lifetime {
        if self.asked.is_none_or(|asked| now() >= asked + LIFETIME_BELIEVED) {
            self.asked = Some(now());
            // Without an answer what is known stays: the server was there a moment ago.
            if let Ok(answer) = self.connection.send(&Call::new(Method::GET, "/api/v1/status")) {
                self.lifetime = said(&answer).map_or(Lifetime::Unknown, Lifetime::from_seconds);
            }
        }
        if self.lifetime == Lifetime::Unknown && !self.told_unknown {
            self.told_unknown = true;
            let interval = self.lifetime.interval().as_secs();
            warn!(interval_seconds = interval; "the server does not say how long registrations live; --ttl can say it");
        }
        self.lifetime
    }

    /// Reads the token again, which may have been replaced.
    pub(super) fn read_token_again(&mut self) {
        match self.connection.read_token_again() {
            Ok(()) => self.told_token = false,
            Err(e) if !self.told_token => {
                warn!(reason:% = e; "the token stays as it is");
                self.told_token = true;
            }
            Err(_) => {}
        }
    }
}

fn said(answer: &Answer) -> Option<u64> {
    let status: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    status["default_ttl_seconds"].as_u64().filter(|_| answer.status == 200)
}
