//! HTTP as the handlers see it: plain requests and responses, and the one route table.
//! How they travel is known to `server` and its gate alone.

mod auth;
mod discovery;
pub mod gate;
mod operations;
pub mod server;
mod targets;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use log::{debug, warn};
use prometheus::{HistogramVec, IntCounterVec};

pub use auth::{Token, TokenSets, Tokens};
use server::Handler;

use crate::logging::Throttle;
use crate::metrics;
use crate::registration::InvalidKind;
use crate::registry::{Now, Registry};
use crate::store::StoreError;

/// When a client may try again after a 503, in seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

/// A complete request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// What follows `?`, still percent-encoded; empty when there is none.
    pub query: String,
    /// Header fields in the order sent: the name in lower case, the value without blanks around it, any bytes.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; the server limits its size.
    pub body: Vec<u8>,
    /// The address of the client for the log; `unix` where it has none.
    pub client: String,
}

impl Request {
    /// The value of the first header field with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_slice())
    }
}

/// A complete response. To a HEAD request the server sends it without the body, with the same length.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further header fields. `Content-Length`, `Date` and `Connection` are the server's.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

impl Response {
    fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, content_type, headers: Vec::new(), body: Body::from(body.into()) }
    }

    /// A fixed text without a newline, as scripts know it from the Go program.
    fn bare(status: u16, text: &str) -> Response {
        Response::new(status, "text/plain", text)
    }

    /// A sentence for people, ended by a newline.
    fn error(status: u16, text: impl std::fmt::Display) -> Response {
        Response::new(status, "text/plain; charset=utf-8", format!("{text}\n"))
            .with_header("X-Content-Type-Options", "nosniff")
    }

    /// One JSON document, ended by a newline.
    fn json(mut document: Vec<u8>) -> Response {
        document.push(b'\n');
        Response::new(200, "application/json", document)
    }

    /// An outage: the client may try again. Details are for the log, they may name hosts.
    fn unavailable(text: &str) -> Response {
        Response::error(503, text).with_header("Retry-After", RETRY_AFTER_SECONDS.to_string())
    }

    fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<StoreError> for Response {
    fn from(error: StoreError) -> Response {
        match error {
            StoreError::Unavailable(_) => {
                Response::unavailable("the store is unavailable, nothing is known to be done")
            }
        }
    }
}

/// The bytes of a response, shared between all that are sending them.
#[derive(Debug, Clone, Default)]
pub struct Body {
    parts: Arc<[Arc<[u8]>]>,
    len: usize,
}

impl Body {
    /// A body of these parts in this order.
    pub fn new(parts: Arc<[Arc<[u8]>]>) -> Body {
        Body { len: parts.iter().map(|part| part.len()).sum(), parts }
    }

    /// The parts to be sent one after the other.
    pub fn parts(&self) -> &[Arc<[u8]>] {
        &self.parts
    }

    /// The length in bytes, the value of `Content-Length`.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::new([bytes.into()].into())
    }
}

/// What the handlers work with.
pub struct App {
    registry: Arc<Registry>,
    tokens: Arc<Tokens>,
    options: Options,
    metrics: HttpMetrics,
    exposition: prometheus::Registry,
    ending: AtomicBool,
    forbidden: Throttle,
    failures: Throttle,
}

/// What the configuration says to the handlers.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which label names a registration may have.
    pub names: crate::registration::LabelNames,
    /// Whether `/metrics` has a series for each target.
    pub target_info: bool,
}

struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    refused: IntCounterVec,
    polls: IntCounterVec,
    gauges: operations::Gauges,
}

/// Who may use a route.
#[derive(Clone, Copy)]
enum Guard {
    Open,
    /// The token for polls, if one is set.
    Read,
    /// The token for registrations.
    Write,
}

struct Route {
    path: &'static str,
    /// The value of the label `route` in the metrics.
    name: &'static str,
    guard: Guard,
    /// The methods it has; none means that it does not look at the method.
    methods: &'static [&'static str],
    handle: fn(&App, &Request) -> Response,
}

const TARGET: &str = "/target";

const READ: &[&str] = &["GET", "HEAD"];

