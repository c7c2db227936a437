//! A registration as memory holds it: the JSON of its members, ready to be copied into documents and lists, and as it is
//! found in most documents.

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;

use super::checked::{ENTRY_FRAME_BYTES, Fields, LabelNames, Registration, SHOWN_BYTES_MAX};
use super::id::TargetId;
use super::json;
use super::ttl::Ttl;

const TARGETS: &str = "\"targets\":";
const LABELS: &str = ",\"labels\":";
const GROUP: &str = ",\"target_group\":";
const MODULES: &str = ",\"modules\":";

/// What a registration says, encoded once. A renewal that changes nothing leaves it equal. Clones share it.
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
    /// Stands behind `updated_at` in the document, and only when it was given.
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

    /// All members, without the braces.
    pub(super) fn members(&self) -> &[u8] {
        &self.0.json
    }

    /// The targets as JSON.
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

    /// Decodes the addresses.
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

    /// How many bytes it takes as JSON.
    pub fn byte_count(&self) -> usize {
        self.0.json.len()
    }

    /// The group as JSON.
    pub fn group_json(&self) -> &[u8] {
        &self.0.json[self.0.labels_end + GROUP.len()..self.0.group_end]
    }

    /// Decodes the group.
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

    /// Everything that lists and groups show, as JSON: targets, labels, group, modules.
    pub fn shown(&self) -> [&[u8]; 4] {
        [self.targets_json(), self.labels_json(), self.group_json(), self.modules_json().unwrap_or_default()]
    }

    /// Whether lists and groups show the same for both: a lifetime stands in neither.
    pub fn shows_the_same(&self, other: &Content) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.shown() == other.shown()
    }

    /// The lifetime that its owner gave it; `None` is the server's default.
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

impl Content {
    /// The content of a stored document in the plain form that nearly all have, as this program writes them in ASCII and
    /// without escapes, and its `updated_at`, if it is fit to be shown: what decoding and checking it leads to as well. It is
    /// a piece of the document, so that nothing is decoded and encoded again. `None` says nothing about a document.
    pub(super) fn of_plain(document: &[u8], names: LabelNames) -> Option<(Content, &str)> {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'<' | b'>' | b'&');
        if !document.iter().all(is_plain) {
            return None;
        }
        let mut rest = Rest(std::str::from_utf8(document).ok()?);
        rest.skip("{\"id\":")?;
        TargetId::parse(rest.string()?)?;
        rest.skip(",")?;
        let members = rest.0;
        let read = |rest: &Rest<'_>| members.len() - rest.0.len();
        rest.skip(TARGETS)?;
        let target_count = rest.strings()?;
        let targets_end = read(&rest);
        rest.skip(LABELS)?;
        if rest.skip("null").is_none() {
            rest.labels(names)?;
        }
        let labels_end = read(&rest);
        rest.skip(GROUP)?;
        rest.filled_string()?;
        let group_end = read(&rest);
        let module_count = if rest.skip(MODULES).is_some() { rest.strings()? } else { 0 };
        let json = members.as_bytes()[..read(&rest)].into();
        rest.skip(",\"updated_at\":")?;
        let updated_at = rest.string()?;
        let ttl = if rest.skip(",\"ttl_seconds\":").is_some() { Some(rest.lifetime()?) } else { None };
        // More than what it takes in the list, where each module repeats it.
        let shown = (document.len() + ENTRY_FRAME_BYTES).checked_mul(module_count + 2)?;
        if rest.0 != "}" || shown > SHOWN_BYTES_MAX {
            return None;
        }
        let members = Members { json, targets_end, labels_end, group_end, target_count, ttl };
        Some((Content(Arc::new(members)), updated_at))
    }
}

/// What is left to be read of a document without escapes.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let (text, rest) = self.0.strip_prefix('"')?.split_once('"')?;
        self.0 = rest;
        Some(text)
    }

    fn filled_string(&mut self) -> Option<&'a str> {
        self.string().filter(|text| !text.is_empty())
    }

    /// A list of at least one string, none of them empty. Returns how many there are.
    fn strings(&mut self) -> Option<usize> {
        self.skip("[")?;
        self.filled_string()?;
        let mut count = 1;
        while self.skip("]").is_none() {
            self.skip(",")?;
            self.filled_string()?;
            count += 1;
        }
        Some(count)
    }

    /// Labels that are sorted by name.
    fn labels(&mut self, names: LabelNames) -> Option<()> {
        self.skip("{")?;
        // No name is empty, so that the first one comes after this.
        let mut last = "";
        while self.skip("}").is_none() {
            if !last.is_empty() {
                self.skip(",")?;
            }
            let name = self.string().filter(|name| *name > last && names.fault(name).is_none())?;
            self.skip(":")?;
            self.string()?;
            last = name;
        }
        Some(())
    }

    fn lifetime(&mut self) -> Option<Ttl> {
        let (digits, rest) = self.0.split_at(self.0.find(|c: char| !c.is_ascii_digit())?);
        self.0 = rest;
        // JSON has no zeros before a number.
        Ttl::parse(digits).filter(|ttl| ttl.seconds().to_string() == digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::TtlBounds;

    #[test]
    fn a_label_is_found_by_its_name_alone() {
        let values = ["", "plain", "b", "\"b\":\"", "\\", "\\\"", "a\",\"b\":\"x", "<ü\u{1f600}>", "{,:}"];
        let names = ["a", "b", "ab", "_", "a_b"];
        for (at, first) in values.iter().enumerate() {
            let labels: std::collections::BTreeMap<&str, &str> =
                names.iter().enumerate().map(|(n, name)| (*name, values[(at + n) % values.len()])).collect();
            let body = serde_json::json!({"static_config": {"targets": ["a:1"], "labels": labels}}).to_string();
            let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
            let content = Content::new(&registration);
            for (name, value) in &labels {
                assert_eq!(content.label(name).as_deref(), Some(*value), "{name} beside {first:?}");
            }
            for absent in ["", "x", "plain", "A", "ab_"] {
                assert_eq!(content.label(absent), None, "{absent} beside {first:?}");
            }
        }
        let bare =
            Registration::parse(br#"{"static_config":{"targets":["a:1"]}}"#, LabelNames::Legacy, TtlBounds::default());
        assert_eq!(Content::new(&bare.unwrap()).label("a"), None);
    }
}
