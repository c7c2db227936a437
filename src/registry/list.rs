//! A list of registrations in the order of their ids, cut into segments that are rendered at most once per change.
//! A change re-renders its segment alone, and everybody who is sending a list shares the segments that stayed.

use std::sync::{Arc, OnceLock};

use super::discovery;
use crate::registration::{Content, TargetId};

/// How many registrations a segment should hold: some 60 KB of JSON.
const SEGMENT_LEN: usize = 256;

/// A registration as lists hold it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) id: TargetId,
    pub(super) content: Content,
}

/// The registrations of all, or of one group.
#[derive(Debug)]
pub(super) struct List {
    /// A power of two many; the leading bits of the id, evenly spread because it is a hash, choose the segment.
    segments: Vec<Arc<Segment>>,
    len: usize,
    snapshot: Option<Arc<Snapshot>>,
}

#[derive(Debug, Default)]
struct Segment {
    /// Sorted by id.
    entries: Vec<Arc<Shown>>,
    rendered: OnceLock<Arc<[u8]>>,
}

impl Clone for Segment {
    /// A copy to be changed: not yet rendered.
    fn clone(&self) -> Segment {
        Segment { entries: self.entries.clone(), rendered: OnceLock::new() }
    }
}

impl Default for List {
    fn default() -> List {
        List { segments: vec![Arc::default()], len: 0, snapshot: None }
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a registration or replaces the one with its id.
    pub(super) fn insert(&mut self, shown: Arc<Shown>) {
        let entries = self.entries_for(shown.id);
        match entries.binary_search_by_key(&shown.id, |entry| entry.id) {
            Ok(at) => entries[at] = shown,
            Err(at) => {
                entries.insert(at, shown);
                self.len += 1;
                if self.len > 2 * SEGMENT_LEN * self.segments.len() {
                    self.cut_into(2 * self.segments.len());
                }
            }
        }
    }

    /// Removes the registration with this id, if it is there.
    pub(super) fn remove(&mut self, id: TargetId) {
        let entries = self.entries_for(id);
        if let Ok(at) = entries.binary_search_by_key(&id, |entry| entry.id) {
            entries.remove(at);
            self.len -= 1;
            if self.segments.len() > 1 && self.len < SEGMENT_LEN / 2 * self.segments.len() {
                self.cut_into(self.segments.len() / 2);
            }
        }
    }

    /// The list as it is now, for ever; the same one until something changes.
    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        let segments = &self.segments;
        self.snapshot
            .get_or_insert_with(|| Arc::new(Snapshot { segments: segments.clone(), parts: OnceLock::new() }))
            .clone()
    }

    /// The entries of the segment for an id, about to be changed.
    fn entries_for(&mut self, id: TargetId) -> &mut Vec<Arc<Shown>> {
        self.snapshot = None;
        let at = segment_of(id, self.segments.len());
        let segment = Arc::make_mut(&mut self.segments[at]);
        segment.rendered.take();
        &mut segment.entries
    }

    fn cut_into(&mut self, count: usize) {
        let old = std::mem::replace(&mut self.segments, (0..count).map(|_| Arc::default()).collect());
        for shown in old.iter().flat_map(|segment| &segment.entries) {
            let at = segment_of(shown.id, count);
            // The segments are new and not shared yet, so that nothing is copied here.
            Arc::make_mut(&mut self.segments[at]).entries.push(shown.clone());
        }
    }
}

/// The leading bits of the id as an index below `count`, a power of two.
fn segment_of(id: TargetId, count: usize) -> usize {
    let [a, b, c, d, ..] = id.to_bytes();
    let leading = u64::from(u32::from_be_bytes([a, b, c, d]));
    usize::try_from((leading * count as u64) >> 32).unwrap_or(0)
}

/// A list that does not change any more, rendered when first asked for, by one thread, with no lock on the view.
#[derive(Debug)]
pub struct Snapshot {
    segments: Vec<Arc<Segment>>,
    parts: OnceLock<Arc<[Arc<[u8]>]>>,
}

impl Snapshot {
    /// The JSON array that Prometheus reads, in parts to be sent one after the other.
    pub fn parts(&self) -> Arc<[Arc<[u8]>]> {
        self.parts.get_or_init(|| self.render()).clone()
    }

    /// The registrations, sorted by id.
    pub fn registrations(&self) -> impl Iterator<Item = (TargetId, &Content)> {
        self.segments.iter().flat_map(|segment| &segment.entries).map(|shown| (shown.id, &shown.content))
    }

    fn render(&self) -> Arc<[Arc<[u8]>]> {
        let comma: Arc<[u8]> = Arc::from(&b","[..]);
        let mut parts: Vec<Arc<[u8]>> = vec![Arc::from(&b"["[..])];
        for segment in self.segments.iter().filter(|segment| !segment.entries.is_empty()) {
            if parts.len() > 1 {
                parts.push(comma.clone());
            }
            parts.push(segment.rendered.get_or_init(|| segment.render()).clone());
        }
        parts.push(Arc::from(&b"]\n"[..]));
        parts.into()
    }
}

impl Segment {
    fn render(&self) -> Arc<[u8]> {
        let mut out = Vec::with_capacity(self.entries.len() * 256);
        for (at, shown) in self.entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            discovery::write_entries(&mut out, &shown.content);
        }
        out.into()
    }
}

#[cfg(test)]
mod tests;
