//! `/api/v1/groups`: lists groups, returns one as it would be declared, and makes one exactly what is declared, or
//! deletes it.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::{check_if_match, check_if_none_match, check_sees, listed, tag, time, time_of};
use crate::http::app::{App, Call};
use crate::http::query::Query;
use crate::http::response::{Problem, Response};
use crate::registration::{BodyFault, Declared, Registration, TargetId, Ttl, parse_declared};
use crate::registry::{Declaration, Now, Plan, Scope, Snapshot, WriteError};

/// The size of a group in the list without its name, in bytes.
const GROUP_BYTES: usize = 160;

/// How long a declaration is planned again and again when the state that it follows from keeps changing.
const AGAIN_MAX: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Group<'a> {
    name: &'a str,
    registrations: usize,
    targets: usize,
    last_updated_at: Option<String>,
    next_expiry_at: Option<String>,
}

pub(in crate::http) fn list(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = Now::read();
    Query::parse(call.request)?.finish()?;
    let allowance = app.registry.allowance(call.request);
    let summaries = app.registry.view.groups(call.caller.reads(), &allowance, now.monotonic).map_err(Problem::from)?;
    // Frees the turn for others meanwhile.
    drop(allowance);
    let turn = app.large_answer(summaries.iter().map(|group| group.name.len() + GROUP_BYTES).sum())?;
    let groups = summaries.iter().map(|group| Group {
        name: &group.name,
        registrations: group.registrations,
        targets: group.targets,
        last_updated_at: group.last_updated_at.and_then(time),
        next_expiry_at: group.next_expiry.and_then(|at| time_of(at, now)),
    });
    Ok(listed("groups", groups.collect(), None).in_turn(turn))
}

pub(in crate::http) fn get(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    check_sees(&call.caller, &call.segment)?;
    let allowance = app.registry.allowance(call.request);
    let (list, hash) =
        app.registry.view.group(&call.segment, &allowance, Now::read().monotonic).map_err(Problem::from)?;
    if list.is_empty() {
        return Err(Problem::not_found("the group has no registration").into());
    }
    drop(allowance);
    let turn = app.large_answer(list.byte_count())?;
    let tag = tag(hash);
    // A client that has it already gets no body.
    let group = if call.request.has_already(&tag) { Vec::new() } else { as_declared(&list) };
    Ok(Response::json(group).private().with_header("ETag", tag).in_turn(turn))
}

