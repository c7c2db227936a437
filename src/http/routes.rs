//! The one route table: all paths, who may use them, where their handlers run, and the handlers. Every request comes in
//! here.

use std::time::Instant;

use log::{debug, warn};

use super::api::{diagnostics, groups, registrations, spare};
use super::app::{App, Call};
use super::auth::{Caller, Denied};
use super::gate::{Found, Handler, Runs};
use super::request::Request;
use super::response::{Errors, Problem, Response};
use super::{discovery, operations, page, targets};
use crate::registry::Now;
use crate::tokens::percent_decode;

/// Answers a request. An error is a response as well, so that a handler can return it with `?`.
type Handle = fn(&App, &Call<'_>) -> Result<Response, Response>;

/// Checks a request whose body may still be on its way.
type Check = fn(&App, &Call<'_>) -> Result<(), Response>;

#[derive(Clone, Copy)]
enum Guard {
    Open,
    /// Needs a token for polls, if there is one.
    Read,
    /// Needs a token that may read everything, if the configuration demands it.
    ReadAll,
    /// Needs a token for registrations.
    Write,
}

struct Route {
    path: &'static str,
    /// The value of the label `route` in the metrics.
    name: &'static str,
    errors: Errors,
    /// Whether Prometheus polls it, and then counts as a poller.
    is_polled: bool,
    /// Whether it only tells how the server is.
    is_probe: bool,
    /// The guard of the first one also applies to methods that the path does not have.
    operations: &'static [Operation],
}

struct Operation {
    /// GET answers HEAD as well.
    method: &'static str,
    guard: Guard,
    runs: Runs,
    handle: Handle,
    /// Whether it is refused without its body. With such a check, bodies may be large.
    check: Option<Check>,
}

const fn operation(method: &'static str, guard: Guard, runs: Runs, handle: Handle) -> Operation {
    Operation { method, guard, runs, handle, check: None }
}

/// Stands for all methods.
const ANY: &str = "*";

const ANY_METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"];

use Guard::{Open, Read, ReadAll, Write};
use Runs::{AtOnce, ByWorker, InTurn};

const ROUTES: &[Route] = &[
    Route::old("/", "page", &[operation("GET", Open, AtOnce, page::index)]),
    Route::old("/ui/{file}", "page", &[operation("GET", Open, AtOnce, page::asset)]),
    Route::old("/discover", "discover", &[operation("GET", Read, AtOnce, discovery::discover)]).polled(),
    Route::old("/group", "group", &[operation("GET", Read, AtOnce, discovery::group)]).polled(),
    Route::new("/sd", "sd", &[operation("GET", Read, AtOnce, discovery::sd)]).polled(),
    Route::old(
        "/target",
        "target",
        &[
            operation("GET", Write, ByWorker, targets::get),
            operation("PUT", Write, ByWorker, targets::put),
            operation("DELETE", Write, ByWorker, targets::delete),
        ],
    ),
    Route::new("/api/v1/registrations", "registrations", &[operation("GET", Read, InTurn, registrations::list)]),
    Route::new(
        "/api/v1/registrations/{id}",
        "registration",
        &[
            operation("GET", Read, AtOnce, registrations::get),
            operation("DELETE", Write, ByWorker, registrations::delete),
        ],
    ),
    Route::new("/api/v1/groups", "groups", &[operation("GET", Read, InTurn, groups::list)]),
    Route::new(
        "/api/v1/groups/{name}",
        "declared_group",
        &[
            operation("GET", Read, InTurn, groups::get),
            Operation { check: Some(groups::check), ..operation("PUT", Write, ByWorker, groups::put) },
            operation("DELETE", Write, ByWorker, groups::delete),
        ],
    ),
    Route::new("/api/v1/labels", "labels", &[operation("GET", Read, InTurn, registrations::label_names)]),
    Route::new(
        "/api/v1/labels/{name}/values",
        "label_values",
        &[operation("GET", Read, InTurn, registrations::label_values)],
    ),
    Route::new("/api/v1/status", "status", &[operation("GET", Read, InTurn, diagnostics::status)]),
    Route::new("/api/v1/pollers", "pollers", &[operation("GET", Read, InTurn, diagnostics::pollers)]),
    Route::new("/api/v1/changes", "changes", &[operation("GET", Read, InTurn, diagnostics::changes)]),
    Route::new("/api/v1/quarantine", "quarantine", &[operation("GET", Read, InTurn, diagnostics::quarantine)]),
    Route::new("/api/v1/duplicates", "duplicates", &[operation("GET", Read, InTurn, diagnostics::duplicates)]),
    Route::new("/api/v1/problems", "problems", &[operation("GET", Read, InTurn, diagnostics::problems)]),
    Route::new("/openapi.json", "openapi", &[operation("GET", Open, AtOnce, operations::description)]),
    Route::old("/metrics", "metrics", &[operation("GET", ReadAll, AtOnce, operations::metrics)]),
    Route::old("/healthcheck", "health", &[operation(ANY, Open, AtOnce, operations::healthy)]).probe(),
    Route::old("/-/healthy", "health", &[operation("GET", Open, AtOnce, operations::healthy)]).probe(),
    Route::old("/-/ready", "ready", &[operation("GET", Open, AtOnce, operations::ready)]).probe(),
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

/// The methods that metrics distinguish; any other counts as `other`.
const METHODS: &[&str] = &["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"];

#[derive(Clone, Copy)]
pub struct RouteIndex {
    route: &'static Route,
    /// `None` if the path does not have the method.
    operation: Option<&'static Operation>,
}

impl Handler for App {
    /// `None` if there is no such path.
    type Route = Option<RouteIndex>;

    fn find(&self, head: &Request) -> Found<Option<RouteIndex>> {
        let route = ROUTES.iter().find(|route| route.open_segment(&head.path).is_some());
        let Some(route) = route else {
            let errors = if head.path.starts_with("/api/") { Errors::Problem } else { Errors::Text };
            return Found { runs: AtOnce, errors, takes_large_bodies: false, is_probe: false, route: None };
        };
        let operation = route.operations.iter().find(|operation| operation.takes(&head.method));
        Found {
            runs: operation.map_or(AtOnce, |operation| operation.runs),
            errors: route.errors,
            takes_large_bodies: operation.is_some_and(|operation| operation.check.is_some()),
            is_probe: route.is_probe,
            route: Some(RouteIndex { route, operation }),
        }
    }

    fn admit(&self, place: Option<RouteIndex>, head: &Request) -> Result<(), Response> {
        let start = Instant::now();
        let Some(place) = place else { return Ok(()) };
        let call = self.call(place, head);
        let admitted = call.and_then(|call| match place.operation.and_then(|operation| operation.check) {
            Some(check) => check(self, &call),
            None => Ok(()),
        });
        admitted.inspect_err(|refused| self.answered(Some(place), head, refused.status, start))
    }

    fn handle(&self, place: Option<RouteIndex>, request: &Request) -> Response {
        let start = Instant::now();
        let response = match place {
            Some(place) => self.follow(place, request).unwrap_or_else(|error| error),
            None if request.path.starts_with("/api/") => Problem::not_found("there is no such path").into(),
            None => Response::error(404, "404 page not found"),
        };
        if place.is_some_and(|place| place.route.is_polled) && !matches!(response.status, 400..500) {
            self.pollers.saw(request, response.status, Now::read().wall);
        }
        self.answered(place, request, response.status, start);
        response
    }
}

impl App {
    fn answered(&self, place: Option<RouteIndex>, request: &Request, status: u16, start: Instant) {
        let name = place.map_or("other", |place| place.route.name);
        let method = METHODS.iter().find(|method| **method == request.method).unwrap_or(&"other");
        self.metrics.answered(name, method, status, start.elapsed());
        debug!(client = request.client, method = request.method, path = request.path, status; "request");
    }

    fn follow(&self, place: RouteIndex, request: &Request) -> Result<Response, Response> {
        let call = self.call(place, request)?;
        match place.operation {
            Some(operation) if place.route.path.starts_with("/api/v1/") => {
                (operation.handle)(self, &call).map(|response| spare(request, response))
            }
            Some(operation) => (operation.handle)(self, &call),
            None => Err(place.route.no_such_method()),
        }
    }

    /// The request with its caller, if it may be answered at all.
    fn call<'a>(&self, place: RouteIndex, request: &'a Request) -> Result<Call<'a>, Response> {
        let RouteIndex { route, operation } = place;
        let operation = operation.or(route.operations.first());
        let caller = self.caller(operation.map_or(Guard::Open, |operation| operation.guard), route, request)?;
        let segment = percent_decode(route.open_segment(&request.path).unwrap_or_default())
            .ok_or_else(|| Problem::bad_request("the last segment of the path is not percent-encoded UTF-8"))?;
        Ok(Call { request, caller, segment, errors: route.errors })
    }

    fn caller(&self, guard: Guard, route: &Route, request: &Request) -> Result<Caller, Response> {
        let caller = match guard {
            Guard::Open => Ok(self.tokens.anybody()),
            Guard::Read => self.tokens.reader(request, route.errors == Errors::Problem),
            Guard::ReadAll if self.options.open_metrics => Ok(self.tokens.anybody()),
            Guard::ReadAll => self.tokens.reader_of_all(request),
            Guard::Write => self.tokens.writer(request),
        };
        caller.map_err(|denied| {
            if let Some(events) = self.forbidden.admit() {
                warn!(client = request.client, method = request.method, path = route.path, events; "token missing or wrong");
            }
            match (route.errors, denied) {
                (Errors::Text, _) => Response::bare(403, "FORBIDDEN"),
                (Errors::Problem, Denied::Unknown) => {
                    Problem::new(401, "a token is needed, and no known one was sent").into()
                }
                (Errors::Problem, Denied::Forbidden) => Problem::new(403, "this token is for reading only").into(),
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
    /// A path whose errors are those of the Go program.
    const fn old(path: &'static str, name: &'static str, operations: &'static [Operation]) -> Route {
        Route { path, name, errors: Errors::Text, is_polled: false, is_probe: false, operations }
    }

    /// A path that the Go program does not have.
    const fn new(path: &'static str, name: &'static str, operations: &'static [Operation]) -> Route {
        Route { path, name, errors: Errors::Problem, is_polled: false, is_probe: false, operations }
    }

    const fn polled(self) -> Route {
        Route { is_polled: true, ..self }
    }

    const fn probe(self) -> Route {
        Route { is_probe: true, ..self }
    }

    /// The variable segment of a path, if the path matches this route; empty if the route has none.
    fn open_segment<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.path.split_once('{') {
            None => (path == self.path).then_some(""),
            Some((before, rest)) => {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                let segment = path.strip_prefix(before)?.strip_suffix(after)?;
                Some(segment).filter(|segment| !segment.is_empty() && !segment.contains('/'))
            }
        }
    }

    fn no_such_method(&self) -> Response {
        let response = match self.errors {
            Errors::Problem => Problem::new(405, "the path does not have this method").into(),
            Errors::Text => Response::bare(405, "METHOD NOT ALLOWED"),
        };
        response.with_header("Allow", self.allow())
    }

    fn allow(&self) -> String {
        let methods = self.operations.iter().map(|operation| operation.method);
        methods.map(|method| if method == "GET" { "GET, HEAD" } else { method }).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_and_polls_wait_for_nobody_and_only_what_calls_the_store_goes_to_workers() {
        for route in ROUTES {
            for operation in route.operations {
                let is_probe = ["health", "ready", "metrics"].contains(&route.name);
                let calls_the_store = matches!(operation.method, "PUT" | "DELETE") || route.name == "target";
                let expected = match (is_probe || route.is_polled, calls_the_store) {
                    (true, false) => &[Runs::AtOnce][..],
                    (false, true) => &[Runs::ByWorker],
                    _ => &[Runs::AtOnce, Runs::InTurn],
                };
                assert!(expected.contains(&operation.runs), "{} {}", operation.method, route.path);
            }
        }
        assert_eq!(ROUTES.iter().filter(|route| route.is_polled).count(), 3);
    }

    #[test]
    fn the_description_has_each_status_that_follows_from_the_table() {
        let description: serde_json::Value = serde_json::from_str(include_str!("api/openapi.json")).unwrap();
        for route in ROUTES {
            for operation in route.operations.iter().filter(|operation| operation.method != ANY) {
                let described = &description["paths"][route.path][operation.method.to_lowercase()]["responses"];
                let is_new = route.errors == Errors::Problem;
                let may_be = [
                    // A request that waits for a turn or a worker may wait in vain, and polled lists are not loaded at
                    // first.
                    ("503", operation.runs != AtOnce || route.is_polled),
                    ("401", is_new && !matches!(operation.guard, Open)),
                    ("403", matches!(operation.guard, Write) || !is_new && !matches!(operation.guard, Open)),
                    ("413", operation.method == "PUT"),
                    ("400", is_new && !matches!(operation.guard, Open)),
                ];
                for (status, _) in may_be.into_iter().filter(|(_, may_be)| *may_be) {
                    let name = format!("{} {}", operation.method, route.path);
                    assert!(described[status].is_object(), "{name} may answer {status}");
                }
            }
        }
    }
}
