//! The one route table: which paths there are, who may use them, and what answers. Every request comes in here.

use std::time::Instant;

use log::{debug, warn};

use super::api::{changes, declared, groups, openapi, problems, registrations, status};
use super::app::{App, Call};
use super::auth::{Caller, Denied};
use super::problem::{Problem, is_new};
use super::query::percent_decode;
use super::request::Request;
use super::response::Response;
use super::server::{BodyLimit, Handler};
use super::{discovery, exposition, operations, page, targets};

/// Answers a request. An error is a response as well: the way out of a handler is `?`.
type Handle = fn(&App, &Call<'_>) -> Result<Response, Response>;

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
    handle: Handle,
    takes_large_bodies: bool,
}

const fn operation(method: &'static str, guard: Guard, handle: Handle) -> Operation {
    Operation { method, guard, handle, takes_large_bodies: false }
}

/// The method of an operation that does not look at it.
const ANY: &str = "*";

const ANY_METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"];

const TARGET: &str = "/target";

const ROUTES: &[Route] = &[
    Route { path: "/", name: "page", operations: &[operation("GET", Guard::Open, page::index)] },
    Route { path: "/ui/{file}", name: "page", operations: &[operation("GET", Guard::Open, page::asset)] },
    Route { path: "/discover", name: "discover", operations: &[operation("GET", Guard::Read, discovery::discover)] },
    Route { path: "/group", name: "group", operations: &[operation("GET", Guard::Read, discovery::group)] },
    Route { path: "/sd", name: "sd", operations: &[operation("GET", Guard::Read, discovery::sd)] },
    Route {
        path: TARGET,
        name: "target",
        operations: &[
            operation("GET", Guard::Write, targets::get),
            operation("PUT", Guard::Write, targets::put),
            operation("DELETE", Guard::Write, targets::delete),
        ],
    },
    Route {
        path: "/api/v1/registrations",
        name: "registrations",
        operations: &[operation("GET", Guard::Read, registrations::list)],
    },
    Route {
        path: "/api/v1/registrations/{id}",
        name: "registration",
        operations: &[
            operation("GET", Guard::Read, registrations::get),
            operation("DELETE", Guard::Write, registrations::delete),
        ],
    },
    Route { path: "/api/v1/groups", name: "groups", operations: &[operation("GET", Guard::Read, groups::list)] },
    Route {
        path: "/api/v1/groups/{name}",
        name: "declared_group",
        operations: &[
            operation("GET", Guard::Read, groups::get),
            Operation { takes_large_bodies: true, ..operation("PUT", Guard::Write, declared::put) },
            operation("DELETE", Guard::Write, declared::delete),
        ],
    },
    Route { path: "/api/v1/status", name: "status", operations: &[operation("GET", Guard::Read, status::get)] },
    Route { path: "/api/v1/pollers", name: "pollers", operations: &[operation("GET", Guard::Read, problems::pollers)] },
    Route { path: "/api/v1/changes", name: "changes", operations: &[operation("GET", Guard::Read, changes::list)] },
    Route {
        path: "/api/v1/quarantine",
        name: "quarantine",
        operations: &[operation("GET", Guard::Read, problems::quarantine)],
    },
    Route {
        path: "/api/v1/duplicates",
        name: "duplicates",
        operations: &[operation("GET", Guard::Read, problems::duplicates)],
    },
    Route { path: "/openapi.json", name: "openapi", operations: &[operation("GET", Guard::Open, openapi::get)] },
    Route { path: "/metrics", name: "metrics", operations: &[operation("GET", Guard::Open, exposition::metrics)] },
    Route { path: "/healthcheck", name: "health", operations: &[operation(ANY, Guard::Open, operations::healthy)] },
    Route { path: "/-/healthy", name: "health", operations: &[operation("GET", Guard::Open, operations::healthy)] },
    Route { path: "/-/ready", name: "ready", operations: &[operation("GET", Guard::Open, operations::ready)] },
];

/// All paths and their methods, for the description of the API. GET stands for HEAD as well.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let operations =
        ROUTES.iter().flat_map(|route| route.operations.iter().map(|operation| (route.path, operation.method)));
    operations.flat_map(|(path, method)| {
        let methods = if method == ANY { ANY_METHODS.to_vec() } else { vec![method] };
        methods.into_iter().map(move |method| (path, method))
    })
}

/// The paths that Prometheus polls.
const LISTS: &[&str] = &["/discover", "/group", "/sd"];

/// The methods that metrics tell apart; any other counts as `other`.
const METHODS: &[&str] = &["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"];

