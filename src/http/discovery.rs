//! `/discover`, `/group` and `/sd`: the lists that Prometheus polls.

use super::app::{App, Call};
use super::pollers::client;
use super::query::{Query, parameter};
use super::response::{Body, Problem, Response};
use crate::registry::{Criteria, Discovered, Form, Now, Rendering, Unanswered};

pub(super) fn discover(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let criteria = Criteria::of(call.caller.reads().clone(), Form::Plain);
    list(app, call, &criteria).map_err(unavailable)
}

pub(super) fn group(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let name = parameter(call.request, "name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Response::error(400, "Get parameter `name` is not defined"))?;
    if !call.caller.reads().has(&name) {
        return Err(Response::bare(403, "FORBIDDEN"));
    }
    let criteria = Criteria { groups: [name].into(), ..Criteria::of(call.caller.reads().clone(), Form::Plain) };
    list(app, call, &criteria).map_err(unavailable)
}

pub(super) fn sd(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let mut query = Query::parse(call.request)?;
    let mut criteria = query.criteria(&call.caller)?;
    criteria.form = Form::Described;
    criteria.shard = query.shard()?;
    query.finish()?;
    Ok(list(app, call, &criteria).map_err(Problem::from)?)
}

fn unavailable(unanswered: Unanswered) -> Response {
    Response::unavailable(&unanswered.to_string())
}

/// Sends a list as it is, or nothing if the client has it already. Fails rather than send an empty list, which would
/// make Prometheus forget every target; after an error it keeps its targets.
fn list(app: &App, call: &Call<'_>, criteria: &Criteria) -> Result<Response, Unanswered> {
    let request = call.request;
    let gzip = request.accepts_gzip();
    let allowance = app.registry.allowance(request);
    let Discovered { list, stale } = app.registry.view.list(criteria, gzip, &allowance, Now::read().monotonic)?;
    app.metrics.polls.with_label_values(&[client(request)]).inc();
    let Rendering { parts, hash } = list.rendering(gzip);
    // The two encodings differ in bytes, so their tags must differ (RFC 9110, 8.8.3).
    let tag = if gzip { format!("\"{hash:016x}-gzip\"") } else { format!("\"{hash:016x}\"") };
    let known = request.has_already(&tag);
    let (status, body) = if known { (304, Body::default()) } else { (200, Body::new(parts)) };
    let mut response = Response::new(status, "application/json", body)
        .with_header("ETag", tag)
        .with_header("Vary", "Accept-Encoding")
        .private();
    if gzip && !known {
        response = response.with_header("Content-Encoding", "gzip");
    }
    if let Some(stale) = stale {
        response = response.with_header("X-Inventor-Stale", stale.as_secs().to_string());
    }
    Ok(response)
}
