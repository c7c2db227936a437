//! The state of the server, its pollers, the latest changes of the lists, and problems: values left out of the lists,
//! addresses registered twice, labels for which Prometheus drops targets.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{check_sees, check_sees_all, listed, time, time_of};
use crate::http::app::{App, Call};
use crate::http::auth;
use crate::http::pollers::{Identity, Poller};
use crate::http::query::Query;
use crate::http::response::{Problem, Response};
use crate::metrics::revision;
use crate::registration::{TargetId, parse_id};
use crate::registry::{
    Action, Author, Duplicate, EXPIRY_SPANS, LoggedChange, Now, Overview, Scope, Unanswered, within_answer,
};
use crate::tokens::Role;

/// How many changes are shown, by default and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// How many targets of a registration are shown.
const TARGETS_MAX: usize = 3;

#[derive(Serialize)]
struct Status {
    version: &'static str,
    revision: &'static str,
    started_at: Option<String>,
    default_ttl_seconds: u64,
    store: Store,
    registrations: usize,
    groups: usize,
    addresses: usize,
    quarantined: usize,
    duplicates: usize,
    label_problems: usize,
    expiring: Map<String, Value>,
    list_bytes: usize,
    tokens: Value,
    /// The token of the request, if there is one.
    caller: Option<Caller>,
}

#[derive(Serialize)]
struct Caller {
    name: String,
    role: &'static str,
    groups: Vec<String>,
}

#[derive(Serialize)]
struct Store {
    kind: &'static str,
    /// Whether the registrations have been loaded; until then there are no numbers.
    loaded: bool,
    healthy: bool,
    /// Never contains an address: everybody who may read sees it.
    reason: Option<String>,
    stale_seconds: u64,
}

fn caller(caller: &auth::Caller) -> Option<Caller> {
    let (role, groups) = caller.rights()?;
    let role = match role {
        Role::Read => "read",
        Role::Write => "write",
    };
    Some(Caller { name: caller.name()?.to_owned(), role, groups })
}

pub(in crate::http) fn status(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = Now::read();
    Query::parse(call.request)?.finish()?;
    let scope = call.caller.reads();
    let (overview, loaded) =
        match app.registry.view.overview(scope, &app.registry.allowance(call.request), now.monotonic) {
            Ok(overview) => (overview, true),
            // The status must be readable before that.
            Err(Unanswered::NotLoaded) => (Overview::default(), false),
            Err(e) => return Err(Problem::from(e).into()),
        };
    let Overview { registrations, groups, addresses, duplicates, label_problems, expiring, list_bytes } = overview;
    let reason = app.registry.health(now).err();
    let expiring = EXPIRY_SPANS.iter().zip(expiring).map(|((name, _), count)| ((*name).to_owned(), count.into()));
    Ok(super::json(&Status {
        version: env!("CARGO_PKG_VERSION"),
        revision: revision(),
        started_at: time(app.started_at),
        default_ttl_seconds: app.registry.view.rules.ttl.seconds(),
        store: Store {
            kind: app.options.store,
            loaded,
            healthy: reason.is_none(),
            reason,
            stale_seconds: app.registry.view.outage(now.monotonic).map_or(0, |outage| outage.as_secs()),
        },
        registrations,
        groups,
        addresses,
        // Nobody knows whose these are.
        quarantined: if *scope == Scope::All { app.registry.view.counts(now.monotonic).quarantined } else { 0 },
        duplicates,
        label_problems,
        expiring: expiring.collect(),
        list_bytes,
        tokens: json!({ "read": app.tokens.reading_needs_one(), "write": true }),
        caller: caller(&call.caller),
    }))
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
    let now = Now::read().wall;
    let pollers = app.pollers.seen(now).into_iter().map(|(identity, poller, late)| {
        let Identity { address, path, user_agent } = identity;
        let Poller { client, interval, last_status, first_seen, last_seen, polls } = poller;
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
    Ok(listed("pollers", pollers.collect(), None))
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
    Ok(listed("quarantine", quarantine, Some(total)))
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
    let now = Now::read().monotonic;
    let duplicates = app.registry.view.duplicates(&Scope::All, &allowance, now).map_err(Problem::from)?;
    let group = |id: &TargetId| Some(app.registry.view.details(*id, now)?.content.group().into_owned());
    let shown = |Duplicate { address, ids, ids_total }: &Duplicate| ShownDuplicate {
        address: address.clone(),
        ids: ids.iter().map(TargetId::to_string).collect(),
        ids_total: *ids_total,
        groups: ids.iter().filter_map(group).collect(),
    };
    let byte_count = |shown: &ShownDuplicate| shown.address.len() + shown.groups.iter().map(String::len).sum::<usize>();
    let shown = within_answer(duplicates.listed.iter().map(shown), byte_count).collect();
    Ok(listed("duplicates", shown, Some(duplicates.total)))
}

pub(in crate::http) fn problems(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    let allowance = app.registry.allowance(call.request);
    let found = app
        .registry
        .view
        .label_problems(call.caller.reads(), &allowance, Now::read().monotonic)
        .map_err(Problem::from)?;
    Ok(listed("problems", found.listed, Some(found.total)))
}

#[derive(Serialize)]
struct Change {
    at: Option<String>,
    action: &'static str,
    id: String,
    target_group: String,
    targets: Vec<String>,
    targets_total: usize,
    by: Option<String>,
}

impl Change {
    fn new(change: &LoggedChange, now: Now) -> Change {
        let mut targets = change.content.targets();
        let targets_total = targets.len();
        targets.truncate(TARGETS_MAX);
        Change {
            at: time_of(change.at, now),
            action: name(change.action),
            id: change.id.to_string(),
            target_group: change.group.to_string(),
            targets,
            targets_total,
            by: match &change.by {
                Author::Nobody => None,
                Author::Client(name) => Some(name.to_string()),
                Author::AnotherServer => Some("another server".to_owned()),
            },
        }
    }
}

const ACTIONS: [Action; 5] = [Action::Registered, Action::Changed, Action::Deleted, Action::Expired, Action::Restored];

fn action(text: &str) -> Result<Action, Problem> {
    let known = ACTIONS.into_iter().find(|action| name(*action) == text);
    known.ok_or_else(|| Problem::bad_request(format!("action: expected one of {}", ACTIONS.map(name).join(", "))))
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Registered => "registered",
        Action::Changed => "changed",
        Action::Deleted => "deleted",
        Action::Expired => "expired",
        Action::Restored => "restored",
    }
}

pub(in crate::http) fn changes(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = Now::read();
    let mut query = Query::parse(call.request)?;
    let limit = query.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT);
    let group = query.single("target_group")?;
    let id = query.single("id")?.map(|id| parse_id(&id)).transpose();
    let id = id.map_err(|invalid| Problem::bad_request(invalid.to_string()))?;
    let action = query.single("action")?.map(|name| action(&name)).transpose()?;
    query.finish()?;
    group.as_deref().map_or(Ok(()), |group| check_sees(&call.caller, group))?;
    let changes = app.registry.view.changes(call.caller.reads(), group.as_deref(), id, LIMIT_MAX, now.monotonic);
    let wanted = changes.iter().filter(|change| action.is_none_or(|action| change.action == action));
    Ok(listed("changes", wanted.take(limit).map(|change| Change::new(change, now)).collect(), None))
}
