//! Pure: from registrations to the JSON that Prometheus reads.

use std::collections::BTreeMap;

use crate::registration::{Content, MODULE_LABEL, json};

/// Appends the list entries of one registration, `{"targets":[...],"labels":{...}}`, joined by commas:
/// one entry, or one per module with the label [`MODULE_LABEL`]. No other field may appear, Prometheus refuses it.
pub(super) fn write_entries(out: &mut Vec<u8>, content: &Content) {
    let members = content.entry_members();
    if !content.has_modules() && !members.ends_with(b"null") {
        out.push(b'{');
        out.extend_from_slice(members);
        out.push(b'}');
        return;
    }
    let registration = content.registration();
    let mut labels: BTreeMap<&str, &str> = registration.labels().collect();
    if registration.modules().is_empty() {
        write_entry(out, registration.targets(), &labels);
        return;
    }
    // A label of that name in the registration wins over its modules, as in the Go program.
    let fixed = labels.contains_key(MODULE_LABEL);
    for (at, module) in registration.modules().iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if !fixed {
            labels.insert(MODULE_LABEL, module);
        }
        write_entry(out, registration.targets(), &labels);
    }
}

fn write_entry(out: &mut Vec<u8>, targets: &[String], labels: &BTreeMap<&str, &str>) {
    out.extend_from_slice(b"{\"targets\":");
    json::encode_into(out, targets);
    out.extend_from_slice(b",\"labels\":");
    json::encode_into(out, labels);
    out.push(b'}');
}
