//! Pure: from registrations to the series of `/metrics`, one for each registration and address, as the Go program
//! has them.

use std::collections::BTreeSet;
use std::io::Write;

use crate::registration::{Content, TargetId};

/// What stands before the series, if there are any.
pub(super) const HEAD: &[u8] = b"# HELP inventor_sd_target_info count of registered sd targets\n\
    # TYPE inventor_sd_target_info gauge\n";

/// Appends the series of one registration. There may be a hundred thousand, so that they are written directly
/// instead of being made metric objects first.
pub(super) fn write_series(out: &mut Vec<u8>, id: TargetId, content: &Content) {
    let targets = content.targets();
    // An address that stands twice in a registration is one series; two would make the scrape fail.
    let mut seen = BTreeSet::new();
    for address in targets.iter().filter(|address| targets.len() == 1 || seen.insert(address.as_str())) {
        out.extend_from_slice(b"inventor_sd_target_info{address=\"");
        write_label_value(out, address);
        // Writing to memory cannot fail.
        let _ = writeln!(out, "\",id=\"{id}\"}} 1");
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
