//! A registration as memory holds it: the JSON of its members, ready to be copied into documents and lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checked::Registration;
use super::fields::Fields;
use super::json::{self, TextMap};
use super::ttl::Ttl;

const TARGETS: &[u8] = b"\"targets\":";
const LABELS: &[u8] = b",\"labels\":";
const GROUP: &[u8] = b",\"target_group\":";
const MODULES: &[u8] = b",\"modules\":";

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
    /// Where the modules begin; `None` when there are none.
    modules: Option<usize>,
    /// Labels are `null` in the document, and `{}` in lists.
    labels_are_null: bool,
    /// Stands behind `updated_at` in the document, and only when it was given.
    ttl: Option<Ttl>,
}

impl Content {
    /// Encodes a registration.
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
        let modules = (!fields.modules.is_empty()).then_some(json.len() + MODULES.len());
        if modules.is_some() {
            write_member(&mut json, MODULES, &fields.modules);
        }
        let ttl = fields.ttl.as_ref().and_then(|ttl| ttl.as_ref().ok()).copied();
        let labels_are_null = fields.labels.is_none();
        Content(Arc::new(Members { json: json.into(), targets_end, labels_end, modules, labels_are_null, ttl }))
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
        match self.0.labels_are_null {
            true => b"{}",
            false => &self.0.json[self.0.targets_end + LABELS.len()..self.0.labels_end],
        }
    }

    /// Decodes the addresses.
    pub fn targets(&self) -> Vec<String> {
        decode_strings(self.targets_json())
    }

    /// Decodes the labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        // What was encoded here can be decoded.
        serde_json::from_slice(self.labels_json()).map(|TextMap(labels)| labels).unwrap_or_default()
    }

    /// Decodes the modules, each of which multiplies the entry in the list.
    pub fn modules(&self) -> Vec<String> {
        self.0.modules.map(|start| decode_strings(&self.0.json[start..])).unwrap_or_default()
    }

    /// The lifetime that its owner gave it; `None` is the server's default.
    pub fn ttl(&self) -> Option<Ttl> {
        self.0.ttl
    }
}

fn write_member<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, name: &[u8], value: &T) {
    out.extend_from_slice(name);
    json::encode_into(out, value);
}

fn decode_strings(json: &[u8]) -> Vec<String> {
    // What was encoded here can be decoded.
    serde_json::from_slice(json).unwrap_or_default()
}
