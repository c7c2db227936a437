//! The tools of the handlers: the registry, the tokens, the options, the audit line, and the metrics of answered
//! requests.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use log::kv::Value;
use log::{Level, Record, error};
use parking_lot::Mutex;
use prometheus::{HistogramVec, IntCounterVec};

use super::auth::{Caller, Tokens};
use super::pollers::{CLIENTS, Pollers};
use super::request::Request;
use super::response::{Errors, Problem, Response};
use crate::logging::Throttle;
use crate::metrics::{counters, counters_by, durations_by};
use crate::registration::{Invalid, InvalidKind, TtlBounds};
use crate::registry::{Principal, Registry};
use crate::store::StoreError;
use crate::turns::{Turn, Turns};

/// The size from which an answer is made in turn, the number of such turns, and the longest wait for one.
const LARGE_ANSWER_BYTES_MIN: usize = 1024 * 1024;
const LARGE_ANSWERS_MAX: usize = 1;
const LARGE_ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

pub struct App {
    pub(super) registry: Arc<Registry>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) options: Options,
    pub(super) metrics: HttpMetrics,
    /// The metrics that are kept all the time.
    pub(super) exposition: prometheus::Registry,
    /// Locked while somebody reads `/metrics`.
    pub(super) scrape: Mutex<()>,
    pub(super) forbidden: Throttle,
    pub(super) failures: Throttle,
    pub(super) pollers: Pollers,
    /// Turns for large answers that cannot be cut into pages.
    large_answers: Arc<Turns>,
    pub(super) started_at: SystemTime,
    ending: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The lifetimes that a registration may ask for.
    pub ttls: TtlBounds,
    pub store: &'static str,
    pub target_info: bool,
    /// Whether everybody may read `/metrics`.
    pub open_metrics: bool,
    /// Whether `/` shows the page.
    pub page: bool,
}

pub(super) struct Call<'a> {
    pub(super) request: &'a Request,
    pub(super) caller: Caller,
    /// The decoded variable segment of the path; empty if the route has none.
    pub(super) segment: String,
    pub(super) errors: Errors,
}

impl Call<'_> {
    /// The writer: the name of the token and the address for the list of changes, and the groups that the token may
    /// change.
    pub(super) fn writer(&self) -> Principal {
        let name =
            [self.caller.name(), Some(self.request.address())].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Principal { name: name.into(), scope: self.caller.writes().clone() }
    }

    /// Writes the audit line of a write, whatever its outcome, so that it is later known who did it: client, action,
    /// object and outcome.
    pub(super) fn written(&self, action: &str, details: &[(&str, &dyn Display)], outcome: &str) {
        let mut pairs = vec![("client", Value::from(self.request.client.as_str())), ("action", Value::from(action))];
        pairs.extend(self.caller.name().map(|name| ("token", Value::from(name))));
        pairs.extend(details.iter().map(|(name, value)| (*name, Value::from_dyn_display(value))));
        pairs.push(("outcome", Value::from(outcome)));
        let mut line = Record::builder();
        line.level(Level::Info).target(module_path!()).module_path_static(Some(module_path!()));
        log::logger().log(&line.key_values(&pairs.as_slice()).args(format_args!("write")).build());
    }

    /// Logs a write that was refused because of its content. Returns the answer.
    pub(super) fn refused(&self, action: &str, invalid: &Invalid) -> Response {
        self.written(action, &[("reason", invalid)], "refused");
        Response::error(400, invalid)
    }
}

impl App {
    /// The handlers of a registry, with their metrics in `exposition`, which `/metrics` shows.
    pub fn new(
        registry: Arc<Registry>,
        tokens: Arc<Tokens>,
        options: Options,
        exposition: prometheus::Registry,
    ) -> App {
        App {
            registry,
            tokens,
            options,
            metrics: HttpMetrics::new(&exposition),
            exposition,
            scrape: Mutex::new(()),
            forbidden: Throttle::default(),
            failures: Throttle::default(),
            pollers: Pollers::default(),
            large_answers: Turns::new(LARGE_ANSWERS_MAX),
            started_at: SystemTime::now(),
            ending: AtomicBool::new(false),
        }
    }

    /// The server reports from now on that it is not ready.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// The turn to make an answer of about this many bytes, if that is large.
    pub(super) fn large_answer(&self, bytes: usize) -> Result<Option<Turn>, Problem> {
        if bytes < LARGE_ANSWER_BYTES_MIN {
            return Ok(None);
        }
        let turn = self.large_answers.take(LARGE_ANSWER_WAIT_MAX);
        turn.map(Some).ok_or_else(|| Problem::new(503, "other answers as large as this are being made; try again"))
    }

    /// Logs that the store failed, at most one line a second, because an outage concerns every request. Returns the
    /// answer.
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

/// The metrics of the requests that handlers answer.
pub(super) struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    pub(super) refused: IntCounterVec,
    pub(super) polls: IntCounterVec,
}

impl HttpMetrics {
    pub(super) fn new(registry: &prometheus::Registry) -> HttpMetrics {
        HttpMetrics {
            requests: counters(
                registry,
                "inventor_http_requests_total",
                "Requests answered by a handler.",
                &["route", "method", "status"],
            ),
            durations: durations_by(
                registry,
                "inventor_http_request_duration_seconds",
                "Time that handlers took, without the transfer of request and response.",
                &["route"],
            ),
            refused: counters_by(
                registry,
                "inventor_registrations_refused_total",
                "Registrations refused as invalid, by reason.",
                "reason",
                &InvalidKind::ALL.map(InvalidKind::as_str),
            ),
            polls: counters_by(registry, "inventor_polls_total", "Lists sent, by kind of client.", "client", &CLIENTS),
        }
    }

    pub(super) fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.durations.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
