//! What the server can be asked, and what its answers mean to a user.

use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::connection::{Api, ApiCall, Method};
use super::{Entry, Failure};
use crate::config::commands::Filter;
use crate::registration::{BodyFault, TargetId};

/// Registrations that are asked for at once; the server gives no more.
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

/// What a declaration has done, or would do.
#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize)]
pub(super) struct DeclarationCounts {
    pub(super) created: usize,
    pub(super) updated: usize,
    pub(super) unchanged: usize,
    pub(super) deleted: usize,
}

pub(super) enum DeclareAnswer {
    Done(DeclarationCounts),
    /// Entries that stand in other groups.
    Elsewhere(Vec<BodyFault>, usize),
    /// Entries that are wrong, or that the token may not take, with the sentence about all of them.
    Refused(String, Vec<BodyFault>, usize),
}

impl Api {
    /// Asks; an outage, a failure of the server, an answer of something else and a token that does not do are failures
    /// of the command. A 404 that comes through is the server's.
    pub(super) fn ask(&self, call: &ApiCall<'_>) -> Result<Answer, Failure> {
        let answer = self.send(call).map_err(|e| {
            let next = "Is it running, and is this its address? --url or INVENTOR_URL says where it is";
            Failure::Unavailable(format!("no answer from {e}. {next}"))
        })?;
        match answer.status {
            // 501 is no failure: nobody who has registrations does not know a method for them.
            500.. if answer.status != 501 => {
                let reason = answer.reason();
                Err(Failure::Unavailable(format!("{} answers {}: {reason}; try again", self.url, answer.status)))
            }
            _ if !answer.is_ours(call.path) => Err(self.foreign(&answer, call.path)),
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

    /// What is to be said of an answer that no server like ours gives.
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

    /// What is to be said of an answer that says nothing to us.
    fn unknown(&self, answer: &Answer) -> Failure {
        Failure::Unavailable(format!(
            "what answers at {} is not inventor, or one too old for this ({}: {}); check --url and what is on the way",
            self.url,
            answer.status,
            answer.reason()
        ))
    }

    /// Whether the program behind an answer that it has no such path is the one that this one replaces.
    fn is_original(&self) -> bool {
        self.send(&ApiCall::new(Method::GET, "/healthcheck")).is_ok_and(|answer| answer.is_well())
    }

    /// Whether the server has the newer API, with lists of registrations. The original takes registrations all the same.
    pub(super) fn can_list(&self) -> Result<bool, Failure> {
        let path = "/api/v1/status";
        match self.send(&ApiCall::new(Method::GET, path)) {
            Ok(answer) if answer.is_unknown_path() && self.is_original() => Ok(false),
            _ => self.ask(&ApiCall::new(Method::GET, path)).map(|_| true),
        }
    }

    /// Asks what the server can only when one of these has a lifetime of its own.
    pub(super) fn must_know_lifetimes<'a>(&self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), Failure> {
        match self.must_have_no_lifetimes(entries) {
            Err(refusal) if !self.can_list()? => Err(refusal),
            _ => Ok(()),
        }
    }

    /// For the original, which gives all registrations the same lifetime, and would leave their own out without a word.
    pub(super) fn must_have_no_lifetimes<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<(), Failure> {
        if entries.into_iter().all(|entry| entry.ttl_seconds.is_none()) {
            return Ok(());
        }
        let url = &self.url;
        Err(Failure::Unavailable(format!(
            "{url} is the original inventor, which knows one lifetime for all; leave --ttl and ttl_seconds out"
        )))
    }

    /// The answer to something that is there on every server with the newer API. It has this member; other programs
    /// answer with JSON as well.
    pub(super) fn read(&self, path: &str, member: &str) -> Result<Value, Failure> {
        self.read_or_none(path, member)?.ok_or_else(|| {
            Failure::Unavailable(format!("{} has no {path}: it is too old, or --url is not its address", self.url))
        })
    }

    /// The list of this name in the answer.
    pub(super) fn list(&self, path: &str, member: &str) -> Result<Vec<Value>, Failure> {
        Ok(self.read(path, member)?[member].as_array().cloned().unwrap_or_default())
    }

    /// The answer as [`Api::read`] has it; `None` when the server says that there is no such thing.
    pub(super) fn read_or_none(&self, path: &str, member: &str) -> Result<Option<Value>, Failure> {
        match self.found(&ApiCall::new(Method::GET, path))? {
            Some(answer) => match self.decode::<Value>(&answer)? {
                value if value.get(member).is_some() => Ok(Some(value)),
                _ => Err(self.unknown(&answer)),
            },
            None => Ok(None),
        }
    }

    /// What is answered with 200; `None` for a 404.
    fn found(&self, call: &ApiCall<'_>) -> Result<Option<Answer>, Failure> {
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

    /// Registers, or renews, and returns whatever the server says to that.
    pub(super) fn put(&self, entry: &Entry) -> Result<Answer, String> {
        let body = entry.body();
        self.send(&ApiCall::new(Method::PUT, "/target").body(&body))
    }

    pub(super) fn register(&self, entry: &Entry) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Registered {
            id: String,
        }
        let body = entry.body();
        let answer = self.ask(&ApiCall::new(Method::PUT, "/target").body(&body))?;
        match answer.status {
            200 => self.decode::<Registered>(&answer).map(|registered| registered.id),
            _ => Err(refused(&answer)),
        }
    }

    /// Deletes; `false` when there is no such registration.
    pub(super) fn deregister(&self, id: TargetId) -> Result<bool, Failure> {
        let body = id_body(id);
        Ok(self.found(&ApiCall::new(Method::DELETE, "/target").body(&body))?.is_some())
    }

    /// Hands on every registration that the filter and the words let through, page by page, with how many there are,
    /// for as long as they are taken.
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
                .map_err(|e| Failure::Unavailable(format!("{} gives a list that is not understood: {e}", self.url)))?;
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

    /// What is registered in a group, which may be nothing.
    pub(super) fn group(&self, name: &str) -> Result<Group, Failure> {
        let Some(answer) = self.found(&ApiCall::new(Method::GET, &group_path(name)))? else {
            return Ok(Group { entries: Vec::new(), etag: None });
        };
        let entries: Vec<Entry> = self.decode(&answer)?;
        // The server says of an empty group that it is not there.
        if entries.is_empty() || answer.etag.is_none() {
            return Err(self.unknown(&answer));
        }
        let of_group = |entry| Entry { target_group: Some(name.to_owned()), ..entry };
        Ok(Group { entries: entries.into_iter().map(of_group).collect(), etag: answer.etag })
    }

    /// Deletes a group, and returns how many registrations that were; `None` when it has none.
    pub(super) fn delete_group(&self, name: &str) -> Result<Option<usize>, Failure> {
        #[derive(Deserialize)]
        struct Deleted {
            deleted: usize,
        }
        match self.found(&ApiCall::new(Method::DELETE, &group_path(name)))? {
            Some(answer) => self.decode::<Deleted>(&answer).map(|Deleted { deleted }| Some(deleted)),
            None => Ok(None),
        }
    }

    /// Declares a group, with these parameters, if it still is what its ETag says.
    pub(super) fn declare(
        &self,
        name: &str,
        entries: &[Entry],
        parameters: &[(&str, String)],
        etag: Option<&str>,
    ) -> Result<DeclareAnswer, Failure> {
        // The group stands in the path, and the lifetime is one for all.
        let declared = |entry: &Entry| Entry { target_group: None, ttl_seconds: None, ..entry.clone() };
        let body = crate::registration::json::encode(&entries.iter().map(declared).collect::<Vec<_>>());
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let path = format!("{}?{query}", group_path(name));
        let answer = self.ask(&ApiCall { if_match: etag, ..ApiCall::new(Method::PUT, &path).body(&body) })?;
        let faults = answer.problem().map(|problem| (problem.sentence(), problem.errors, problem.errors_total));
        match (answer.status, faults) {
            (200, _) => self.decode(&answer).map(DeclareAnswer::Done),
            (412, _) => {
                Err(Failure::Refused(format!("somebody has changed the group {name:?} meanwhile; run this again")))
            }
            (409, Some((_, faults, total))) => {
                let total = total.unwrap_or(faults.len());
                Ok(DeclareAnswer::Elsewhere(faults, total))
            }
            (_, Some((sentence, faults, total))) if !faults.is_empty() => {
                let total = total.unwrap_or(faults.len());
                Ok(DeclareAnswer::Refused(sentence, faults, total))
            }
            _ => Err(refused(&answer)),
        }
    }
}

fn group_path(name: &str) -> String {
    // A blank is + in a query and %20 in a path.
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/api/v1/groups/{}", name.replace('+', "%20"))
}

/// The body that names a registration on the old paths.
pub(super) fn id_body(id: TargetId) -> Vec<u8> {
    format!("{{\"id\":\"{id}\"}}").into_bytes()
}

/// The server's no, with its reason.
pub(super) fn refused(answer: &Answer) -> Failure {
    match answer.status {
        400..500 => Failure::Refused(format!("the server refuses this: {}", answer.reason())),
        status => Failure::Unavailable(format!("the server answers {status}: {}", answer.reason())),
    }
}
