//! `/api/v1/groups`: which there are, and each as one would declare it.

use serde::Serialize;

use super::answers::{check_sees, json, tagged_bytes, time, time_of};
use crate::http::app::{App, Call};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::response::Response;
use crate::registry::Snapshot;

/// What a group takes in the list besides its name, in bytes.
const GROUP_BYTES: usize = 160;

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

pub(in crate::http) fn list(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = app.now();
    Query::parse(call.request)?.finish()?;
    let allowance = app.registry.allowance(call.request);
    let summaries = app.registry.view.groups(call.caller.reads(), &allowance, now.monotonic).map_err(Problem::from)?;
    // Others may ask meanwhile.
    drop(allowance);
    let turn = app.large_answer(summaries.iter().map(|group| group.name.len() + GROUP_BYTES).sum())?;
    let groups = summaries.iter().map(|group| Group {
        name: &group.name,
        registrations: group.registrations,
        targets: group.targets,
        last_updated_at: group.last_updated_at.and_then(time),
        next_expiry_at: group.next_expiry.and_then(|at| time_of(at, now)),
    });
    Ok(json(&Groups { groups: groups.collect() }).in_turn(turn))
}

pub(in crate::http) fn get(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    check_sees(&call.caller, &call.segment)?;
    let allowance = app.registry.allowance(call.request);
    let (list, hash) =
        app.registry.view.group(&call.segment, &allowance, app.now().monotonic).map_err(Problem::from)?;
    if list.is_empty() {
        return Err(Problem::not_found("the group has no registration").into());
    }
    drop(allowance);
    let turn = app.large_answer(list.byte_count())?;
    Ok(tagged_bytes(call.request, hash, || declared(&list)).in_turn(turn))
}

/// A group as one would declare it.
fn declared(list: &Snapshot) -> Vec<u8> {
    let mut json = Vec::with_capacity(list.byte_count());
    for (_, content) in list.registrations() {
        json.push(if json.is_empty() { b'[' } else { b',' });
        json.extend_from_slice(b"{\"targets\":");
        json.extend_from_slice(content.targets_json());
        json.extend_from_slice(b",\"labels\":");
        json.extend_from_slice(content.labels_json());
        if let Some(modules) = content.modules_json() {
            json.extend_from_slice(b",\"modules\":");
            json.extend_from_slice(modules);
        }
        json.push(b'}');
    }
    json.push(b']');
    json
}
