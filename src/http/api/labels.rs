//! `/api/v1/labels`: the names and values of labels that there are, for completion.

use serde::Serialize;

use super::answers::json;
use crate::http::app::{App, Call};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::response::Response;
use crate::registry::LabelRequest;

/// How many are told unless it is told otherwise, and at most.
const LIMIT: usize = 20;
const LIMIT_MAX: usize = 1000;

/// The longest beginning of a name or value, in bytes.
const PREFIX_BYTES_MAX: usize = 256;

#[derive(Serialize)]
struct Names {
    labels: Vec<Name>,
}

#[derive(Serialize)]
struct Name {
    name: String,
    registrations: usize,
}

#[derive(Serialize)]
struct Values {
    values: Vec<Value>,
}

#[derive(Serialize)]
struct Value {
    value: String,
    registrations: usize,
}

pub(in crate::http) fn names(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let found = find(app, call, None)?.into_iter();
    Ok(json(&Names { labels: found.map(|(name, registrations)| Name { name, registrations }).collect() }))
}

pub(in crate::http) fn values(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let found = find(app, call, Some(call.segment.clone()))?.into_iter();
    Ok(json(&Values { values: found.map(|(value, registrations)| Value { value, registrations }).collect() }))
}

fn find(app: &App, call: &Call<'_>, name: Option<String>) -> Result<Vec<(String, usize)>, Problem> {
    let mut query = Query::parse(call.request)?;
    let criteria = query.criteria(&call.caller)?;
    let prefix = query.single("prefix")?.unwrap_or_default();
    let limit = query.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT);
    query.finish()?;
    if prefix.len() > PREFIX_BYTES_MAX {
        return Err(Problem::bad_request(format!("prefix: longer than {PREFIX_BYTES_MAX} bytes")));
    }
    let request = LabelRequest { criteria, name, prefix, limit };
    app.registry
        .view
        .labels(&request, &app.registry.allowance(call.request), app.now().monotonic)
        .map_err(Problem::from)
}
