//! `/api/v1/status`: how the server is and what it has, for what the caller may see.

use serde::Serialize;
use serde_json::{Map, Value};

use super::answers::{json, time};
use crate::http::app::{App, Call};
use crate::http::auth;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::response::Response;
use crate::metrics::revision;
use crate::registry::{EXPIRY_SPANS, Overview, Scope, Unanswered};
use crate::tokens::Role;

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
    tokens: Tokens,
    /// Who asks; none without a token.
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
    /// Whether the registrations have been loaded; there are no numbers before.
    loaded: bool,
    healthy: bool,
    /// Never with an address in it: it is shown to whoever may read.
    reason: Option<String>,
    stale_seconds: u64,
}

#[derive(Serialize)]
struct Tokens {
    read: bool,
    write: bool,
}

fn caller(caller: &auth::Caller) -> Option<Caller> {
    let (role, groups) = caller.rights()?;
    let role = match role {
        Role::Read => "read",
        Role::Write => "write",
    };
    Some(Caller { name: caller.name()?.to_owned(), role, groups })
}

pub(in crate::http) fn get(app: &App, call: &Call<'_>) -> Result<Response, Response> {
    let now = app.now();
    Query::parse(call.request)?.finish()?;
    let scope = call.caller.reads();
    let (overview, loaded) =
        match app.registry.view.overview(scope, &app.registry.allowance(call.request), now.monotonic) {
            Ok(overview) => (overview, true),
            // That is what one asks for then.
            Err(Unanswered::NotLoaded) => (Overview::default(), false),
            Err(e) => return Err(Problem::from(e).into()),
        };
    let Overview { registrations, groups, addresses, duplicates, label_problems, expiring, list_bytes } = overview;
    let reason = app.registry.health(now).err();
    let expiring = EXPIRY_SPANS.iter().zip(expiring).map(|((name, _), count)| ((*name).to_owned(), count.into()));
    Ok(json(&Status {
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
        // Whose these are, nobody can say.
        quarantined: if *scope == Scope::All { app.registry.view.counts(now.monotonic).quarantined } else { 0 },
        duplicates,
        label_problems,
        expiring: expiring.collect(),
        list_bytes,
        tokens: Tokens { read: app.tokens.reading_needs_one(), write: true },
        caller: caller(&call.caller),
    }))
}
