//! `/api/v1/changes`: what happened to the lists lately, and who did it.

use serde::Serialize;

use super::answers::{check_sees, json, time_of};
use crate::http::app::{App, Call};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::response::Response;
use crate::registration::parse_id;
use crate::registry::{Action, Author, LoggedChange, Now};

/// How many changes are shown unless it is told otherwise, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// How many targets of a registration are shown.
const TARGETS_MAX: usize = 3;

#[derive(Serialize)]
struct ChangesBody {
    changes: Vec<Change>,
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

pub(in crate::http) fn list(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = app.now();
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
    Ok(json(&ChangesBody { changes: wanted.take(limit).map(|change| Change::new(change, now)).collect() }))
}
