//! What the handlers work with: the registry, the tokens, the metrics, and what the configuration says to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::auth::{Caller, Tokens};
use super::bodies::Bodies;
use super::gauges::Gauges;
use super::metrics::HttpMetrics;
use super::pollers::Pollers;
use super::problem::{Errors, Problem};
use super::request::Request;
use super::turns::{Turn, Turns};
use crate::logging::Throttle;
use crate::registration::{LabelNames, TtlBounds};
use crate::registry::{Now, Principal, Registry};

/// How large an answer is that is made in turn, how many of those are made at a time, and how long others wait for that.
const LARGE_ANSWER_BYTES_MIN: usize = 1024 * 1024;
const LARGE_ANSWERS_MAX: usize = 1;
const LARGE_ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// What the handlers work with.
pub struct App {
    pub(super) registry: Arc<Registry>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) options: Options,
    pub(super) metrics: HttpMetrics,
    pub(super) gauges: Gauges,
    /// Everything that `/metrics` shows.
    pub(super) exposition: prometheus::Registry,
    pub(super) forbidden: Throttle,
    pub(super) failures: Throttle,
    pub(super) pollers: Pollers,
    pub(super) bodies: Bodies,
    /// For the answers that are large and cannot be cut into pages.
    large_answers: Arc<Turns>,
    /// Held while somebody reads `/metrics`.
    pub(super) scrape: Mutex<()>,
    pub(super) started_at: SystemTime,
    ending: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub names: LabelNames,
    /// Which lifetimes a registration may ask for.
    pub ttls: TtlBounds,
    pub store: &'static str,
    pub group_info: bool,
    pub target_info: bool,
    /// Whether `/metrics` is for everybody.
    pub open_metrics: bool,
    /// Whether `/` is a page.
    pub page: bool,
}

pub(super) struct Call<'a> {
    pub(super) request: &'a Request,
    pub(super) caller: Caller,
    /// The decoded segment of the path that the route leaves open; empty when it leaves none.
    pub(super) segment: String,
    pub(super) errors: Errors,
}

impl Call<'_> {
    /// Who writes: for the list of changes the name of the token and the address, and what the token may change.
    pub(super) fn writer(&self) -> Principal {
        let name =
            [self.caller.name(), Some(self.request.address())].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Principal { name: name.into(), scope: self.caller.writes() }
    }
}

impl App {
    /// Handlers over a registry, with their metrics in `exposition`, which `/metrics` shows.
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
            gauges: Gauges::new(&exposition),
            exposition,
            forbidden: Throttle::default(),
            failures: Throttle::default(),
            pollers: Pollers::default(),
            bodies: Bodies::default(),
            large_answers: Turns::new(LARGE_ANSWERS_MAX),
            scrape: Mutex::new(()),
            started_at: SystemTime::now(),
            ending: AtomicBool::new(false),
        }
    }

    /// From now on the server says that it is not ready.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// The turn to make an answer of about so many bytes, if that is a large one.
    pub(super) fn large_answer(&self, bytes: usize) -> Result<Option<Turn>, Problem> {
        if bytes < LARGE_ANSWER_BYTES_MIN {
            return Ok(None);
        }
        let turn = self.large_answers.take(LARGE_ANSWER_WAIT_MAX);
        turn.map(Some).ok_or_else(|| Problem::new(503, "other answers as large as this are being made; try again"))
    }

    pub(super) fn now(&self) -> Now {
        Now::read()
    }
}
