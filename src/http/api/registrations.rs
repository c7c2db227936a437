//! `/api/v1/registrations`: search, sort and page; get and delete one. `/api/v1/labels`: names and values to search by.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{changed, check_if_match, json, listed, tag, time, time_of};
use crate::http::app::{App, Call};
use crate::http::query::{Query, words};
use crate::http::response::{Problem, Response};
use crate::registration::{TargetId, Ttl, parse_id};
use crate::registry::{
    Criteria, Details, LabelRequest, Now, Order, PageRequest, Position, SortBy, SortKey, SortValue, Unanswered,
    WriteError,
};

/// How many registrations a page has, by default and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// How many registrations may be skipped: more than any server holds.
const SKIP_MAX: usize = 10_000_000;

/// The most values to sort by.
const SORT_KEYS_MAX: usize = 3;

/// How many names or values of labels are returned by default.
const LABELS_LIMIT: usize = 20;

/// The longest prefix of a name or value, in bytes.
const PREFIX_BYTES_MAX: usize = 256;

#[derive(Serialize)]
struct Registration {
    id: String,
    targets: Box<RawValue>,
    labels: Box<RawValue>,
    target_group: Box<RawValue>,
    modules: Box<RawValue>,
    ttl_seconds: u64,
    updated_at: Option<String>,
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewal_interval_seconds: Option<Option<u64>>,
}

#[derive(Serialize)]
struct Page {
    registrations: Vec<Registration>,
    total: usize,
    next_page_token: Option<String>,
}

impl Registration {
    fn new(id: TargetId, details: &Details, now: Now) -> Registration {
        let content = &details.content;
        Registration {
            id: id.to_string(),
            targets: raw(content.targets_json()),
            labels: raw(content.labels_json()),
            target_group: raw(content.group_json()),
            modules: raw(content.modules_json().unwrap_or(b"[]")),
            ttl_seconds: details.ttl.seconds(),
            updated_at: details.updated_at.and_then(time),
            expires_at: details.deadline.and_then(|deadline| time_of(deadline, now)),
            renewal_interval_seconds: None,
        }
    }
}

/// JSON that was encoded here.
fn raw(json: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8(json.to_vec()).unwrap_or_default();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

pub(in crate::http) fn list(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = Now::read();
    let mut query = Query::parse(call.request)?;
    let criteria = query.criteria(&call.caller)?;
    let question = query.single("q")?.unwrap_or_default();
    let words = words(&question)?;
    let order = order(query.single("sort")?.as_deref())?;
    let limit = query.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT);
    let skip = query.number("skip", 0..=SKIP_MAX)?.unwrap_or(0);
    let expire_within = query.number("expires_within", 0..=Ttl::SECONDS_MAX)?.map(Duration::from_secs);
    let token = query.single("page_token")?;
    query.finish()?;
    let question = question_number(&criteria, &question, expire_within, &order);
    let place = |token: String| {
        let place = decode(question, &token);
        place.ok_or_else(|| Problem::bad_request("page_token: it does not belong to these parameters"))
    };
    let after = token.map(place).transpose()?;
    let request = PageRequest { criteria, words, expire_within, order, after, skip, limit };
    let allowance = app.registry.allowance(call.request);
    let page = app.registry.view.page(&request, &allowance, now.monotonic).map_err(Problem::from)?;
    Ok(json(&Page {
        registrations: page.registrations.iter().map(|(id, details)| Registration::new(*id, details, now)).collect(),
        total: page.total,
        next_page_token: page.next.map(|place| encode(question, place)),
    }))
}

fn order(sort: Option<&str>) -> Result<Order, Problem> {
    let expected = || {
        let names = "id, targets, target_group, expires_at, updated_at";
        Problem::bad_request(format!("sort: expected at most {SORT_KEYS_MAX} of {names}, each once, or - before it"))
    };
    let mut keys: Vec<SortKey> = Vec::new();
    for key in sort.unwrap_or("id").split(',') {
        let (name, is_descending) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
        let by = match name {
            "id" => SortBy::Id,
            "targets" => SortBy::Targets,
            "target_group" => SortBy::Group,
            "expires_at" => SortBy::Expiry,
            "updated_at" => SortBy::Update,
            _ => return Err(expected()),
        };
        if keys.iter().any(|key| key.by == by) || keys.len() == SORT_KEYS_MAX {
            return Err(expected());
        }
        keys.push(SortKey { by, is_descending });
    }
    Ok(Order(keys))
}

/// The position of the next page, in a form that clients return unchanged.
#[derive(Serialize, Deserialize)]
struct PageToken {
    /// Identifies the question of the page.
    question: u64,
    /// Numbers and texts, as in the position.
    values: Vec<SortValue>,
    id: [u8; 16],
}