/// A group as it would be declared.
fn as_declared(list: &Snapshot) -> Vec<u8> {
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

struct Parameters {
    ttl: Ttl,
    dry_run: bool,
    adopt: bool,
    allow_empty: bool,
}

#[derive(Serialize)]
struct DeclarationCounts {
    created: usize,
    updated: usize,
    unchanged: usize,
    deleted: usize,
}

/// Whether the group may be declared, as far as can be said without the body.
pub(in crate::http) fn check(app: &App, call: &Call<'_>) -> Result<(), Response> {
    check_right(call)?;
    Ok(parameters(app, call).map(drop)?)
}

fn check_right(call: &Call<'_>) -> Result<(), Problem> {
    match call.caller.writes().has(&call.segment) {
        true => Ok(()),
        false => Err(Problem::new(403, format!("this token may not change the group {:?}", call.segment))),
    }
}

pub(in crate::http) fn put(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    check_right(call)?;
    let parameters = parameters(app, call)?;
    let registrations = entries(app, call, &parameters)?;
    let declaration = Declaration { group: &call.segment, registrations: &registrations };
    let check = |plan: &Plan| {
        check_if_match(call.request, plan.hash_before)?;
        check_if_none_match(call.request, plan.hash_before)?;
        check_elsewhere(call, plan, parameters.adopt)
    };
    let plan = declare(app, call, &declaration, parameters.dry_run, check)?;
    let Plan { created, updated, unchanged, deleted, hash_after, .. } = plan;
    if !parameters.dry_run {
        let group = call.segment.as_str();
        let counts: [(&str, &dyn std::fmt::Display); 5] = [
            ("group", &group),
            ("created", &created),
            ("updated", &updated),
            ("unchanged", &unchanged),
            ("deleted", &deleted),
        ];
        call.written("declare", &counts, "ok");
    }
    Ok(super::json(&DeclarationCounts { created, updated, unchanged, deleted }).with_header("ETag", tag(hash_after)))
}

/// Makes a plan, checks it and carries it out. Starts over if the state that the plan follows from has changed.
fn declare(
    app: &App,
    call: &Call<'_>,
    declaration: &Declaration<'_>,
    dry_run: bool,
    check: impl Fn(&Plan) -> Result<(), Problem>,
) -> Result<Plan, Response> {
    let _turn = app
        .registry
        .declaring(declaration.group)
        .ok_or_else(|| Problem::new(503, "this group is being declared already; try again"))?;
    let (began, writer) = (Instant::now(), call.writer());
    loop {
        let mut plan = app.registry.view.plan(declaration, &writer, Now::read()).map_err(Problem::from)?;
        check(&plan)?;
        if dry_run {
            return Ok(plan);
        }
        match app.registry.carry_out(&mut plan, &writer) {
            Ok(()) => return Ok(plan),
            Err(WriteError::Changed) if began.elapsed() < AGAIN_MAX => {}
            Err(WriteError::Changed) => {
                return Err(Problem::new(503, "the registrations keep changing meanwhile; try again").into());
            }
            Err(WriteError::Forbidden(ids)) => return Err(forbidden(declaration, &ids).into()),
            Err(WriteError::Store(error)) => return Err(app.failed(call, &declaration.group, error)),
        }
    }
}

/// Some of these are in groups that the token may not change.
fn forbidden(declaration: &Declaration<'_>, ids: &[TargetId]) -> Problem {
    let places = declaration.registrations.iter().map(Registration::id).enumerate();
    let at: Vec<usize> = places.filter(|(_, id)| ids.contains(id)).map(|(at, _)| at).collect();
    not_ours(&at)
}

/// The targets of these entries are in groups that the token may not change.
fn not_ours(at: &[usize]) -> Problem {
    let fault = |at: &usize| elsewhere(*at, "is in a group that this token may not change".to_owned());
    let problem = Problem::new(403, "some targets are in groups that this token may not change");
    problem.with_faults(at.iter().map(fault).collect())
}

/// A fault: the targets of this entry are in another group.
fn elsewhere(at: usize, detail: String) -> BodyFault {
    BodyFault { pointer: format!("/{at}/targets"), detail }
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
        None => format!("ttl_seconds: name one between {ttls}; without it the registrations would never expire"),
    }))
}

fn entries(app: &App, call: &Call<'_>, parameters: &Parameters) -> Result<Vec<Registration>, Problem> {
    if call.segment.is_empty() {
        return Err(Problem::bad_request("the group has no name"));
    }
    let declared = Declared { group: &call.segment, ttl: parameters.ttl, names: app.registry.view.rules.names };
    let registrations = parse_declared(&call.request.body, declared)
        .map_err(|faults| Problem::bad_request("the body does not declare a group").with_faults(faults))?;
    if registrations.is_empty() && !parameters.allow_empty {
        let fault = BodyFault { pointer: String::new(), detail: "the array is empty".to_owned() };
        let detail = "an empty array deletes the whole group; allow_empty=true allows that";
        return Err(Problem::bad_request(detail).with_faults(vec![fault]));
    }
    Ok(registrations)
}

/// Targets in another group are taken over only if the token permits it and the client asks for it.
fn check_elsewhere(call: &Call<'_>, plan: &Plan, adopt: bool) -> Result<(), Problem> {
    let scope = call.caller.writes();
    let others = plan.elsewhere.iter().filter(|(_, group)| !scope.has(group)).map(|(at, _)| *at);
    let mut others: Vec<usize> = others.collect();
    if *scope != Scope::All {
        others.extend(&plan.unreadable);
        others.sort_unstable();
    }
    if !others.is_empty() {
        return Err(not_ours(&others));
    }
    if plan.elsewhere.is_empty() || adopt {
        return Ok(());
    }
    let faults = plan.elsewhere.iter().map(|(at, group)| elsewhere(*at, format!("is in the group {group:?}")));
    let detail = "some targets are in other groups; adopt=true takes them over";
    Err(Problem::new(409, detail).with_faults(faults.collect()))
}

pub(in crate::http) fn delete(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    check_right(call)?;
    Query::parse(call.request)?.finish()?;
    let group = call.segment.as_str();
    let check = |plan: &Plan| {
        if plan.deleted == 0 {
            return Err(Problem::not_found("the group has no registration"));
        }
        check_if_match(call.request, plan.hash_before)
    };
    let deleted = declare(app, call, &Declaration { group, registrations: &[] }, false, check)?.deleted;
    call.written("delete", &[("group", &group), ("deleted", &deleted)], "ok");
    Ok(super::json(&json!({ "deleted": deleted })))
}
