//! `/api/v1`: the paths for people and programs that the Go program does not have. Each resource has a file; here are
//! the forms that all answers share: JSON, times, entity tags, compression.

pub(super) mod diagnostics;
pub(super) mod groups;
pub(super) mod registrations;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::time::{Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::Serialize;

use super::auth::Caller;
use super::request::Request;
use super::response::{Body, Problem, Response};
use crate::registry::{Now, Scope};

/// Smaller answers are not compressed, in bytes: they fit into one packet.
const COMPRESSED_BYTES_MIN: usize = 1024;

/// A document, ended by a newline.
fn json<T: Serialize>(document: &T) -> Response {
    // Maps with string keys, strings and numbers can always be written.
    Response::json(serde_json::to_vec(document).unwrap_or_default()).private()
}

/// A document of one list, with its total length if it may hold only the first items.
fn listed<T: Serialize>(name: &'static str, items: Vec<T>, total: Option<usize>) -> Response {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Member<T> {
        Items(Vec<T>),
        Total(usize),
    }
    // In the order of their names.
    let total = total.map(|total| ("total", Member::Total(total)));
    json(&BTreeMap::from_iter([(name, Member::Items(items))].into_iter().chain(total)))
}

/// A hash as an entity tag.
fn tag(hash: u64) -> String {
    format!("\"{hash:016x}\"")
}

/// Checks that the client expects exactly this, or has no expectation.
fn check_if_match(request: &Request, hash: Option<u64>) -> Result<(), Problem> {
    let Some(expected) = request.header("if-match") else { return Ok(()) };
    // Unlike elsewhere a weak tag matches nothing (RFC 9110, 13.1.1).
    let tag = hash.map(tag);
    let mut listed = expected.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_met = tag.is_some_and(|tag| listed.any(|listed| listed == b"*" || listed == tag.as_bytes()));
    if is_met { Ok(()) } else { Err(changed()) }
}

/// Checks that the client does not want to avoid what is there: `If-None-Match: *` creates only.
fn check_if_none_match(request: &Request, hash: Option<u64>) -> Result<(), Problem> {
    match hash {
        Some(hash) if request.has_already(&tag(hash)) => Err(Problem::new(412, "If-None-Match: it is there already")),
        _ => Ok(()),
    }
}

fn changed() -> Problem {
    Problem::new(412, "If-Match: it has changed meanwhile")
}

/// A time by RFC 3339, in UTC and whole seconds.
fn time(at: SystemTime) -> Option<String> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?.to_string())
}

/// The time of an instant, to the nearest second.
fn time_of(at: Instant, now: Now) -> Option<String> {
    let half = std::time::Duration::from_millis(500);
    time(now.wall_at(at)?.checked_add(half)?)
}

fn check_sees_all(caller: &Caller) -> Result<(), Problem> {
    match caller.reads() {
        Scope::All => Ok(()),
        Scope::Groups(_) => Err(Problem::new(403, "this needs a token for all groups")),
    }
}

fn check_sees(caller: &Caller, group: &str) -> Result<(), Problem> {
    match caller.reads().has(group) {
        true => Ok(()),
        false => Err(Problem::new(403, format!("this token may not read the group {group:?}"))),
    }
}

/// Adds an entity tag to the answer to a GET, and compresses it if possible. A handler's own tag stays.
pub(super) fn spare(request: &Request, mut response: Response) -> Response {
    if response.status != 200 || !matches!(request.method.as_str(), "GET" | "HEAD") {
        return response;
    }
    let own = response.headers.iter().position(|(name, _)| *name == "ETag").map(|at| response.headers.remove(at).1);
    let tag = own.unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        response.body.parts().hash(&mut hasher);
        tag(hasher.finish())
    });
    let response = if request.has_already(&tag) {
        (response.status, response.body) = (304, Body::default());
        response.with_header("ETag", tag)
    } else if request.accepts_gzip() && response.body.len() >= COMPRESSED_BYTES_MIN {
        response.body = compressed(&response.body).into();
        response.with_header("Content-Encoding", "gzip").with_header("ETag", format!("W/{tag}"))
    } else {
        response.with_header("ETag", tag)
    };
    response.with_header("Vary", "Accept-Encoding")
}

fn compressed(body: &Body) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    for part in body.parts() {
        // Writing to memory cannot fail.
        let _ = gzip.write_all(part);
    }
    gzip.finish().unwrap_or_default()
}