/// A hash of the question: a token is valid only for its own question.
fn question_number(criteria: &Criteria, words: &str, expire_within: Option<Duration>, order: &Order) -> u64 {
    let mut hasher = DefaultHasher::new();
    (criteria, words, expire_within, order).hash(&mut hasher);
    hasher.finish()
}

/// The token for the page after this position.
fn encode(question: u64, place: Position) -> String {
    let token = PageToken { question, values: place.values, id: place.id.to_bytes() };
    // Numbers and strings can always be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
}

/// The position in a token of this question; `None` if it is no such token.
fn decode(question: u64, token: &str) -> Option<Position> {
    let token: PageToken = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    (token.question == question).then(|| Position { values: token.values, id: TargetId::from_bytes(token.id) })
}

pub(in crate::http) fn get(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = Now::read();
    Query::parse(call.request)?.finish()?;
    let id = requested_id(call)?;
    let details = app
        .registry
        .view
        .details(id, now.monotonic)
        .filter(|details| call.caller.reads().has(&details.content.group()));
    let details = details.ok_or_else(|| not_shown(app))?;
    let interval = details.renewal_interval.map(|interval| interval.as_secs());
    let registration =
        Registration { renewal_interval_seconds: Some(interval), ..Registration::new(id, &details, now) };
    Ok(json(&registration).with_header("ETag", tag(hash(id, &details))))
}

pub(in crate::http) fn delete(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    Query::parse(call.request)?.finish()?;
    let id = requested_id(call)?;
    let shown = app.registry.view.details(id, Now::read().monotonic);
    let group = shown.as_ref().map(|shown| shown.content.group().into_owned()).unwrap_or_default();
    let mut seen = None;
    if let Some(expected) = call.request.header("if-match") {
        let shown = shown.ok_or_else(|| not_shown(app))?;
        if !call.caller.writes().has(&group) {
            return Err(forbidden().into());
        }
        check_if_match(call.request, Some(hash(id, &shown)))?;
        // An asterisk matches any state. Otherwise the store checks that the shown state is still the present one.
        seen = Some(shown).filter(|_| expected.trim_ascii() != b"*");
    }
    let deleted = app.registry.delete(id, seen, &call.writer()).map_err(|error| match error {
        WriteError::Store(error) => app.failed(call, &id, error),
        WriteError::Forbidden(_) => forbidden().into(),
        WriteError::Changed => changed().into(),
    })?;
    let outcome = if deleted { "ok" } else { "absent" };
    call.written("delete", &[("id", &id), ("group", &group)], outcome);
    if deleted { Ok(Response::new(204, "application/json", Vec::new())) } else { Err(not_found().into()) }
}

fn forbidden() -> Problem {
    Problem::new(403, "this token may not change the group of this registration")
}

fn requested_id(call: &Call<'_>) -> Result<TargetId, Problem> {
    parse_id(&call.segment).map_err(|invalid| Problem::bad_request(invalid.to_string()))
}

fn not_found() -> Problem {
    Problem::not_found("there is no such registration")
}

/// The error for a registration that is not shown. Before everything is loaded, its absence says nothing.
fn not_shown(app: &App) -> Problem {
    if app.registry.view.is_loaded() { not_found() } else { Unanswered::NotLoaded.into() }
}

/// A hash that changes with each write, including a renewal.
fn hash(id: TargetId, details: &Details) -> u64 {
    let Details { content, ttl, deadline, updated_at, .. } = details;
    let mut hasher = DefaultHasher::new();
    (id, content.shown(), ttl.seconds(), deadline, updated_at).hash(&mut hasher);
    hasher.finish()
}

#[derive(Serialize)]
struct LabelName {
    name: String,
    registrations: usize,
}

#[derive(Serialize)]
struct LabelValue {
    value: String,
    registrations: usize,
}

/// The names of existing labels, for completion.
pub(in crate::http) fn label_names(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let found = find_labels(app, call, None)?.into_iter();
    Ok(listed("labels", found.map(|(name, registrations)| LabelName { name, registrations }).collect(), None))
}

pub(in crate::http) fn label_values(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let found = find_labels(app, call, Some(call.segment.clone()))?.into_iter();
    Ok(listed("values", found.map(|(value, registrations)| LabelValue { value, registrations }).collect(), None))
}

fn find_labels(app: &App, call: &Call<'_>, name: Option<String>) -> Result<Vec<(String, usize)>, Problem> {
    let mut query = Query::parse(call.request)?;
    let criteria = query.criteria(&call.caller)?;
    let prefix = query.single("prefix")?.unwrap_or_default();
    let limit = query.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LABELS_LIMIT);
    query.finish()?;
    if prefix.len() > PREFIX_BYTES_MAX {
        return Err(Problem::bad_request(format!("prefix: longer than {PREFIX_BYTES_MAX} bytes")));
    }
    let request = LabelRequest { criteria, name, prefix, limit };
    app.registry
        .view
        .labels(&request, &app.registry.allowance(call.request), Now::read().monotonic)
        .map_err(Problem::from)
}
