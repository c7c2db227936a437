//! The forms that all answers of the API have in common: JSON, times, entity tags.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use serde::Serialize;

use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::request::lists_tag;
use crate::http::response::{Body, Response};
use crate::registry::{Now, Scope};

use crate::http::auth::Caller;

/// A document, ended by a newline.
pub(in crate::http) fn json<T: Serialize>(document: &T) -> Response {
    // Maps with string keys, strings and numbers can always be written.
    Response::json(serde_json::to_vec(document).unwrap_or_default()).private()
}

/// A document with an entity tag; nothing of it when the client has it already.
pub(in crate::http) fn tagged<T: Serialize>(request: &Request, hash: u64, document: &T) -> Response {
    tagged_bytes(request, hash, || serde_json::to_vec(document).unwrap_or_default())
}

/// A document that is already JSON, with an entity tag; it is not even written when the client has it already.
pub(in crate::http) fn tagged_bytes(request: &Request, hash: u64, document: impl FnOnce() -> Vec<u8>) -> Response {
    let tag = tag(hash);
    let is_known = lists_tag(request.header("if-none-match").unwrap_or_default(), &tag);
    let mut response = Response::json(if is_known { Vec::new() } else { document() }).private();
    if is_known {
        (response.status, response.body) = (304, Body::default());
    }
    response.with_header("ETag", tag)
}

/// How a hash is written as an entity tag.
pub(in crate::http) fn tag(hash: u64) -> String {
    format!("\"{hash:016x}\"")
}

/// Whether the client expects just this, or says nothing.
pub(in crate::http) fn check_if_match(request: &Request, hash: Option<u64>) -> Result<(), Problem> {
    let Some(expected) = request.header("if-match") else { return Ok(()) };
    // Unlike elsewhere a weak tag matches nothing (RFC 9110, 13.1.1).
    let tag = hash.map(tag);
    let mut listed = expected.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_met = tag.is_some_and(|tag| listed.any(|listed| listed == b"*" || listed == tag.as_bytes()));
    if is_met { Ok(()) } else { Err(changed()) }
}

/// Whether nothing is there that the client does not want to be there: `If-None-Match: *` is for what is new.
pub(in crate::http) fn check_if_none_match(request: &Request, hash: Option<u64>) -> Result<(), Problem> {
    let unwanted = request.header("if-none-match").unwrap_or_default();
    match hash {
        Some(hash) if lists_tag(unwanted, &tag(hash)) => Err(Problem::new(412, "If-None-Match: it is there already")),
        _ => Ok(()),
    }
}

/// It is not what the client expects it to be.
pub(in crate::http) fn changed() -> Problem {
    Problem::new(412, "If-Match: it has changed meanwhile")
}

/// A time as RFC 3339 has it, in UTC with whole seconds.
pub(in crate::http) fn time(at: SystemTime) -> Option<String> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?.to_string())
}

/// The time of an instant, to the nearest second.
pub(in crate::http) fn time_of(at: Instant, now: Now) -> Option<String> {
    let half = std::time::Duration::from_millis(500);
    time(now.wall_at(at)?.checked_add(half)?)
}

/// Lets only those pass who may see all groups.
pub(in crate::http) fn check_sees_all(caller: &Caller) -> Result<(), Problem> {
    match caller.reads() {
        Scope::All => Ok(()),
        Scope::Groups(_) => Err(Problem::new(403, "this needs a token for all groups")),
    }
}

/// Lets only those pass who may see this group.
pub(in crate::http) fn check_sees(caller: &Caller, group: &str) -> Result<(), Problem> {
    match caller.reads().has(group) {
        true => Ok(()),
        false => Err(Problem::new(403, format!("this token may not read the group {group:?}"))),
    }
}
