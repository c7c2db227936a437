//! The one route table: which paths there are, who may use them, and what answers. Every request comes in here.

use std::time::Instant;

use log::{debug, warn};

use super::app::{App, Call};
use super::request::Request;
use super::response::Response;
use super::{discovery, exposition, operations, page, targets};

/// Answers a request. An error is a response as well: the way out of a handler is `?`.
type Handler = fn(&App, &Call<'_>) -> Result<Response, Response>;

/// Who may use an operation.
#[derive(Clone, Copy)]
enum Guard {
    Open,
    /// Who holds a token for polls, if there is one.
    Read,
    /// Who holds a token for registrations.
    Write,
}

struct Route {
    /// One that ends in `*` stands for all that begin so.
    path: &'static str,
    /// The value of the label `route` in the metrics.
    name: &'static str,
    /// The first one's guard also stands before methods that the path does not have.
    operations: &'static [Operation],
}

struct Operation {
    /// GET answers HEAD as well.
    method: &'static str,
    guard: Guard,
    handle: Handler,
}

const fn operation(method: &'static str, guard: Guard, handle: Handler) -> Operation {
    Operation { method, guard, handle }
}

/// The method of an operation that does not look at it.
const ANY: &str = "*";

const TARGET: &str = "/target";

const ROUTES: &[Route] = &[
    Route { path: "/", name: "page", operations: &[operation("GET", Guard::Open, page::index)] },
    Route { path: "/ui/*", name: "page", operations: &[operation("GET", Guard::Open, page::asset)] },
    Route { path: "/discover", name: "discover", operations: &[operation("GET", Guard::Read, discovery::discover)] },
    Route { path: "/group", name: "group", operations: &[operation("GET", Guard::Read, discovery::group)] },
    Route {
        path: TARGET,
        name: "target",
        operations: &[
            operation("GET", Guard::Write, targets::get),
            operation("PUT", Guard::Write, targets::put),
            operation("DELETE", Guard::Write, targets::delete),
        ],
    },
    Route { path: "/metrics", name: "metrics", operations: &[operation("GET", Guard::Open, exposition::metrics)] },
    Route { path: "/healthcheck", name: "health", operations: &[operation(ANY, Guard::Open, operations::healthy)] },
    Route { path: "/-/healthy", name: "health", operations: &[operation("GET", Guard::Open, operations::healthy)] },
    Route { path: "/-/ready", name: "ready", operations: &[operation("GET", Guard::Open, operations::ready)] },
];

/// The methods that metrics tell apart; any other counts as `other`.
const METHODS: &[&str] = &["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"];

impl App {
    /// Whether answering this request may take a call to the store.
    pub fn may_wait(request: &Request) -> bool {
        request.path == TARGET
    }

    /// Answers a request.
    pub fn handle(&self, request: &Request) -> Response {
        let start = Instant::now();
        let route = ROUTES.iter().find(|route| route.has(&request.path));
        let response = match route {
            Some(route) => self.follow(route, request).unwrap_or_else(|error| error),
            None => Response::error(404, "404 page not found"),
        };
        let name = route.map_or("other", |route| route.name);
        let method = METHODS.iter().find(|method| **method == request.method).unwrap_or(&"other");
        self.metrics.answered(name, method, response.status, start.elapsed());
        let status = response.status;
        debug!(client = request.client, method = request.method, path = request.path, status; "request");
        response
    }

    fn follow(&self, route: &Route, request: &Request) -> Result<Response, Response> {
        let operation = route.operations.iter().find(|operation| operation.takes(&request.method));
        let guard = operation.or(route.operations.first()).map_or(Guard::Open, |operation| operation.guard);
        self.admit(guard, route, request)?;
        match operation {
            Some(operation) => (operation.handle)(self, &Call { request }),
            None => Err(Response::bare(405, "METHOD NOT ALLOWED").with_header("Allow", route.allow())),
        }
    }

    fn admit(&self, guard: Guard, route: &Route, request: &Request) -> Result<(), Response> {
        let allowed = match guard {
            Guard::Open => true,
            Guard::Read => self.tokens.may_read(request),
            Guard::Write => self.tokens.may_write(request),
        };
        if allowed {
            return Ok(());
        }
        if let Some(events) = self.forbidden.events() {
            warn!(client = request.client, method = request.method, path = route.path, events; "token missing or wrong");
        }
        Err(Response::bare(403, "FORBIDDEN"))
    }
}

impl Operation {
    fn takes(&self, method: &str) -> bool {
        self.method == ANY || self.method == method || (self.method == "GET" && method == "HEAD")
    }
}

impl Route {
    fn has(&self, path: &str) -> bool {
        self.path.strip_suffix('*').map_or(self.path == path, |prefix| path.starts_with(prefix))
    }

    /// The methods that the path has, for `Allow`.
    fn allow(&self) -> String {
        let methods = self.operations.iter().map(|operation| operation.method);
        methods.map(|method| if method == "GET" { "GET, HEAD" } else { method }).collect::<Vec<_>>().join(", ")
    }
}
