//! `/target`: register, look at, and remove a registration.

use log::{error, info};

use super::discovery::parameter;
use super::{App, Request, Response};
use crate::registration::{self, Invalid, Registration, TargetId};
use crate::registry::GetError;
use crate::store::StoreError;

pub(super) fn target(app: &App, request: &Request) -> Response {
    match request.method.as_str() {
        "PUT" => put(app, request),
        "DELETE" => delete(app, request),
        _ => get(app, request),
    }
}

fn put(app: &App, request: &Request) -> Response {
    let registration = match Registration::parse(&request.body, app.options.names) {
        Ok(registration) => registration,
        Err(invalid) => {
            app.metrics.refused.with_label_values(&[invalid.kind.as_str()]).inc();
            info!(client = request.client, action = "put", outcome = "refused", reason:% = invalid; "write");
            return Response::error(400, invalid);
        }
    };
    let id = registration.id();
    let (group, targets) = (registration.group(), registration.targets().len());
    match app.registry.put(id, &registration, app.now()) {
        Ok(()) => {
            info!(client = request.client, action = "put", id:% = id, group = group, targets = targets, outcome = "ok"; "write");
            Response::json(format!("{{\"id\":\"{id}\"}}").into_bytes())
        }
        Err(e) => failed(app, request, id, e),
    }
}

fn delete(app: &App, request: &Request) -> Response {
    let id = match requested_id(request) {
        Ok(id) => id,
        Err(invalid) => {
            info!(client = request.client, action = "delete", outcome = "refused", reason:% = invalid; "write");
            return Response::error(400, invalid);
        }
    };
    match app.registry.delete(id, app.now()) {
        Ok(true) => {
            info!(client = request.client, action = "delete", id:% = id, outcome = "ok"; "write");
            Response::json(b"true".to_vec())
        }
        Ok(false) => {
            info!(client = request.client, action = "delete", id:% = id, outcome = "absent"; "write");
            not_found()
        }
        Err(e) => failed(app, request, id, e),
    }
}

fn get(app: &App, request: &Request) -> Response {
    let id = match requested_id(request) {
        Ok(id) => id,
        Err(invalid) => return Response::error(400, invalid),
    };
    match app.registry.get(id, app.now()) {
        Ok(Some(document)) => {
            let document = document.to_json();
            Response::json([b"{\"static_config\":".as_slice(), &document, b",\"target_group\":\"\"}"].concat())
        }
        Ok(None) => not_found(),
        Err(e @ GetError::Undecodable(_)) => Response::error(500, e),
        Err(GetError::Store(e)) => failed(app, request, id, e),
    }
}

/// The store did not do it. While it is lost that is so for every request, and one line a second says it.
fn failed(app: &App, request: &Request, id: TargetId, error: StoreError) -> Response {
    if let Some(events) = app.failures.admit() {
        error!(client = request.client, method = request.method, id:% = id, reason:% = error, events; "request failed");
    }
    error.into()
}

fn not_found() -> Response {
    Response::error(404, "Id not found")
}

/// The id in the query, for clients and proxies that drop the body of a GET, or else the one in the body.
fn requested_id(request: &Request) -> Result<TargetId, Invalid> {
    match parameter(request, "id") {
        Some(id) => registration::parse_id(&id),
        None => registration::parse_id_request(&request.body),
    }
}
