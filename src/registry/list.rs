//! A list of registrations in the order of their ids, cut into segments. A change renders only its segment anew; all
//! connections that are sending the list share the other segments.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::allowance::{Allowance, Unanswered};
use super::render::{self, Form, Piece, Stream};
use crate::registration::{Content, TargetId};

/// How many registrations a segment should hold: some 60 KB of JSON.
const SEGMENT_LEN: usize = 256;

/// How many bytes an entry has besides the registration, with group and id in its labels.
const ENTRY_BYTES: usize = 160;

/// A registration in a list. The id is beside the pointer, so that a search reads contiguous memory.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) id: TargetId,
    pub(super) content: Content,
}

/// Some of the registrations, or all.
#[derive(Debug)]
pub(super) struct List {
    /// Their number is a power of two. The leading bits of the id choose the segment; they are evenly spread because
    /// the id is a hash.
    segments: Vec<Arc<Segment>>,
    len: usize,
    snapshot: Option<Arc<Snapshot>>,
}

/// A part of a list. It is changed only while nobody else has it.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// Sorted by id.
    entries: Vec<Listed>,
    rendered: OnceLock<Rendered>,
    compressed: OnceLock<Piece>,
    target_info: OnceLock<Arc<[u8]>>,
    compressed_info: OnceLock<Piece>,
    totals: OnceLock<Totals>,
    faulty: OnceLock<Faulty>,
    /// This segment with group and id, for all selections that contain all of it.
    described: Mutex<Weak<Segment>>,
}

/// Sums over the registrations of a segment.
#[derive(Debug, Clone, Copy)]
struct Totals {
    addresses: usize,
    /// About how many bytes they have in a list of any form.
    bytes: usize,
}

/// The registrations of a segment that Prometheus does not scrape as intended.
#[derive(Debug)]
pub(super) struct Faulty {
    /// Their positions in the segment.
    at: Box<[usize]>,
    /// How many of their labels are the cause.
    pub(super) faults: usize,
}

/// The JSON of a segment.
#[derive(Debug)]
struct Rendered {
    json: Arc<[u8]>,
    /// The sum of the hashes of the entries, which does not depend on how a list is cut.
    hash: u64,
}

impl Clone for Segment {
    /// A copy to be changed: not yet rendered.
    fn clone(&self) -> Segment {
        Segment { entries: self.entries.clone(), ..Segment::default() }
    }
}

impl Default for List {
    fn default() -> List {
        List { segments: vec![Arc::default()], len: 0, snapshot: None }
    }
}

