//! Pure: from registrations to the JSON that Prometheus reads.

use std::collections::BTreeMap;

use crate::registration::{Content, MODULE_LABEL, json};

/// Appends the list entries of one registration, `{"targets":[...],"labels":{...}}`, joined by commas:
/// one entry, or one per module with the label [`MODULE_LABEL`]. No other field may appear, Prometheus refuses it.
pub(super) fn write_entries(out: &mut Vec<u8>, content: &Content) {
    let modules = content.modules();
    if modules.is_empty() {
        return write_entry(out, content, content.labels_json());
    }
    let own = content.labels();
    let mut labels: BTreeMap<&str, &str> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for (at, module) in modules.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        // A label of that name in the registration wins over its modules, as in the Go program.
        if !own.contains_key(MODULE_LABEL) {
            labels.insert(MODULE_LABEL, module);
        }
        write_entry(out, content, &json::encode(&labels));
    }
}

fn write_entry(out: &mut Vec<u8>, content: &Content, labels: &[u8]) {
    out.extend_from_slice(b"{\"targets\":");
    out.extend_from_slice(content.targets_json());
    out.extend_from_slice(b",\"labels\":");
    out.extend_from_slice(labels);
    out.push(b'}');
}
