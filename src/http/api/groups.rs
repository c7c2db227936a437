//! `/api/v1/groups`: which there are, and each as one would declare it.

use serde::Serialize;
use serde_json::value::RawValue;

use super::answers::{check_sees, json, tagged, time, time_of};
use super::registrations::raw;
use crate::http::app::{App, Call};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::response::Response;
use crate::registration::Content;

#[derive(Serialize)]
struct Groups<'a> {
    groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    name: &'a str,
    registrations: usize,
    targets: usize,
    last_updated_at: Option<String>,
    next_expiry_at: Option<String>,
}

/// An entry of a group as one would declare it.
#[derive(Serialize)]
struct Entry {
    targets: Box<RawValue>,
    labels: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modules: Option<Box<RawValue>>,
}

impl Entry {
    fn new(content: &Content) -> Entry {
        let modules = content.modules_json().map(raw);
        Entry { targets: raw(content.targets_json()), labels: raw(content.labels_json()), modules }
    }
}

pub(in crate::http) fn list(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = app.now();
    Query::parse(call.request)?.finish()?;
    let summaries = app.registry.groups(call.caller.reads(), now).map_err(Problem::from)?;
    let groups = summaries.iter().map(|group| Group {
        name: &group.name,
        registrations: group.registrations,
        targets: group.targets,
        last_updated_at: group.last_updated_at.and_then(time),
        next_expiry_at: group.next_expiry.and_then(|at| time_of(at, now)),
    });
    Ok(json(&Groups { groups: groups.collect() }))
}

pub(in crate::http) fn get(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    check_sees(&call.caller, &call.segment)?;
    let (list, hash) = app.registry.group(&call.segment, app.now()).map_err(Problem::from)?;
    if list.is_empty() {
        return Err(Problem::not_found("the group has no registration").into());
    }
    let entries: Vec<Entry> = list.registrations().map(|(_, content)| Entry::new(content)).collect();
    Ok(tagged(call.request, hash, &entries))
}
