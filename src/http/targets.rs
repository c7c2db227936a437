//! `/target`: register, get and delete a registration.

use super::app::{App, Call};
use super::query::parameter;
use super::request::Request;
use super::response::{Problem, Response};
use crate::registration::{self, Invalid, Registration, Strictness, TargetId};
use crate::registry::{GetError, Now, WriteError};

pub(super) fn put(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let strictness = strictness(call.request)?;
    let parsed = Registration::parse(&call.request.body, app.registry.view.rules.names, app.options.ttls)
        .and_then(|registration| strictness.check(registration));
    let registration = parsed.map_err(|invalid| {
        app.metrics.refused.with_label_values(&[invalid.kind.as_str()]).inc();
        let answer = call.refused("put", &invalid);
        if wants_problem(call.request) { faults(app, call.request, strictness).into() } else { answer }
    })?;
    let id = registration.id();
    if !call.caller.writes().has(registration.group()) {
        return Err(forbidden());
    }
    let put = app.registry.put(id, &registration, &call.writer(), Now::read());
    put.map_err(|e| not_written(app, call, id, e))?;
    let (group, targets) = (registration.group(), registration.targets().len());
    call.written("put", &[("id", &id), ("group", &group), ("targets", &targets)], "ok");
    Ok(Response::json(format!("{{\"id\":\"{id}\"}}").into_bytes()))
}

/// The Go program answers with a line of text. A client that asks for a problem document gets all faults at once.
fn wants_problem(request: &Request) -> bool {
    let accept = request.header("accept").unwrap_or_default();
    accept.split(|byte| matches!(byte, b',' | b';')).any(|part| part.trim_ascii() == b"application/problem+json")
}

/// The Go program takes labels for which Prometheus drops the target. So does this one, unless asked not to.
fn strictness(request: &Request) -> Result<Strictness, Response> {
    match parameter(request, "strict").as_deref() {
        Some("true") => Ok(Strictness::Scraped),
        Some("false") | None => Ok(Strictness::Listed),
        Some(_) => Err(Response::error(400, "strict: expected true or false")),
    }
}

fn faults(app: &App, request: &Request, strictness: Strictness) -> Problem {
    let faults = registration::put_faults(&request.body, app.registry.view.rules.names, app.options.ttls, strictness);
    Problem::bad_request("the body is not a registration").with_faults(faults)
}

pub(super) fn delete(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let id = requested_id(call.request).map_err(|invalid| call.refused("delete", &invalid))?;
    let deleted = app.registry.delete(id, None, &call.writer()).map_err(|e| not_written(app, call, id, e))?;
    call.written("delete", &[("id", &id)], if deleted { "ok" } else { "absent" });
    if deleted { Ok(Response::json(b"true".to_vec())) } else { Err(not_found()) }
}

pub(super) fn get(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let id = requested_id(call.request).map_err(|invalid| Response::error(400, invalid))?;
    let found = app.registry.get(id, call.caller.writes(), Now::read()).map_err(|e| match e {
        GetError::Forbidden => forbidden(),
        GetError::Undecodable(e) => Response::error(500, format!("the stored value is not a registration: {e}")),
        GetError::Store(e) => app.failed(call, &id, e),
    })?;
    let document = found.ok_or_else(not_found)?.to_json();
    let answer = [b"{\"static_config\":".as_slice(), &document, b",\"target_group\":\"\"}"].concat();
    Ok(Response::json(answer).private())
}

/// Ids depend only on targets: without a right for the group that they are now in, anybody could take them.
fn not_written(app: &App, call: &Call<'_>, id: TargetId, error: WriteError) -> Response {
    match error {
        WriteError::Store(error) => app.failed(call, &id, error),
        WriteError::Forbidden(_) | WriteError::Changed => forbidden(),
    }
}

fn forbidden() -> Response {
    Response::bare(403, "FORBIDDEN")
}

fn not_found() -> Response {
    Response::error(404, "Id not found")
}

/// The id in the query, for clients and proxies that drop the body of a GET; or else the one in the body.
fn requested_id(request: &Request) -> Result<TargetId, Invalid> {
    match parameter(request, "id") {
        Some(id) => registration::parse_id(&id),
        None => registration::parse_id_request(&request.body),
    }
}
