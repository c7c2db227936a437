//! What is wrong, or may be: who has stopped polling, what is left out of the lists, what is registered twice, what
//! Prometheus drops.

use std::collections::BTreeSet;

use serde::Serialize;

use super::answers::{check_sees_all, json, time};
use crate::http::app::{App, Call};
use crate::http::pollers::Poller;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::response::Response;
use crate::registration::TargetId;
use crate::registry::{Duplicate, LabelProblem, Scope, within_answer};

#[derive(Serialize)]
struct Pollers {
    pollers: Vec<ShownPoller>,
}

#[derive(Serialize)]
struct ShownPoller {
    client: &'static str,
    user_agent: String,
    address: String,
    path: String,
    refresh_interval_seconds: Option<u64>,
    last_status: u16,
    first_seen: Option<String>,
    last_seen: Option<String>,
    polls: u64,
    late: bool,
}

pub(in crate::http) fn pollers(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    check_sees_all(&call.caller)?;
    let now = app.now().wall;
    let pollers = app.pollers.seen(now).into_iter().map(|(late, poller)| {
        let Poller { client, user_agent, address, path, interval, last_status, first_seen, last_seen, polls } = poller;
        ShownPoller {
            client,
            user_agent,
            address,
            path,
            refresh_interval_seconds: interval.map(|interval| interval.as_secs()),
            last_status,
            first_seen: time(first_seen),
            last_seen: time(last_seen),
            polls,
            late,
        }
    });
    Ok(json(&Pollers { pollers: pollers.collect() }))
}

#[derive(Serialize)]
struct Quarantine {
    quarantine: Vec<Left>,
    total: usize,
}

#[derive(Serialize)]
struct Left {
    id: String,
    reason: String,
    value: String,
}

pub(in crate::http) fn quarantine(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    check_sees_all(&call.caller)?;
    let all = app.registry.view.quarantine();
    let total = all.len();
    let left = all.into_iter().map(|(id, quarantined)| Left {
        id: id.to_string(),
        reason: quarantined.reason.clone(),
        value: String::from_utf8_lossy(&quarantined.value).into_owned(),
    });
    let quarantine = within_answer(left, |left| left.reason.len() + left.value.len()).collect();
    Ok(json(&Quarantine { quarantine, total }))
}

#[derive(Serialize)]
struct ShownDuplicates {
    duplicates: Vec<ShownDuplicate>,
    total: usize,
}

#[derive(Serialize)]
struct ShownDuplicate {
    address: String,
    ids: Vec<String>,
    ids_total: usize,
    groups: BTreeSet<String>,
}

pub(in crate::http) fn duplicates(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    check_sees_all(&call.caller)?;
    let allowance = app.registry.allowance(call.request);
    let now = app.now().monotonic;
    let duplicates = app.registry.view.duplicates(&Scope::All, &allowance, now).map_err(Problem::from)?;
    let group = |id: &TargetId| Some(app.registry.view.group_of(*id, now)?.to_string());
    let shown = |Duplicate { address, ids, ids_total }: &Duplicate| ShownDuplicate {
        address: address.clone(),
        ids: ids.iter().map(TargetId::to_string).collect(),
        ids_total: *ids_total,
        groups: ids.iter().filter_map(group).collect(),
    };
    let byte_count = |shown: &ShownDuplicate| shown.address.len() + shown.groups.iter().map(String::len).sum::<usize>();
    let listed = within_answer(duplicates.listed.iter().map(shown), byte_count).collect();
    Ok(json(&ShownDuplicates { duplicates: listed, total: duplicates.total }))
}

#[derive(Serialize)]
struct ShownProblems {
    problems: Vec<ShownProblem>,
    total: usize,
}

#[derive(Serialize)]
struct ShownProblem {
    id: String,
    target_group: String,
    label: &'static str,
    value: String,
    reason: &'static str,
}

pub(in crate::http) fn problems(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    let allowance = app.registry.allowance(call.request);
    let found = app
        .registry
        .view
        .label_problems(call.caller.reads(), &allowance, app.now().monotonic)
        .map_err(Problem::from)?;
    let shown = |LabelProblem { id, group, label, value, reason }: LabelProblem| ShownProblem {
        id: id.to_string(),
        target_group: group,
        label,
        value,
        reason,
    };
    Ok(json(&ShownProblems { total: found.total, problems: found.listed.into_iter().map(shown).collect() }))
}