impl List {
    /// A list of these registrations, sorted by id and without repeats. Faster than inserting one after the other.
    pub(super) fn of_sorted(entries: Vec<Listed>) -> List {
        let len = entries.len();
        let segments = vec![Arc::new(Segment { entries, ..Segment::default() })];
        let mut list = List { segments, len, snapshot: None };
        list.cut_into(len.div_ceil(2 * SEGMENT_LEN).next_power_of_two());
        list
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a registration or replaces the one with its id.
    pub(super) fn insert(&mut self, shown: Listed) {
        let entries = self.entries_for(shown.id);
        match entries.binary_search_by_key(&shown.id, |entry| entry.id) {
            Ok(at) => entries[at] = shown,
            Err(at) => {
                // Most lists keep their length for a long time.
                entries.reserve_exact(1);
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
        let segment = &self.segments[segment_of(id, self.segments.len())];
        if let Ok(at) = segment.entries.binary_search_by_key(&id, |entry| entry.id) {
            self.entries_for(id).remove(at);
            self.len -= 1;
            if self.segments.len() > 1 && self.len < SEGMENT_LEN / 2 * self.segments.len() {
                self.cut_into(self.segments.len() / 2);
            }
        }
    }

    /// The list as it is now. The snapshot is the same one until something changes.
    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        let segments = &self.segments;
        self.snapshot.get_or_insert_with(|| Arc::new(Snapshot::new(Form::Plain, segments.clone()))).clone()
    }

    /// The entries of the segment for an id, about to be changed.
    fn entries_for(&mut self, id: TargetId) -> &mut Vec<Listed> {
        self.snapshot = None;
        let at = segment_of(id, self.segments.len());
        let segment = Arc::make_mut(&mut self.segments[at]);
        // Whatever was rendered from the old entries is dropped.
        *segment = Segment { entries: std::mem::take(&mut segment.entries), ..Segment::default() };
        &mut segment.entries
    }

    fn cut_into(&mut self, count: usize) {
        let old = std::mem::replace(&mut self.segments, (0..count).map(|_| Arc::default()).collect());
        for shown in old.into_iter().flat_map(|segment| Arc::unwrap_or_clone(segment).entries) {
            let at = segment_of(shown.id, count);
            // The segments are new and not shared yet, so nothing is copied here.
            Arc::make_mut(&mut self.segments[at]).entries.push(shown);
        }
        self.segments.iter_mut().for_each(|segment| Arc::make_mut(segment).entries.shrink_to_fit());
    }
}

/// The leading bits of the id as an index below `count`, a power of two.
fn segment_of(id: TargetId, count: usize) -> usize {
    let [a, b, c, d, ..] = id.to_bytes();
    let leading = u64::from(u32::from_be_bytes([a, b, c, d]));
    usize::try_from((leading * count as u64) >> 32).unwrap_or(0)
}

/// A list that does not change any more. It is rendered when first asked for, by one thread and without a lock on the
/// view.
#[derive(Debug, Default)]
pub struct Snapshot {
    form: Form,
    segments: Vec<Arc<Segment>>,
    /// As it is, and compressed.
    renderings: [OnceLock<Rendering>; 2],
}

/// A list as bytes, in parts to be sent one after the other.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// Shared with everybody who is sending them.
    pub parts: Arc<[Arc<[u8]>]>,
    /// Equal for equal lists, also on other servers of the same build; different for different ones.
    pub hash: u64,
}

impl Snapshot {
    pub(super) fn new(form: Form, segments: Vec<Arc<Segment>>) -> Snapshot {
        Snapshot { form, segments, ..Snapshot::default() }
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// About how many bytes the registrations have in a list of any form.
    pub fn byte_count(&self) -> usize {
        self.segments.iter().map(|segment| segment.totals().bytes).sum()
    }

    pub(super) fn address_count(&self) -> usize {
        self.segments.iter().map(|segment| segment.totals().addresses).sum()
    }

    /// Whether it can be sent without any work.
    pub(super) fn is_rendered(&self, gzip: bool) -> bool {
        self.renderings[usize::from(gzip)].get().is_some()
    }

    /// The JSON array that Prometheus reads, or the same as a gzip stream.
    pub fn rendering(&self, gzip: bool) -> Rendering {
        self.renderings[usize::from(gzip)].get_or_init(|| self.render(gzip)).clone()
    }

    /// A text of the caller and the series of these registrations, as a gzip stream if `gzip`. `shows_groups` must be
    /// the same in every call. Also returns how many bytes are the caller's text.
    pub fn exposition(&self, mut text: Vec<u8>, shows_groups: bool, gzip: bool) -> (Arc<[Arc<[u8]>]>, usize) {
        if !self.is_empty() {
            text.extend_from_slice(render::HEAD);
        }
        let mut stream = Stream::new(gzip);
        stream.piece(&Arc::from(&text[..]), || Piece::new(&text));
        let own_bytes = stream.byte_count();
        for segment in self.filled() {
            stream.piece(segment.target_info(shows_groups), || segment.compressed_info(shows_groups));
        }
        (stream.finish(b"").into(), own_bytes)
    }

    /// The registrations, sorted by id.
    pub fn registrations(&self) -> impl Iterator<Item = (TargetId, &Content)> {
        self.segments.iter().flat_map(|segment| &segment.entries).map(|shown| (shown.id, &shown.content))
    }

    pub fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.entries.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.filled().next().is_none()
    }

    /// The registrations after this id, or all, sorted by id, without the first `skip`. Skipping examines the entries
    /// of no more than one segment.
    pub(super) fn after(&self, id: Option<TargetId>, skip: usize) -> impl Iterator<Item = (TargetId, &Content)> {
        let first = id.map_or(0, |id| segment_of(id, self.segments.len()));
        let mut segments = &self.segments[first..];
        let is_before = |shown: &Listed| id.is_some_and(|id| shown.id <= id);
        let before = segments.first().map_or(0, |segment| segment.entries.partition_point(is_before));
        let mut skip = skip.saturating_add(before);
        while let Some((segment, rest)) = segments.split_first()
            && let Some(left) = skip.checked_sub(segment.entries.len())
        {
            (segments, skip) = (rest, left);
        }
        segments.iter().flat_map(|segment| &segment.entries).skip(skip).map(|shown| (shown.id, &shown.content))
    }

    fn filled(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter().filter(|segment| !segment.entries.is_empty())
    }

