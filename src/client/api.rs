//! The requests to the server, and what its answers mean to a user.

use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::connection::{Api, ApiCall, Method, header};
use super::{Entry, Failure};
use crate::config::commands::Filter;
use crate::registration::{BodyFault, TargetId};

/// The path on which either program makes and deletes registrations.
pub(super) const TARGET: &str = "/target";

/// How many registrations are requested at once; the server's limit.
const PAGE_SIZE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    registrations: Vec<Value>,
    total: usize,
    next_page_token: Option<String>,
}

pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    pub(super) etag: Option<String>,
}

/// The changes that a declaration has made or would make.
#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize)]
pub(super) struct DeclarationCounts {
    pub(super) created: usize,
    pub(super) updated: usize,
    pub(super) unchanged: usize,
    pub(super) deleted: usize,
}

pub(super) enum DeclareAnswer {
    Done(DeclarationCounts),
    Refused(RefusedDeclaration),
}

/// Why a declaration is refused.
pub(super) struct RefusedDeclaration {
    /// Whether the named entries are in other groups.
    pub(super) is_elsewhere: bool,
    /// The summary of all faults.
    pub(super) sentence: String,
    pub(super) faults: Vec<BodyFault>,
    /// How many faults there are; fewer may be named.
    pub(super) total: usize,
}

impl Api {
    /// Sends a request. An outage, an error of the server, the answer of another program and an insufficient token are
    /// failures of the command. A 404 that comes through is the server's.
    pub(super) fn ask(&self, call: &ApiCall) -> Result<Answer, Failure> {
        let answer = self.send(call).map_err(|e| {
            let next = "Is it running, and is this its address? --url or INVENTOR_URL sets it";
            Failure::Unavailable(format!("no answer from {e}. {next}"))
        })?;
        match answer.status {
            // 501 is no failure of ours: a server of registrations knows all methods for them.
            500.. if answer.status != 501 => {
                let reason = answer.reason();
                Err(Failure::Unavailable(format!("{} answers {}: {reason}; try again", self.url, answer.status)))
            }
            _ if !answer.is_ours(&call.path) => Err(self.foreign(&answer, &call.path)),
            401 | 403 if self.token.is_none() => Err(Failure::Refused(format!(
                "{} wants a token; set INVENTOR_TOKEN, or name a file with it by --token-file",
                self.url
            ))),
            401 | 403 if answer.problem().is_none_or(|problem| problem.errors.is_empty()) => {
                Err(Failure::Refused(format!(
                    "{} does not accept this token for that ({}: {}); check INVENTOR_TOKEN or the token file",
                    self.url,
                    answer.status,
                    answer.reason()
                )))
            }
            _ => Ok(answer),
        }
    }

    /// The failure for an answer that no server like ours gives.
    fn foreign(&self, answer: &Answer, path: &str) -> Failure {
        let url = &self.url;
        if (300..400).contains(&answer.status) {
            return Failure::Unavailable(format!("{url}: {}; give --url that address", answer.reason()));
        }
        if path.starts_with("/api/") && answer.is_unknown_path() && self.is_original() {
            return Failure::Unavailable(format!(
                "{url} is the original inventor, which has no /api/v1; register, deregister, import and agent work with it"
            ));
        }
        self.unknown(answer)
    }

    /// The failure for an answer that is not understood.
    fn unknown(&self, answer: &Answer) -> Failure {
        Failure::Unavailable(format!(
            "the program at {} is not inventor, or is too old for this ({}: {}); check --url and any proxy in between",
            self.url,
            answer.status,
            answer.reason()
        ))
    }

    /// Whether the program that knows no such path is the one that this one replaces.
    fn is_original(&self) -> bool {
        self.send(&ApiCall::get("/healthcheck")).is_ok_and(|answer| answer.is_well())
    }

    /// Whether the server has the newer API, with lists of registrations. The original takes registrations too, but
    /// gives all of them the same lifetime and would silently drop their own.
    pub(super) fn can_list(&self, entries: &[Entry]) -> Result<bool, Failure> {
        let path = "/api/v1/status";
        match self.send(&ApiCall::get(path)) {
            Ok(answer) if answer.is_unknown_path() && self.is_original() => {}
            _ => return self.ask(&ApiCall::get(path)).map(|_| true),
        }
        match entries.iter().all(|entry| entry.ttl_seconds.is_none()) {
            true => Ok(false),
            false => Err(Failure::Unavailable(format!(
                "{} is the original inventor, which knows one lifetime for all; leave --ttl and ttl_seconds out",
                self.url
            ))),
        }
    }

    /// The answer to a path of every server with the newer API. It must have this member, because other programs answer
    /// with JSON as well.
    pub(super) fn read(&self, path: &str, member: &str) -> Result<Value, Failure> {
        self.read_or_none(path, member)?.ok_or_else(|| {
            Failure::Unavailable(format!("{} has no {path}: it is too old, or --url is not its address", self.url))
        })
    }

    /// The list of this name in the answer.
    pub(super) fn list(&self, path: &str, member: &str) -> Result<Vec<Value>, Failure> {
        Ok(self.read(path, member)?[member].as_array().cloned().unwrap_or_default())
    }

    /// The same as [`Api::read`]; `None` if the server says that there is no such thing.
    pub(super) fn read_or_none(&self, path: &str, member: &str) -> Result<Option<Value>, Failure> {
        match self.found(&ApiCall::get(path))? {
            Some(answer) => match self.decode::<Value>(&answer)? {
                value if value.get(member).is_some() => Ok(Some(value)),
                _ => Err(self.unknown(&answer)),
            },
            None => Ok(None),
        }
    }

