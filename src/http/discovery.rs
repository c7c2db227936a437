//! `/discover` and `/group`: the lists that Prometheus polls.

use super::{App, Body, Request, Response};
use crate::registry::{Discovered, NotLoaded, Rendering, Selector};

/// The clients that the metrics tell apart.
pub(super) const CLIENTS: [&str; 5] = ["prometheus", "vmagent", "alloy", "otelcol", "other"];

/// How their `User-Agent` begins; anything else is `other`.
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
    let gzip = accepts_gzip(request);
    let Rendering { parts, hash } = if gzip { list.gzip() } else { list.json() };
    // The two encodings are different bytes, so that their tags have to differ (RFC 9110, 8.8.3).
    let tag = if gzip { format!("\"{hash:016x}-gzip\"") } else { format!("\"{hash:016x}\"") };
    let known = has_tag(request, &tag);
    let body = if known { Body::default() } else { Body::new(parts) };
    let status = if known { 304 } else { 200 };
    let mut headers = vec![("ETag", tag), ("Vary", "Accept-Encoding".to_owned())];
    if gzip && !known {
        headers.push(("Content-Encoding", "gzip".to_owned()));
    }
    if let Some(stale) = stale {
        headers.push(("X-Inventor-Stale", stale.as_secs().to_string()));
    }
    Response { status, content_type: "application/json", headers, body }
}

/// Whether the client asks for gzip by name. Prometheus does not; vmagent does.
fn accepts_gzip(request: &Request) -> bool {
    let accepted = request.header("accept-encoding").unwrap_or_default();
    accepted.split(|byte| *byte == b',').any(|coding| {
        let mut words = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        words.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip")) && !words.any(is_zero_weight)
    })
}

/// Whether a parameter of a coding is a weight of zero, which means "not this one" (RFC 9110, 12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    let weight = parameter.split_at_checked(2).filter(|(name, _)| name.eq_ignore_ascii_case(b"q="));
    weight.is_some_and(|(_, value)| value.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

/// Whether `If-None-Match` lists this tag, strong or weak, or any.
fn has_tag(request: &Request, tag: &str) -> bool {
    let listed = request.header("if-none-match").unwrap_or_default();
    listed
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|listed| listed == b"*" || listed.strip_prefix(b"W/").unwrap_or(listed) == tag.as_bytes())
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
