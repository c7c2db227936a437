//! A registration in memory, ready to be copied into documents and lists, and the document of it that a store holds, as
//! the Go program writes it to Redis: read leniently, written equal to the byte.

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::MapAccess;

use super::checked::{Fields, Invalid, LabelNames, Registration};
use super::id::TargetId;
use super::json::{self, Object, Text};
use super::ttl::Ttl;

const TARGETS: &str = "\"targets\":";
const LABELS: &str = ",\"labels\":";
const GROUP: &str = ",\"target_group\":";
const MODULES: &str = ",\"modules\":";

/// The members of a registration, encoded once. A renewal that changes nothing leaves it equal. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(Arc<Members>);

/// `"targets":[...],"labels":{...},"target_group":"..."` and, if there are any, `,"modules":[...]`, in the order
/// and spelling of the Go program, with the places at which its parts begin and end.
#[derive(Debug, PartialEq, Eq)]
struct Members {
    json: Box<[u8]>,
    targets_end: usize,
    labels_end: usize,
    group_end: usize,
    target_count: usize,
    /// Follows `updated_at` in the document, if it was given.
    ttl: Option<Ttl>,
}

impl Content {
    pub fn new(registration: &Registration) -> Content {
        Content::of(&registration.fields)
    }

    pub(super) fn of(fields: &Fields) -> Content {
        let mut json = Vec::with_capacity(256);
        write_member(&mut json, TARGETS, &fields.targets);
        let targets_end = json.len();
        write_member(&mut json, LABELS, &fields.labels);
        let labels_end = json.len();
        write_member(&mut json, GROUP, fields.group.as_deref().unwrap_or_default());
        let group_end = json.len();
        if !fields.modules.is_empty() {
            write_member(&mut json, MODULES, &fields.modules);
        }
        Content(Arc::new(Members {
            json: json.into(),
            targets_end,
            labels_end,
            group_end,
            target_count: fields.targets.as_ref().map_or(0, Vec::len),
            ttl: fields.ttl.as_ref().and_then(|ttl| ttl.as_ref().ok()).copied(),
        }))
    }

    pub(super) fn members(&self) -> &[u8] {
        &self.0.json
    }

    pub fn targets_json(&self) -> &[u8] {
        &self.0.json[TARGETS.len()..self.0.targets_end]
    }

    /// The labels as JSON, an object also where the document has `null`.
    pub fn labels_json(&self) -> &[u8] {
        match &self.0.json[self.0.targets_end + LABELS.len()..self.0.labels_end] {
            b"null" => b"{}",
            labels => labels,
        }
    }

    pub fn targets(&self) -> Vec<String> {
        decode_strings(self.targets_json()).collect()
    }

    pub fn target_count(&self) -> usize {
        self.0.target_count
    }

    /// Decodes the labels: names and values, sorted by name.
    pub fn labels(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let mut strings = json::strings(self.labels_json()).map(json::decode_string);
        iter::from_fn(move || Some((strings.next()?, strings.next()?)))
    }

    /// The value of a label. Nothing is decoded but this value.
    pub fn label(&self, name: &str) -> Option<Cow<'_, str>> {
        json::member(self.labels_json(), name).map(json::decode_string)
    }

    pub fn byte_count(&self) -> usize {
        self.0.json.len()
    }

    pub fn group_json(&self) -> &[u8] {
        &self.0.json[self.0.labels_end + GROUP.len()..self.0.group_end]
    }

    pub fn group(&self) -> Cow<'_, str> {
        json::decode_string(self.group_json())
    }

    /// The modules as JSON; `None` when there are none.
    pub fn modules_json(&self) -> Option<&[u8]> {
        self.0.json.get(self.0.group_end + MODULES.len()..)
    }

    /// Decodes the modules, each of which multiplies the entry in the list.
    pub fn modules(&self) -> Vec<String> {
        self.modules_json().into_iter().flat_map(decode_strings).collect()
    }

    /// The members that lists and groups show, as JSON: targets, labels, group, modules.
    pub fn shown(&self) -> [&[u8]; 4] {
        [self.targets_json(), self.labels_json(), self.group_json(), self.modules_json().unwrap_or_default()]
    }

    /// Whether lists and groups show both alike: they do not show lifetimes.
    pub fn shows_the_same(&self, other: &Content) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.shown() == other.shown()
    }

    /// The owner's lifetime; `None` is the server's default.
    pub fn ttl(&self) -> Option<Ttl> {
        self.0.ttl
    }
}

