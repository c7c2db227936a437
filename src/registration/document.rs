//! The stored document: what the Go program writes to Redis, read leniently and written equal to the byte.

use std::time::{Duration, SystemTime};

use serde::de::MapAccess;

use super::checked::{Fields, Invalid, LabelNames, Registration};
use super::content::Content;
use super::id::TargetId;
use super::json::{self, Object, Text};

/// The longest number of seconds.
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
    ///
    /// # Errors
    /// It is not JSON, or a field has the wrong type.
    pub fn decode(value: &[u8]) -> Result<Document, serde_json::Error> {
        json::decode(value)
    }

    /// The registration in the document.
    ///
    /// # Errors
    /// [`Invalid`] when another program stored what this one would have refused.
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

/// What a stored value has to say, and when its owner last wrote it, as far as it says so.
pub fn read_stored(value: &[u8], names: LabelNames) -> Result<(Content, Option<SystemTime>), String> {
    if let Some((content, updated_at)) = Content::of_plain(value, names) {
        return Ok((content, whole_seconds(updated_at)));
    }
    let document = Document::decode(value).map_err(|e| e.to_string())?;
    let updated_at = document.updated_at();
    let registration = document.into_registration(names).map_err(|e| e.to_string())?;
    Ok((Content::new(&registration), updated_at))
}

/// A time as documents say it.
fn whole_seconds(text: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(text.parse().ok()?))
}

impl Content {
    /// The document with this content, as it is stored. `updated_at` is kept in whole seconds.
    pub fn document(&self, id: TargetId, updated_at: SystemTime) -> Vec<u8> {
        let seconds = updated_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        self.write_document(id, &seconds.to_string())
    }

    /// When this was written, as far as it says so, if it is a document with this content under its id, spelled as
    /// [`Content::document`] does; then it says what [`read_stored`] would say, and nothing has to be decoded.
    pub fn written_in(&self, document: &[u8], id: TargetId) -> Option<Option<SystemTime>> {
        let members = document.strip_prefix(format!("{{\"id\":\"{id}\",").as_bytes())?;
        let rest = members.strip_prefix(self.members())?.strip_prefix(b",\"updated_at\":\"")?;
        let (updated_at, rest) = rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?);
        let is_whole = rest == format!("\"{}}}", self.ttl_member()).as_bytes();
        let updated_at =
            std::str::from_utf8(updated_at).ok().filter(|digits| is_whole && digits.len() <= DIGITS_MAX)?;
        Some(whole_seconds(updated_at))
    }

    /// The lifetime as it stands in the document, if it does.
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
