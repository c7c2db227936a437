//! What the server can be asked, and what its answers mean to a user.

use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::connection::{Call, Connection, Method, Unreachable};
use super::{Entry, Failure};
use crate::config::commands::Filter;
use crate::registration::TargetId;

/// Registrations that are asked for at once; the server gives no more.
const PAGE_SIZE: usize = 1000;

/// A page of the list.
#[derive(Deserialize)]
struct Page {
    registrations: Vec<Value>,
    total: usize,
    next_page_token: Option<String>,
}

/// A group as it is declared.
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    pub(super) etag: Option<String>,
}

#[derive(Deserialize)]
struct GroupEntry {
    targets: Vec<String>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    modules: Vec<String>,
}

impl Connection {
    /// Asks; an outage, a failure of the server and a token that does not do are failures of the command.
    pub(super) fn ask(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let answer = self.send(call).map_err(|e| {
            let next = "Is it running, and is this its address? --url or INVENTOR_URL says where it is";
            Failure::Unavailable(format!("no answer from {e}. {next}"))
        })?;
        match answer.status {
            300..=399 => Err(Failure::Usage(format!("{}: {}; give --url that address", self.url(), answer.reason()))),
            401 | 403 if !self.has_token() => Err(Failure::No(format!(
                "{} wants a token; set INVENTOR_TOKEN, or name a file with it by --token-file",
                self.url()
            ))),
            401 | 403 => Err(Failure::No(format!(
                "{} does not accept this token for that ({}: {}); check INVENTOR_TOKEN or the token file",
                self.url(),
                answer.status,
                answer.reason()
            ))),
            500.. => Err(Failure::Unavailable(format!(
                "{} answers {}: {}; try again",
                self.url(),
                answer.status,
                answer.reason()
            ))),
            _ => Ok(answer),
        }
    }

    /// Whether the server has the newer API, with lists of registrations. The Go program takes registrations all the same.
    pub(super) fn can_list(&self) -> Result<bool, Failure> {
        self.ask(&Call::new(Method::GET, "/api/v1/status")).map(|answer| answer.status != 404)
    }

    /// The answer to something that is there on every server with the newer API.
    fn ask_json(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.ask(&Call::new(Method::GET, path))?;
        match answer.status {
            200 => self.decode(&answer),
            404 => Err(Failure::Unavailable(format!(
                "{} has no /api/v1: it is no inventor, or one too old for this; check --url",
                self.url()
            ))),
            _ => Err(refused(&answer)),
        }
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        serde_json::from_slice(&answer.body).map_err(|e| {
            Failure::Unavailable(format!("{} gives an answer that is not understood ({e}); check --url", self.url()))
        })
    }

    /// Registers, or renews, and returns whatever the server says to that.
    pub(super) fn put(&self, entry: &Entry) -> Result<Answer, Unreachable> {
        let body = entry.body();
        self.send(&Call::new(Method::PUT, "/target").body(&body))
    }

    /// Registers, or renews, and returns the id.
    pub(super) fn register(&self, entry: &Entry) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Registered {
            id: String,
        }
        let body = entry.body();
        let answer = self.ask(&Call::new(Method::PUT, "/target").body(&body))?;
        match answer.status {
            200 => self.decode::<Registered>(&answer).map(|registered| registered.id),
            _ => Err(refused(&answer)),
        }
    }

    /// Deletes; `false` when there is no such registration.
    pub(super) fn deregister(&self, id: TargetId) -> Result<bool, Failure> {
        let body = id_body(id);
        let answer = self.ask(&Call::new(Method::DELETE, "/target").body(&body))?;
        match answer.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    /// One registration; `None` when there is none with this id.
    pub(super) fn registration(&self, id: TargetId) -> Result<Option<Value>, Failure> {
        let answer = self.ask(&Call::new(Method::GET, &format!("/api/v1/registrations/{id}")))?;
        match answer.status {
            200 => self.decode(&answer).map(Some),
            404 => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    /// Hands on every registration that the filter and the words let through, page by page, with how many there are.
    pub(super) fn registrations(
        &self,
        filter: &Filter,
        query: Option<&str>,
        mut take: impl FnMut(Value, usize) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut next = None;
        loop {
            let mut parameters = Serializer::new(String::new());
            parameters.extend_pairs(filter.groups.iter().map(|group| ("group", group)));
            parameters.extend_pairs(filter.selectors.iter().map(|selector| ("selector", selector)));
            parameters.extend_pairs(query.map(|text| ("q", text)));
            parameters.append_pair("limit", &PAGE_SIZE.to_string());
            parameters.extend_pairs(next.as_deref().map(|token: &str| ("page_token", token)));
            let page = self.ask_json(&format!("/api/v1/registrations?{}", parameters.finish()))?;
            let page: Page = serde_json::from_value(page).map_err(|e| {
                Failure::Unavailable(format!("{} gives a list that is not understood: {e}", self.url()))
            })?;
            page.registrations.into_iter().try_for_each(|registration| take(registration, page.total))?;
            next = page.next_page_token;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The list of groups.
    pub(super) fn groups(&self) -> Result<Value, Failure> {
        self.ask_json("/api/v1/groups").map(|mut answer| answer["groups"].take())
    }

    /// How the server is doing.
    pub(super) fn status(&self) -> Result<Value, Failure> {
        self.ask_json("/api/v1/status")
    }

    /// What is registered in a group, which may be nothing.
    pub(super) fn group(&self, name: &str) -> Result<Group, Failure> {
        let answer = self.ask(&Call::new(Method::GET, &group_path(name)))?;
        match answer.status {
            200 => {
                let entries: Vec<GroupEntry> = self.decode(&answer)?;
                let entry = |GroupEntry { targets, labels, modules }| Entry {
                    targets,
                    labels,
                    modules,
                    target_group: Some(name.to_owned()),
                    ttl_seconds: None,
                };
                Ok(Group { entries: entries.into_iter().map(entry).collect(), etag: answer.etag })
            }
            404 => Ok(Group { entries: Vec::new(), etag: None }),
            _ => Err(refused(&answer)),
        }
    }

    /// Declares a group, with these parameters, if it still is what its ETag says.
    pub(super) fn declare(
        &self,
        name: &str,
        entries: &[Entry],
        parameters: &[(&str, String)],
        etag: Option<&str>,
    ) -> Result<Value, Failure> {
        #[derive(serde::Serialize)]
        struct Declared<'a> {
            targets: &'a [String],
            labels: &'a std::collections::BTreeMap<String, String>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            modules: &'a [String],
        }
        let declared =
            entries.iter().map(|Entry { targets, labels, modules, .. }| Declared { targets, labels, modules });
        let body = crate::registration::json::encode(&declared.collect::<Vec<_>>());
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let path = format!("{}?{query}", group_path(name));
        let answer = self.ask(&Call { if_match: etag, ..Call::new(Method::PUT, &path).body(&body) })?;
        match answer.status {
            200 => self.decode(&answer),
            412 => Err(Failure::No(format!("somebody has changed the group {name:?} meanwhile; run this again"))),
            409 => Err(Failure::No(format!("{}; --adopt takes them over", answer.reason()))),
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
        400..500 => Failure::No(format!("the server refuses this: {}", answer.reason())),
        status => Failure::Unavailable(format!("the server answers {status}: {}", answer.reason())),
    }
}