const ROUTES: &[Route] = &[
    Route { path: "/discover", name: "discover", guard: Guard::Read, methods: READ, handle: discovery::discover },
    Route { path: "/group", name: "group", guard: Guard::Read, methods: READ, handle: discovery::group },
    Route {
        path: TARGET,
        name: "target",
        guard: Guard::Write,
        methods: &["GET", "PUT", "DELETE"],
        handle: targets::target,
    },
    Route { path: "/metrics", name: "metrics", guard: Guard::Open, methods: READ, handle: operations::metrics },
    Route { path: "/healthcheck", name: "health", guard: Guard::Open, methods: &[], handle: operations::healthcheck },
    Route { path: "/-/healthy", name: "health", guard: Guard::Open, methods: READ, handle: operations::healthcheck },
    Route { path: "/-/ready", name: "ready", guard: Guard::Open, methods: READ, handle: operations::ready },
];

/// The methods that metrics tell apart; any other counts as `other`.
const METHODS: &[&str] = &["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"];

impl App {
    /// Handlers over a registry, with their metrics in `exposition`, which `/metrics` shows.
    pub fn new(
        registry: Arc<Registry>,
        tokens: Arc<Tokens>,
        options: Options,
        exposition: prometheus::Registry,
    ) -> App {
        let metrics = HttpMetrics::new(&exposition);
        App {
            registry,
            tokens,
            options,
            metrics,
            exposition,
            ending: AtomicBool::new(false),
            forbidden: Throttle::default(),
            failures: Throttle::default(),
        }
    }

    /// From now on the server says that it is not ready.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    fn follow(&self, route: &Route, request: &Request) -> Response {
        let allowed = match route.guard {
            Guard::Open => true,
            Guard::Read => self.tokens.may_read(request),
            Guard::Write => self.tokens.may_write(request),
        };
        if !allowed {
            if let Some(events) = self.forbidden.admit() {
                warn!(client = request.client, method = request.method, path = route.path, events; "token missing or wrong");
            }
            return Response::bare(403, "FORBIDDEN");
        }
        if !route.methods.is_empty() && !route.methods.contains(&request.method.as_str()) {
            return Response::bare(405, "METHOD NOT ALLOWED").with_header("Allow", route.methods.join(", "));
        }
        (route.handle)(self, request)
    }

    fn now(&self) -> Now {
        Now::read()
    }
}

impl Handler for App {
    fn may_wait(&self, request: &Request) -> bool {
        request.path == TARGET
    }

    fn handle(&self, request: &Request) -> Response {
        let start = Instant::now();
        let route = ROUTES.iter().find(|route| route.path == request.path);
        let response = match route {
            Some(route) => self.follow(route, request),
            None => Response::error(404, "404 page not found"),
        };
        let name = route.map_or("other", |route| route.name);
        let method = METHODS.iter().find(|method| **method == request.method).unwrap_or(&"other");
        let status = response.status.to_string();
        self.metrics.requests.with_label_values(&[name, method, status.as_str()]).inc();
        self.metrics.durations.with_label_values(&[name]).observe(start.elapsed().as_secs_f64());
        debug!(client = request.client, method = request.method, path = request.path, status = status; "request");
        response
    }
}

impl HttpMetrics {
    fn new(registry: &prometheus::Registry) -> HttpMetrics {
        let refused = metrics::counters(
            registry,
            "inventor_registrations_refused_total",
            "Registrations refused because of what they say, by reason.",
            &["reason"],
        );
        for kind in InvalidKind::ALL {
            refused.with_label_values(&[kind.as_str()]);
        }
        let polls = metrics::counters(
            registry,
            "inventor_polls_total",
            "Lists sent, by what the client calls itself.",
            &["client"],
        );
        for client in discovery::CLIENTS {
            polls.with_label_values(&[client]);
        }
        HttpMetrics {
            requests: metrics::counters(
                registry,
                "inventor_http_requests_total",
                "Requests answered by a handler.",
                &["route", "method", "status"],
            ),
            durations: metrics::durations_by(
                registry,
                "inventor_http_request_duration_seconds",
                "How long handlers took, without the way of the bytes.",
                &["route"],
            ),
            refused,
            polls,
            gauges: operations::Gauges::new(registry),
        }
    }
}
