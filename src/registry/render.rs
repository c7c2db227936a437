//! Pure: from registrations to the JSON that Prometheus polls, and to the series of `/metrics`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use crate::registration::{Content, GROUP_LABEL, ID_LABEL, MODULE_LABEL, TargetId, json};

/// What the entries of a list show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// Targets, labels and modules, as in the Go program.
    #[default]
    Plain,
    /// Group and id as well, in labels of their own that win over those of the registration.
    Described,
}

/// Appends the list entries of one registration, `{"targets":[...],"labels":{...}}`, joined by commas:
/// one entry, or one per module with the label [`MODULE_LABEL`]. No other field may appear, Prometheus refuses it.
pub(super) fn write_entries(out: &mut Vec<u8>, id: TargetId, content: &Content, form: Form) {
    let modules = content.modules();
    if modules.is_empty() && form == Form::Plain {
        return write_entry(out, content, content.labels_json());
    }
    if modules.is_empty() && [GROUP_LABEL, ID_LABEL].iter().all(|name| content.label(name).is_none()) {
        return write_entry(out, content, &described(id, content));
    }
    let mut labels: BTreeMap<Cow<'_, str>, Cow<'_, str>> = content.labels().collect();
    if form == Form::Described {
        labels.extend([(GROUP_LABEL.into(), content.group()), (ID_LABEL.into(), id.to_string().into())]);
    }
    if modules.is_empty() {
        return write_entry(out, content, &json::encode(&labels));
    }
    // A label of that name in the registration wins over its modules, as in the Go program.
    let is_fixed = labels.contains_key(MODULE_LABEL);
    for (at, module) in modules.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if !is_fixed {
            labels.insert(MODULE_LABEL.into(), module.into());
        }
        write_entry(out, content, &json::encode(&labels));
    }
}

/// The labels of a registration that has none of those that are added.
fn described(id: TargetId, content: &Content) -> Vec<u8> {
    let own = content.labels_json();
    let mut labels = Vec::with_capacity(own.len() + 128);
    // Writing to memory cannot fail.
    let _ = write!(labels, "{{\"{GROUP_LABEL}\":");
    labels.extend_from_slice(content.group_json());
    let _ = write!(labels, ",\"{ID_LABEL}\":\"{id}\"");
    if own != b"{}" {
        labels.push(b',');
    }
    labels.extend_from_slice(&own[1..]);
    labels
}

fn write_entry(out: &mut Vec<u8>, content: &Content, labels: &[u8]) {
    out.extend_from_slice(b"{\"targets\":");
    out.extend_from_slice(content.targets_json());
    out.extend_from_slice(b",\"labels\":");
    out.extend_from_slice(labels);
    out.push(b'}');
}

/// What stands before the series, if there are any.
pub(super) const HEAD: &[u8] = b"# HELP inventor_sd_target_info count of registered sd targets\n\
    # TYPE inventor_sd_target_info gauge\n";

/// Appends the series of one registration. There may be a hundred thousand, so that they are written directly
/// instead of being made metric objects first.
pub(super) fn write_series(out: &mut Vec<u8>, id: TargetId, content: &Content, shows_groups: bool) {
    let targets = content.targets();
    // An address that stands twice in a registration is one series; two would make the scrape fail.
    let mut seen = BTreeSet::new();
    for address in targets.iter().filter(|address| targets.len() == 1 || seen.insert(address.as_str())) {
        out.extend_from_slice(b"inventor_sd_target_info{address=\"");
        write_label_value(out, address);
        // Writing to memory cannot fail.
        let _ = write!(out, "\",id=\"{id}\"");
        if shows_groups {
            out.extend_from_slice(b",target_group=\"");
            write_label_value(out, &content.group());
            out.push(b'"');
        }
        out.extend_from_slice(b"} 1\n");
    }
}

/// Escapes a label value by the text format 0.0.4.
fn write_label_value(out: &mut Vec<u8>, value: &str) {
    let mut rest = value.as_bytes();
    // Most addresses hold nothing to escape and are copied at once.
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\n' => b"\\n",
            b'"' => b"\\\"",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