    /// The answer with status 200; `None` for a 404.
    fn found(&self, call: &ApiCall) -> Result<Option<Answer>, Failure> {
        let answer = self.ask(call)?;
        match answer.status {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        serde_json::from_slice(&answer.body).map_err(|_| self.unknown(answer))
    }

    /// Registers or renews, and returns the server's answer.
    pub(super) fn put(&self, entry: &Entry) -> Result<Answer, String> {
        self.send(&ApiCall::new(Method::PUT, TARGET).body(entry.body()))
    }

    /// Registers, or renews, and returns the id.
    pub(super) fn register(&self, entry: &Entry) -> Result<String, Failure> {
        let answer = self.ask(&ApiCall::new(Method::PUT, TARGET).body(entry.body()))?;
        match (answer.status, answer.json()["id"].as_str()) {
            (200, Some(id)) => Ok(id.to_owned()),
            (200, None) => Err(self.unknown(&answer)),
            _ => Err(refused(&answer)),
        }
    }

    /// Deletes a registration; `false` if there is none.
    pub(super) fn deregister(&self, id: TargetId) -> Result<bool, Failure> {
        Ok(self.found(&of_target(Method::DELETE, id))?.is_some())
    }

    /// Passes on every registration that the filter and the words let through, page by page and with their total
    /// number, until `take` wants no more.
    pub(super) fn registrations(
        &self,
        filter: &Filter,
        query: Option<&str>,
        sort: Option<&str>,
        mut take: impl FnMut(Value, usize) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut next = None;
        loop {
            let mut parameters = Serializer::new(String::new());
            parameters.extend_pairs(filter.groups.iter().map(|group| ("group", group)));
            parameters.extend_pairs(filter.selectors.iter().map(|selector| ("selector", selector)));
            parameters.extend_pairs(query.map(|text| ("q", text)));
            parameters.extend_pairs(sort.map(|keys| ("sort", keys)));
            parameters.append_pair("limit", &PAGE_SIZE.to_string());
            parameters.extend_pairs(next.as_deref().map(|token: &str| ("page_token", token)));
            let page = self.read(&format!("/api/v1/registrations?{}", parameters.finish()), "registrations")?;
            let page: Page = serde_json::from_value(page)
                .map_err(|e| Failure::Unavailable(format!("{} returns a list that cannot be parsed: {e}", self.url)))?;
            for registration in page.registrations {
                if !take(registration, page.total)? {
                    return Ok(());
                }
            }
            next = page.next_page_token;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The registrations of a group; perhaps none.
    pub(super) fn group(&self, name: &str) -> Result<Group, Failure> {
        let Some(answer) = self.found(&ApiCall::get(group_path(name)))? else {
            return Ok(Group { entries: Vec::new(), etag: None });
        };
        let entries: Vec<Entry> = self.decode(&answer)?;
        // For an empty group the server answers that there is none.
        if entries.is_empty() || answer.etag.is_none() {
            return Err(self.unknown(&answer));
        }
        let of_group = |entry| Entry { target_group: Some(name.to_owned()), ..entry };
        Ok(Group { entries: entries.into_iter().map(of_group).collect(), etag: answer.etag })
    }

    /// Deletes a group and returns how many registrations it had; `None` if it had none.
    pub(super) fn delete_group(&self, name: &str) -> Result<Option<usize>, Failure> {
        #[derive(Deserialize)]
        struct Deleted {
            deleted: usize,
        }
        match self.found(&ApiCall::new(Method::DELETE, group_path(name)))? {
            Some(answer) => self.decode::<Deleted>(&answer).map(|Deleted { deleted }| Some(deleted)),
            None => Ok(None),
        }
    }

    /// Declares a group with these parameters, if its ETag still matches.
    pub(super) fn declare(
        &self,
        name: &str,
        entries: &[Entry],
        parameters: &[(&str, String)],
        etag: Option<&str>,
    ) -> Result<DeclareAnswer, Failure> {
        // The group is in the path, and one lifetime is for all.
        let declared = |entry: &Entry| Entry { target_group: None, ttl_seconds: None, ..entry.clone() };
        let body = crate::registration::json::encode(&entries.iter().map(declared).collect::<Vec<_>>());
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let path = format!("{}?{query}", group_path(name));
        let answer = self.ask(&ApiCall::new(Method::PUT, path).body(body).only(header::IF_MATCH, etag))?;
        match (answer.status, answer.problem()) {
            (200, _) => self.decode(&answer).map(DeclareAnswer::Done),
            (412, _) => {
                Err(Failure::Refused(format!("somebody has changed the group {name:?} meanwhile; run this again")))
            }
            (status, Some(problem)) if status == 409 || !problem.errors.is_empty() => {
                let total = problem.errors_total.unwrap_or(problem.errors.len());
                let (is_elsewhere, sentence, faults) = (status == 409, problem.sentence(), problem.errors);
                Ok(DeclareAnswer::Refused(RefusedDeclaration { is_elsewhere, sentence, faults, total }))
            }
            _ => Err(refused(&answer)),
        }
    }
}

fn group_path(name: &str) -> String {
    // A blank is `+` in a query, but `%20` in a path.
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/api/v1/groups/{}", name.replace('+', "%20"))
}

/// A request for one registration on the old path, or for its deletion.
pub(super) fn of_target(method: Method, id: TargetId) -> ApiCall {
    ApiCall::new(method, TARGET).body(format!("{{\"id\":\"{id}\"}}").into_bytes())
}

/// The failure for the server's refusal, with its reason.
fn refused(answer: &Answer) -> Failure {
    match answer.status {
        400..500 => Failure::Refused(format!("the server refuses this: {}", answer.reason())),
        status => Failure::Unavailable(format!("the server answers {status}: {}", answer.reason())),
    }
}