impl Handler for App {
    fn may_wait(&self, request: &Request) -> bool {
        request.path == TARGET || (is_new(&request.path) && !matches!(request.method.as_str(), "GET" | "HEAD"))
    }

    fn handle(&self, request: &Request) -> Response {
        let start = Instant::now();
        let found = ROUTES.iter().find_map(|route| Some((route, route.open_segment(&request.path)?)));
        let response = match found {
            Some((route, segment)) => self.follow(route, segment, request).unwrap_or_else(|error| error),
            None if is_new(&request.path) => Problem::not_found("there is no such path").into(),
            None => Response::error(404, "404 page not found"),
        };
        let is_poll = found.is_some_and(|(route, _)| LISTS.contains(&route.path));
        if is_poll && !matches!(response.status, 400..500) {
            self.pollers.saw(request, response.status, self.now().wall);
        }
        let name = found.map_or("other", |(route, _)| route.name);
        let method = METHODS.iter().find(|method| **method == request.method).unwrap_or(&"other");
        self.metrics.answered(name, method, response.status, start.elapsed());
        let status = response.status;
        debug!(client = request.client, method = request.method, path = request.path, status; "request");
        response
    }

    /// A whole group may be a large body, if the token has the right: nobody else's is read to its end.
    fn body_limit(&self, request: &Request) -> BodyLimit {
        let found = ROUTES.iter().find_map(|route| Some((route, route.open_segment(&request.path)?)));
        let Some((route, segment)) = found else { return BodyLimit::Ordinary };
        if !route.operations.iter().any(|operation| operation.takes_large_bodies && operation.takes(&request.method)) {
            return BodyLimit::Ordinary;
        }
        let allowed =
            self.call(route, segment, request).and_then(|call| declared::check_right(&call).map_err(Response::from));
        allowed.map_or_else(BodyLimit::Refused, |()| BodyLimit::Large)
    }
}

impl App {
    fn follow(&self, route: &Route, segment: &str, request: &Request) -> Result<Response, Response> {
        let call = self.call(route, segment, request)?;
        match route.operation(&request.method) {
            Some(operation) => (operation.handle)(self, &call),
            None => Err(route.no_such_method()),
        }
    }

    /// The request with who sent it, if it may be answered at all.
    fn call<'a>(&self, route: &Route, segment: &str, request: &'a Request) -> Result<Call<'a>, Response> {
        let operation = route.operation(&request.method).or(route.operations.first());
        let caller = self.admit(operation.map_or(Guard::Open, |operation| operation.guard), route, request)?;
        let segment = percent_decode(segment)
            .ok_or_else(|| Problem::bad_request("the last segment of the path is not percent-encoded UTF-8"))?;
        Ok(Call { request, caller, segment })
    }

    fn admit(&self, guard: Guard, route: &Route, request: &Request) -> Result<Caller, Response> {
        let caller = match guard {
            Guard::Open => Ok(self.tokens.anybody()),
            Guard::Read => self.tokens.reader(request, is_new(route.path)),
            Guard::Write => self.tokens.writer(request),
        };
        caller.map_err(|denied| {
            if let Some(events) = self.forbidden.admit() {
                warn!(client = request.client, method = request.method, path = route.path, events; "token missing or wrong");
            }
            match denied {
                _ if !is_new(route.path) => Response::bare(403, "FORBIDDEN"),
                Denied::Unknown => Problem::new(401, "a token is needed, and none that is known was sent").into(),
                Denied::Forbidden => Problem::new(403, "this token is for reading only").into(),
            }
        })
    }
}

impl Operation {
    fn takes(&self, method: &str) -> bool {
        self.method == ANY || self.method == method || (self.method == "GET" && method == "HEAD")
    }
}

impl Route {
    fn operation(&self, method: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|operation| operation.takes(method))
    }

    /// What a path has in the place of the segment that the route leaves open, if the path is one of this route;
    /// nothing where it leaves none open.
    fn open_segment<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.path.split_once('{') {
            None => (path == self.path).then_some(""),
            Some((before, _)) => path.strip_prefix(before).filter(|rest| !rest.is_empty() && !rest.contains('/')),
        }
    }

    fn no_such_method(&self) -> Response {
        let response = match is_new(self.path) {
            true => Problem::new(405, "the path does not have this method").into(),
            false => Response::bare(405, "METHOD NOT ALLOWED"),
        };
        response.with_header("Allow", self.allow())
    }

    /// The methods that the path has, for `Allow`.
    fn allow(&self) -> String {
        let methods = self.operations.iter().map(|operation| operation.method);
        methods.map(|method| if method == "GET" { "GET, HEAD" } else { method }).collect::<Vec<_>>().join(", ")
    }
}
