//! `/discover` and `/group`: the lists that Prometheus polls.

use super::{App, Body, Request, Response};
use crate::registry::{Discovered, NotLoaded, Selector};

/// Pollers that the metrics tell apart, by how their `User-Agent` begins; any other counts as `other`.
const POLLERS: &[(&str, &str)] = &[
    ("prometheus/", "prometheus"),
    ("vm_promscrape", "vmagent"),
    ("victoriametrics", "vmagent"),
    ("alloy/", "alloy"),
    ("grafanaagent/", "alloy"),
    ("otelcol", "otelcol"),
    ("opentelemetry", "otelcol"),
];

pub(super) fn discover(app: &App, request: &Request) -> Response {
    answer(app, request, app.registry.discover(Selector::All, app.now()))
}

pub(super) fn group(app: &App, request: &Request) -> Response {
    match parameter(request, "name") {
        Some(name) if !name.is_empty() => {
            answer(app, request, app.registry.discover(Selector::Group(&name), app.now()))
        }
        _ => Response::error(400, "Get parameter `name` is not defined"),
    }
}

fn answer(app: &App, request: &Request, discovered: Result<Discovered, NotLoaded>) -> Response {
    let Ok(Discovered { list, stale }) = discovered else {
        // An empty answer would make Prometheus forget every target; after an error it keeps what it has.
        return Response::unavailable("the registrations are not loaded yet");
    };
    app.metrics.polls.with_label_values(&[poller(request)]).inc();
    let body = Body::new(list.parts());
    let response = Response { status: 200, content_type: "application/json", headers: Vec::new(), body };
    match stale {
        Some(stale) => response.with_header("X-Inventor-Stale", stale.as_secs().to_string()),
        None => response,
    }
}

fn poller(request: &Request) -> &'static str {
    let agent = request.header("user-agent").unwrap_or_default().to_ascii_lowercase();
    POLLERS.iter().find(|(start, _)| agent.starts_with(start.as_bytes())).map_or("other", |(_, name)| name)
}

/// The first query parameter with this name, decoded.
pub(super) fn parameter(request: &Request, name: &str) -> Option<String> {
    form_urlencoded::parse(request.query.as_bytes())
        .find(|(parameter, _)| parameter == name)
        .map(|(_, value)| value.into_owned())
}