    fn render(&self, gzip: bool) -> Rendering {
        let (mut stream, mut hash) = (Stream::new(gzip), 0_u64);
        for (at, segment) in self.filled().enumerate() {
            let rendered = segment.rendered(self.form);
            hash = hash.wrapping_add(rendered.hash);
            stream.plain(if at == 0 { b"[" } else { b"," });
            stream.piece(&rendered.json, || segment.compressed(self.form));
        }
        let end: &[u8] = if self.is_empty() { b"[]\n" } else { b"]\n" };
        Rendering { parts: stream.finish(end).into(), hash }
    }
}

impl Segment {
    /// The wanted registrations as a segment in this form, without spare memory. If all are wanted, all callers share
    /// one.
    pub(super) fn selected(
        self: &Arc<Segment>,
        form: Form,
        is_wanted: impl Fn(TargetId, &Content) -> Result<bool, Unanswered>,
    ) -> Result<Arc<Segment>, Unanswered> {
        let mut entries = Vec::new();
        for shown in &self.entries {
            if is_wanted(shown.id, &shown.content)? {
                entries.push(shown.clone());
            }
        }
        let is_all = entries.len() == self.entries.len();
        if is_all && form == Form::Plain {
            return Ok(self.clone());
        }
        entries.shrink_to_fit();
        let selected = Arc::new(Segment { entries, ..Segment::default() });
        if !is_all {
            return Ok(selected);
        }
        let mut described = self.described.lock();
        Ok(described.upgrade().unwrap_or_else(|| {
            *described = Arc::downgrade(&selected);
            selected
        }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// About how many bytes the registrations have in a list of any form.
    pub(super) fn byte_count(&self) -> usize {
        self.totals().bytes
    }

    /// The registrations that are not scraped as intended.
    pub(super) fn faulty(&self, allowance: &Allowance<'_>) -> Result<&Faulty, Unanswered> {
        // A known result is a few bytes.
        allowance.spend(self.faulty.get().map_or_else(|| self.byte_count(), |_| size_of::<Faulty>()))?;
        Ok(self.faulty.get_or_init(|| {
            let counts = self.entries.iter().map(|shown| shown.content.scrape_faults().len()).enumerate();
            let (at, counts): (Vec<usize>, Vec<usize>) = counts.filter(|(_, count)| *count > 0).unzip();
            Faulty { at: at.into(), faults: counts.into_iter().sum() }
        }))
    }

    /// The registrations that `faulty` names.
    pub(super) fn entries_at(&self, faulty: &Faulty) -> impl Iterator<Item = &Listed> {
        faulty.at.iter().filter_map(|at| self.entries.get(*at))
    }

    fn totals(&self) -> Totals {
        *self.totals.get_or_init(|| Totals {
            addresses: self.entries.iter().map(|shown| shown.content.target_count()).sum(),
            bytes: self.entries.iter().map(|shown| shown.content.byte_count() + ENTRY_BYTES).sum(),
        })
    }

    /// How many bytes it holds that it does not share with other lists.
    pub(super) fn held_bytes(&self) -> usize {
        let json = self.rendered.get().map_or(0, |rendered| rendered.json.len());
        self.entries.len() * size_of::<Listed>() + json + self.compressed.get().map_or(0, Piece::len)
    }

    /// Renders the segment unless that was done before. Returns whether it had to.
    pub(super) fn render(&self, form: Form, gzip: bool) -> bool {
        let is_news = self.rendered.get().is_none() || (gzip && self.compressed.get().is_none());
        self.rendered(form);
        if gzip {
            self.compressed(form);
        }
        is_news
    }

    fn compressed(&self, form: Form) -> &Piece {
        self.compressed.get_or_init(|| Piece::new(&self.rendered(form).json))
    }

    fn rendered(&self, form: Form) -> &Rendered {
        self.rendered.get_or_init(|| {
            let mut json = Vec::with_capacity(self.entries.len() * 256);
            let mut hash = 0_u64;
            for (at, shown) in self.entries.iter().enumerate() {
                if at > 0 {
                    json.push(b',');
                }
                let start = json.len();
                render::write_entries(&mut json, shown.id, &shown.content, form);
                let mut hasher = DefaultHasher::new();
                (shown.id, &json[start..]).hash(&mut hasher);
                hash = hash.wrapping_add(hasher.finish());
            }
            Rendered { json: json.into(), hash }
        })
    }

    fn target_info(&self, shows_groups: bool) -> &Arc<[u8]> {
        self.target_info.get_or_init(|| {
            let mut text = Vec::with_capacity(self.entries.len() * 128);
            for shown in &self.entries {
                render::write_series(&mut text, shown.id, &shown.content, shows_groups);
            }
            text.into()
        })
    }

    fn compressed_info(&self, shows_groups: bool) -> &Piece {
        self.compressed_info.get_or_init(|| Piece::new(self.target_info(shows_groups)))
    }
}

#[cfg(test)]
mod tests;
