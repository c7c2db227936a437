//! `PUT` and `DELETE /api/v1/groups/{name}`: a group becomes exactly what somebody declares, or nothing.

use serde::Serialize;

use super::answers::{check_if_match, json, tag};
use crate::http::app::{App, Call};
use crate::http::audit;
use crate::http::problem::{Fault, Problem};
use crate::http::query::Query;
use crate::http::response::Response;
use crate::registration::{Declared, Registration, Ttl, parse_declared};
use crate::registry::{Declaration, Plan};

/// The parameters of a declaration.
struct Parameters {
    ttl: Ttl,
    dry_run: bool,
    adopt: bool,
    allow_empty: bool,
}

#[derive(Serialize)]
struct Outcome {
    created: usize,
    updated: usize,
    unchanged: usize,
    deleted: usize,
}

#[derive(Serialize)]
struct Deleted {
    deleted: usize,
}

/// Whether the group may be declared, as far as that can be said without the body.
///
/// # Errors
/// 403 without the right for the group; 400 for odd parameters.
pub(in crate::http) fn check(app: &App, call: &Call<'_>) -> Result<(), Response> {
    check_right(call)?;
    Ok(parameters(app, call).map(drop)?)
}

fn check_right(call: &Call<'_>) -> Result<(), Problem> {
    match call.caller.may_write(&call.segment) {
        true => Ok(()),
        false => Err(Problem::new(403, format!("this token has no right for the group {:?}", call.segment))),
    }
}

pub(in crate::http) fn put(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    check_right(call)?;
    let parameters = parameters(app, call)?;
    let registrations = entries(app, call, &parameters)?;
    let now = app.now();
    let _turn = app.registry.declaring().ok_or_else(busy)?;
    let declaration = Declaration { group: &call.segment, registrations: &registrations };
    let plan = app.registry.plan(&declaration, &call.author(), now).map_err(Problem::from)?;
    check_if_match(call.request, plan.hash_before)?;
    check_elsewhere(call, &plan, parameters.adopt)?;
    let Plan { created, updated, unchanged, deleted, hash_after, .. } = plan;
    if !parameters.dry_run {
        let group = call.segment.as_str();
        app.registry.carry_out(plan).map_err(|e| app.failed(call, &group, e))?;
        let counts: [(&str, &dyn std::fmt::Display); 5] = [
            ("group", &group),
            ("created", &created),
            ("updated", &updated),
            ("unchanged", &unchanged),
            ("deleted", &deleted),
        ];
        audit::written(call, "declare", &counts, "ok");
    }
    Ok(json(&Outcome { created, updated, unchanged, deleted }).with_header("ETag", tag(hash_after)))
}

fn parameters(app: &App, call: &Call<'_>) -> Result<Parameters, Problem> {
    let mut query = Query::parse(call.request)?;
    let given = query.number("ttl_seconds", 0..=Ttl::SECONDS_MAX)?;
    let parameters = Parameters {
        ttl: Ttl::from_seconds(given.unwrap_or(0)),
        dry_run: query.switch("dry_run")?,
        adopt: query.switch("adopt")?,
        allow_empty: query.switch("allow_empty")?,
    };
    query.finish()?;
    if app.options.ttls.allow(parameters.ttl) {
        return Ok(parameters);
    }
    let ttls = app.options.ttls;
    Err(Problem::bad_request(match given {
        Some(seconds) => format!("ttl_seconds: {seconds} is not between {ttls}"),
        None => format!("ttl_seconds: name one between {ttls}; without it what is declared would be for ever"),
    }))
}

fn entries(app: &App, call: &Call<'_>, parameters: &Parameters) -> Result<Vec<Registration>, Problem> {
    if call.segment.is_empty() {
        return Err(Problem::bad_request("the group has no name"));
    }
    let declared = Declared { group: &call.segment, ttl: parameters.ttl, names: app.options.names };
    let registrations = parse_declared(&call.request.body, declared).map_err(|faults| {
        let total = faults.len();
        let fault = |fault: crate::registration::Fault| Fault { pointer: fault.pointer, detail: fault.detail };
        let shown = faults.into_iter().map(fault).collect();
        Problem::bad_request("the body is no group").with_faults(shown, total)
    })?;
    if registrations.is_empty() && !parameters.allow_empty {
        let fault = Fault { pointer: String::new(), detail: "the array is empty".to_owned() };
        let detail = "an empty array deletes the whole group; allow_empty=true allows that";
        return Err(Problem::bad_request(detail).with_faults(vec![fault], 1));
    }
    Ok(registrations)
}

/// What stands in another group is not taken from there unless the token may do that and the client says so.
fn check_elsewhere(call: &Call<'_>, plan: &Plan, adopt: bool) -> Result<(), Problem> {
    let problem = |status, detail: &str, faults: Vec<Fault>| {
        let total = faults.len();
        Err(Problem::new(status, detail).with_faults(faults, total))
    };
    let fault = |at: usize, detail: String| Fault { pointer: format!("/{at}/targets"), detail };
    let others = plan.elsewhere.iter().filter(|(_, group)| !call.caller.may_write(group));
    let others: Vec<Fault> =
        others.map(|(at, _)| fault(*at, "stands in a group that this token has no right for".to_owned())).collect();
    if !others.is_empty() {
        return problem(403, "some targets stand in groups that this token has no right for", others);
    }
    if plan.elsewhere.is_empty() || adopt {
        return Ok(());
    }
    let elsewhere = plan.elsewhere.iter().map(|(at, group)| fault(*at, format!("stands in the group {group:?}")));
    problem(409, "some targets stand in other groups; adopt=true takes them from there", elsewhere.collect())
}

pub(in crate::http) fn delete(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    check_right(call)?;
    Query::parse(call.request)?.finish()?;
    let _turn = app.registry.declaring().ok_or_else(busy)?;
    let group = call.segment.as_str();
    let declaration = Declaration { group, registrations: &[] };
    let plan = app.registry.plan(&declaration, &call.author(), app.now()).map_err(Problem::from)?;
    if plan.deleted == 0 {
        return Err(Problem::not_found("the group has no registration").into());
    }
    check_if_match(call.request, plan.hash_before)?;
    let deleted = plan.deleted;
    app.registry.carry_out(plan).map_err(|e| app.failed(call, &group, e))?;
    audit::written(call, "delete", &[("group", &group), ("deleted", &deleted)], "ok");
    Ok(json(&Deleted { deleted }))
}

fn busy() -> Problem {
    Problem::new(503, "another group is being declared; try again")
}