fn write_member<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) {
    out.extend_from_slice(name.as_bytes());
    json::encode_into(out, value);
}

fn decode_strings(json: &[u8]) -> impl Iterator<Item = String> {
    json::strings(json).map(|string| json::decode_string(string).into_owned())
}

/// The most digits of a number of seconds.
const DIGITS_MAX: usize = 20;

/// A stored document as it was written, by this program or another; its fields are not checked.
#[derive(Debug, Default)]
pub struct Document {
    /// The id inside the document, which is not always its key.
    id: Option<TargetId>,
    fields: Fields,
    updated_at: Option<String>,
}

impl Document {
    /// Reads a stored value. Fields may be missing, null, unknown, or in another order.
    pub fn decode(value: &[u8]) -> Result<Document, serde_json::Error> {
        json::decode(value)
    }

    /// The registration in the document, unless another program stored what this one would have refused.
    pub fn into_registration(self, names: LabelNames) -> Result<Registration, Invalid> {
        Registration::check(self.fields, names)
    }

    /// When its owner last wrote it; `None` when the document does not say so in whole seconds.
    pub fn updated_at(&self) -> Option<SystemTime> {
        whole_seconds(self.updated_at.as_deref()?)
    }

    /// The document as the API shows it: every field written, whatever was stored.
    pub fn to_json(&self) -> Vec<u8> {
        let updated_at = self.updated_at.as_deref().unwrap_or_default();
        Content::of(&self.fields).write_document(self.id.unwrap_or(TargetId::NIL), updated_at)
    }
}

/// The content of a stored value, and when its owner last wrote it, if the value says so.
pub fn read_stored(value: &[u8], names: LabelNames) -> Result<(Content, Option<SystemTime>), String> {
    let document = Document::decode(value).map_err(|e| e.to_string())?;
    let updated_at = document.updated_at();
    let registration = document.into_registration(names).map_err(|e| e.to_string())?;
    Ok((Content::new(&registration), updated_at))
}

/// Parses a time as documents have it.
fn whole_seconds(text: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(text.parse().ok()?))
}

impl Content {
    /// The document with this content, as it is stored. `updated_at` is kept in whole seconds.
    pub fn document(&self, id: TargetId, updated_at: SystemTime) -> Vec<u8> {
        let seconds = updated_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        self.write_document(id, &seconds.to_string())
    }

    /// The time of the last write, if this is a document with exactly this content and id, in the spelling of
    /// [`Content::document`]; `Some(None)` if it does not say the time. Equals the result of [`read_stored`], without
    /// decoding.
    pub fn written_in(&self, document: &[u8], id: TargetId) -> Option<Option<SystemTime>> {
        let members = document.strip_prefix(format!("{{\"id\":\"{id}\",").as_bytes())?;
        let rest = members.strip_prefix(self.members())?.strip_prefix(b",\"updated_at\":\"")?;
        let (updated_at, rest) = rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?);
        let is_whole = rest == format!("\"{}}}", self.ttl_member()).as_bytes();
        let updated_at =
            std::str::from_utf8(updated_at).ok().filter(|digits| is_whole && digits.len() <= DIGITS_MAX)?;
        Some(whole_seconds(updated_at))
    }

    /// The lifetime as a member of the document, if it has one.
    fn ttl_member(&self) -> String {
        self.ttl().map_or_else(String::new, |ttl| format!(",\"ttl_seconds\":{}", ttl.seconds()))
    }

    fn write_document(&self, id: TargetId, updated_at: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.members().len() + 128);
        out.extend_from_slice(format!("{{\"id\":\"{id}\",").as_bytes());
        out.extend_from_slice(self.members());
        out.extend_from_slice(b",\"updated_at\":");
        json::encode_into(&mut out, updated_at);
        out.extend_from_slice(self.ttl_member().as_bytes());
        out.push(b'}');
        out
    }
}

impl Object for Document {
    const NAME: &'static str = "a stored registration";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => self.id = map.next_value::<Option<Text>>()?.map(|text| stored_id(&text.0)).transpose()?,
            "updated_at" => self.updated_at = map.next_value::<Option<Text>>()?.map(|text| text.0),
            _ => return self.fields.member(name, map),
        }
        Ok(true)
    }
}

fn stored_id<E: serde::de::Error>(text: &str) -> Result<TargetId, E> {
    TargetId::parse(text).ok_or_else(|| E::custom("not a UUID"))
}

#[cfg(test)]
mod tests;
