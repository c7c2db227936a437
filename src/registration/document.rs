//! The stored document: what the Go program writes to Redis, read leniently and written equal to the byte.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};

use super::json::{self, Object, Text};
use super::{Invalid, LabelNames, Registration, StaticConfig, TargetId};

/// How the members of a document begin.
const TARGETS: &[u8] = b"\"targets\":";

/// A stored document as it was written, by this program or another; its fields are not checked.
#[derive(Debug, Default)]
pub struct Document {
    /// The id inside the document, which is not always its key.
    id: Option<TargetId>,
    config: StaticConfig,
    updated_at: Option<String>,
}

/// A stored value that is no document.
#[derive(Debug)]
pub struct Undecodable(String);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Undecodable {}

impl Document {
    /// Reads a stored value. Fields may be missing, null, unknown, or in another order.
    ///
    /// # Errors
    /// [`Undecodable`] when it is not JSON or a field has the wrong type.
    pub fn decode(value: &[u8]) -> Result<Document, Undecodable> {
        json::decode(value).map_err(|e| Undecodable(e.to_string()))
    }

    /// The registration in the document.
    ///
    /// # Errors
    /// [`Invalid`] when another program stored what this one would have refused.
    pub fn into_registration(self, names: LabelNames) -> Result<Registration, Invalid> {
        Registration::new(self.config, names)
    }

    /// When its owner last wrote it; `None` when the document does not say so in whole seconds.
    pub fn updated_at(&self) -> Option<SystemTime> {
        let seconds = self.updated_at.as_deref()?.parse().ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// The document as the API shows it: every field written, whatever was stored.
    pub fn to_json(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(512);
        write_content(&mut content, &self.config, self.config.group.as_deref().unwrap_or_default());
        write_document(self.id.unwrap_or(TargetId::NIL), &content, self.updated_at.as_deref().unwrap_or_default())
    }
}

/// What a document says of its registration, as JSON members without the braces:
/// `"targets":[...],"labels":{...},"target_group":"..."` and, if there are any, `"modules":[...]`.
/// A renewal that changes nothing leaves these bytes as they are. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    json: Arc<[u8]>,
    /// Where the members that a list entry consists of, targets and labels, end.
    entry_end: u32,
}

impl Content {
    /// Encodes a registration.
    pub fn new(registration: &Registration) -> Content {
        let Registration { targets, labels, group, modules } = registration;
        let mut json = Vec::with_capacity(256);
        let entry_end = write_members(&mut json, Some(targets), labels.as_ref(), group, modules);
        Content { json: json.into(), entry_end }
    }

    /// The document with this content, as it is stored. `updated_at` is kept in whole seconds.
    pub fn document(&self, id: TargetId, updated_at: SystemTime) -> Vec<u8> {
        let seconds = updated_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        write_document(id, &self.json, &seconds.to_string())
    }

    /// The members `"targets":[...],"labels":...` of a list entry; labels may be `null`.
    pub fn entry_members(&self) -> &[u8] {
        &self.json[..self.entry_end as usize]
    }

    /// Whether there are modules, which multiply the entry.
    pub fn has_modules(&self) -> bool {
        self.json.ends_with(b"]")
    }

    /// Decodes the addresses alone.
    pub fn targets(&self) -> Vec<String> {
        // The targets come first; what follows them is not looked at.
        let list = self.json.strip_prefix(TARGETS).unwrap_or_default();
        serde_json::Deserializer::from_slice(list).into_iter().next().and_then(Result::ok).unwrap_or_default()
    }

    /// Decodes the content anew.
    pub fn registration(&self) -> Registration {
        let object = [b"{".as_slice(), &self.json, b"}"].concat();
        let config: StaticConfig = json::decode(&object).unwrap_or_default();
        Registration {
            targets: config.targets.unwrap_or_default(),
            labels: config.labels,
            group: config.group.unwrap_or_default(),
            modules: config.modules.unwrap_or_default(),
        }
    }
}

fn write_document(id: TargetId, content: &[u8], updated_at: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 96);
    out.extend_from_slice(format!("{{\"id\":\"{id}\",").as_bytes());
    out.extend_from_slice(content);
    out.extend_from_slice(b",\"updated_at\":");
    json::encode_into(&mut out, updated_at);
    out.push(b'}');
    out
}

fn write_content(out: &mut Vec<u8>, config: &StaticConfig, group: &str) {
    let modules = config.modules.as_deref().unwrap_or_default();
    write_members(out, config.targets.as_deref(), config.labels.as_ref(), group, modules);
}

/// Writes the members in the order of the Go program and returns where targets and labels end.
fn write_members(
    out: &mut Vec<u8>,
    targets: Option<&[String]>,
    labels: Option<&BTreeMap<String, String>>,
    group: &str,
    modules: &[String],
) -> u32 {
    out.extend_from_slice(TARGETS);
    json::encode_into(out, &targets);
    out.extend_from_slice(b",\"labels\":");
    json::encode_into(out, &labels);
    // Bodies and stored values are far below 4 GiB; a larger one would only be cut in the list.
    let entry_end = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(b",\"target_group\":");
    json::encode_into(out, group);
    if !modules.is_empty() {
        out.extend_from_slice(b",\"modules\":");
        json::encode_into(out, modules);
    }
    entry_end
}

impl Object for Document {
    const NAME: &'static str = "a stored registration";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => self.id = map.next_value::<Option<Text>>()?.map(|text| stored_id(&text.0)).transpose()?,
            "updated_at" => self.updated_at = map.next_value::<Option<Text>>()?.map(|text| text.0),
            _ => return self.config.member(name, map),
        }
        Ok(true)
    }
}

fn stored_id<E: serde::de::Error>(text: &str) -> Result<TargetId, E> {
    TargetId::parse(text).ok_or_else(|| E::custom("not a UUID"))
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        json::object(deserializer)
    }
}
