//! From registrations to the JSON that Prometheus polls and to the series of `/metrics`, and from pieces of both to one
//! gzip stream. Pure.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use crate::registration::{Content, GROUP_LABEL, ID_LABEL, MODULE_LABEL, TargetId, json};

/// What the entries of a list show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// Targets, labels and modules, as in the Go program.
    #[default]
    Plain,
    /// Group and id as well, in labels that override those of the registration.
    Described,
}

/// Appends the list entries of one registration, `{"targets":[...],"labels":{...}}`, joined by commas: one entry, or
/// one per module with the label [`MODULE_LABEL`]. Prometheus refuses any other field.
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
    // A label of that name in the registration overrides its modules, as in the Go program.
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

/// The labels of a registration, with group and id added. It must not have labels with these names.
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

/// Precedes the series, if there are any.
pub(super) const HEAD: &[u8] = b"# HELP inventor_sd_target_info count of registered sd targets\n\
    # TYPE inventor_sd_target_info gauge\n";

/// Appends the series of one registration. There may be a hundred thousand, so they are written directly, without
/// metric objects.
pub(super) fn write_series(out: &mut Vec<u8>, id: TargetId, content: &Content, shows_groups: bool) {
    let targets = content.targets();
    // A repeated address is one series: two would make the scrape fail.
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

/// The header of the stream: no file name, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A piece of a gzip stream (RFC 1952) and its checksum for the trailer. It is compressed by itself, so that a change
/// compresses only its segment: it ends at a byte boundary and refers to nothing before it.
#[derive(Debug)]
pub(super) struct Piece {
    deflated: Arc<[u8]>,
    crc: Crc,
}

impl Piece {
    /// Compresses some bytes for a place in the middle of a stream.
    pub(super) fn new(bytes: &[u8]) -> Piece {
        let mut crc = Crc::new();
        crc.update(bytes);
        let mut out = Vec::with_capacity(bytes.len() / 4 + 64);
        let mut deflate = Compress::new(Compression::fast(), false);
        loop {
            let rest = &bytes[usize::try_from(deflate.total_in()).unwrap_or(bytes.len())..];
            // Compressing into memory that grows cannot fail.
            let status = deflate.compress_vec(rest, &mut out, FlushCompress::Full);
            let done = deflate.total_in() == bytes.len() as u64 && out.len() < out.capacity();
            if done || !matches!(status, Ok(Status::Ok)) {
                break;
            }
            out.reserve(out.capacity().max(64));
        }
        Piece { deflated: out.into(), crc }
    }

    pub(super) fn len(&self) -> usize {
        self.deflated.len()
    }
}

/// A text under construction, in parts: as it is, or a gzip stream.
#[derive(Debug)]
pub(super) struct Stream {
    parts: Vec<Arc<[u8]>>,
    /// `None` when the text is sent as it is.
    crc: Option<Crc>,
}

impl Stream {
    pub(super) fn new(gzip: bool) -> Stream {
        let header = gzip.then(|| Arc::from(&HEADER[..]));
        Stream { parts: header.into_iter().collect(), crc: gzip.then(Crc::new) }
    }

    /// Appends a part that is shared with other texts.
    pub(super) fn piece<P: Borrow<Piece>>(&mut self, text: &Arc<[u8]>, compressed: impl FnOnce() -> P) {
        match &mut self.crc {
            Some(crc) => {
                let piece = compressed();
                crc.combine(&piece.borrow().crc);
                self.parts.push(piece.borrow().deflated.clone());
            }
            None => self.parts.push(text.clone()),
        }
    }

    /// Appends a few bytes.
    pub(super) fn plain(&mut self, bytes: &[u8]) {
        match &mut self.crc {
            Some(crc) => {
                crc.update(bytes);
                self.parts.push(stored_block(bytes, false).into());
            }
            None => self.parts.push(bytes.into()),
        }
    }

    /// Appends the last few bytes, if there are any, and ends it.
    pub(super) fn finish(mut self, bytes: &[u8]) -> Vec<Arc<[u8]>> {
        match self.crc {
            Some(mut crc) => {
                crc.update(bytes);
                let mut end = stored_block(bytes, true);
                end.extend_from_slice(&crc.sum().to_le_bytes());
                end.extend_from_slice(&crc.amount().to_le_bytes());
                self.parts.push(end.into());
            }
            None if bytes.is_empty() => {}
            None => self.parts.push(bytes.into()),
        }
        self.parts
    }

    pub(super) fn byte_count(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
}

/// Bytes as a block without compression (RFC 1951, 3.2.4), which starts and ends at a byte boundary.
fn stored_block(bytes: &[u8], last: bool) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut block = vec![u8::from(last)];
    block.extend_from_slice(&len.to_le_bytes());
    block.extend_from_slice(&(!len).to_le_bytes());
    block.extend_from_slice(&bytes[..usize::from(len)]);
    block
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_of_every_kind_make_one_stream_that_others_can_read() {
        let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let pieces = [Vec::new(), b"x".to_vec(), b"abc".repeat(50_000), noise];
        let (mut stream, mut plain) = (Stream::new(true), b"[".to_vec());
        stream.plain(b"[");
        for piece in &pieces {
            stream.piece(&Arc::from(&[][..]), || Piece::new(piece));
            stream.plain(b",");
            plain.extend_from_slice(piece);
            plain.push(b',');
        }
        let bytes = stream.finish(b"]\n").concat();
        plain.extend_from_slice(b"]\n");
        let mut read = Vec::new();
        // This reader checks length and checksum, and would stop at the end of a first member.
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut read).unwrap();
        assert!(read == plain);
    }
}
