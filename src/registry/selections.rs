//! Selections: lists by criteria that somebody polls. A selection is remembered for each segment, so that a poll only
//! works out what has changed since the last one, and nobody else waits for that. Changes do not know of selections.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounter;

use super::allowance::{Allowance, Unanswered};
use super::criteria::Criteria;
use super::list::{Segment, Snapshot};
use crate::metrics;

/// How long an unused selection is remembered.
const UNUSED_MAX: Duration = Duration::from_secs(600);

/// How often unused selections are looked for: every write asks for it.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// The memory that all selections together may take in any case, in bytes.
const BYTES_MIN: usize = 32 << 20;

/// Or, if that is more, this many times the size of the list that is searched.
const LISTS_MAX: usize = 2;

/// The share of that to which they are cut down, so that not every new selection has to make room: seven eighths.
const CUT_TO: (usize, usize) = (7, 8);

/// The size of a selection without its parts, in bytes.
const SELECTION_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct Selections {
    all: Mutex<All>,
    hits: IntCounter,
    builds: IntCounter,
}

#[derive(Debug, Default)]
struct All {
    by_criteria: HashMap<Arc<Criteria>, Remembered>,
    /// The size of all of them.
    bytes: usize,
    /// When unused selections were last looked for.
    looked_at: Option<Instant>,
}

#[derive(Debug)]
struct Remembered {
    selection: Arc<Mutex<Selection>>,
    bytes: usize,
    last_used: Instant,
    /// Selections that were asked for only once make room first.
    is_asked_again: bool,
}

impl Selections {
    pub(super) fn new(registry: &prometheus::Registry) -> Selections {
        let counter = |name, help| metrics::counter(registry, name, help);
        Selections {
            all: Mutex::default(),
            hits: counter("inventor_selection_hits_total", "Lists sent from a selection that was up to date."),
            builds: counter(
                "inventor_selection_builds_total",
                "Selections that were not remembered when they were polled.",
            ),
        }
    }

    /// How many are remembered, and their size in bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let all = self.all.lock();
        (all.by_criteria.len(), all.bytes)
    }

    /// The registrations that meet the criteria, from the list that `source` returns. `source` is called once nobody
    /// else works on the selection, so that later polls never go back to earlier lists.
    pub(super) fn select(
        &self,
        criteria: &Criteria,
        gzip: bool,
        allowance: &Allowance<'_>,
        source: impl FnOnce() -> Result<Arc<Snapshot>, Unanswered>,
    ) -> Result<Arc<Snapshot>, Unanswered> {
        let selection = self.selection(criteria, Instant::now());
        let mut selection = allowance.lock(&selection)?;
        let own_bytes = || SELECTION_BYTES + criteria.byte_count();
        // Failed requests count as well: otherwise nothing would limit them.
        let source = source().inspect_err(|_| self.weigh(criteria, own_bytes(), BYTES_MIN))?;
        if let Some(list) = selection.list_of(&source).filter(|list| list.is_rendered(gzip)) {
            self.hits.inc();
            return Ok(list);
        }
        let list = selection.follow(&source, criteria, gzip, allowance);
        let bytes = own_bytes() + selection.byte_count();
        drop(selection);
        self.weigh(criteria, bytes, (LISTS_MAX * source.byte_count()).max(BYTES_MIN));
        list
    }

    fn selection(&self, criteria: &Criteria, now: Instant) -> Arc<Mutex<Selection>> {
        let mut all = self.all.lock();
        if let Some(remembered) = all.by_criteria.get_mut(criteria) {
            (remembered.last_used, remembered.is_asked_again) = (now, true);
            return remembered.selection.clone();
        }
        self.builds.inc();
        let selection = Arc::<Mutex<Selection>>::default();
        let remembered = Remembered { selection: selection.clone(), bytes: 0, last_used: now, is_asked_again: false };
        all.by_criteria.insert(Arc::new(criteria.clone()), remembered);
        selection
    }

    /// Records the size of a selection. If all together are too large, removes first those that were asked for only
    /// once, then those that were unused for longest.
    fn weigh(&self, criteria: &Criteria, bytes: usize, bytes_max: usize) {
        let all = &mut *self.all.lock();
        let Some(remembered) = all.by_criteria.get_mut(criteria) else { return };
        all.bytes = all.bytes - remembered.bytes + bytes;
        remembered.bytes = bytes;
        if all.bytes <= bytes_max {
            return;
        }
        let place =
            |(criteria, kept): (&Arc<Criteria>, &Remembered)| (kept.is_asked_again, kept.last_used, criteria.clone());
        let mut order: Vec<(bool, Instant, Arc<Criteria>)> = all.by_criteria.iter().map(place).collect();
        order.sort_unstable_by_key(|(is_asked_again, last_used, _)| (*is_asked_again, *last_used));
        for (_, _, first) in order {
            if all.bytes <= bytes_max / CUT_TO.1 * CUT_TO.0 {
                break;
            }
            all.bytes -= all.by_criteria.remove(&first).map_or(0, |removed| removed.bytes);
        }
    }

    pub(super) fn forget_unused(&self, now: Instant) {
        let all = &mut *self.all.lock();
        if all.looked_at.is_some_and(|at| now.saturating_duration_since(at) < FORGET_EVERY) {
            return;
        }
        all.looked_at = Some(now);
        all.by_criteria.retain(|_, kept| now.saturating_duration_since(kept.last_used) < UNUSED_MAX);
        all.bytes = all.by_criteria.values().map(|kept| kept.bytes).sum();
    }
}

#[derive(Debug, Default)]
struct Selection {
    /// One for each segment of the list that was last searched.
    parts: Vec<Part>,
    /// The list that was last searched, and the selection from it.
    list: Option<(Weak<Snapshot>, Arc<Snapshot>)>,
    /// Shared by all parts without a registration.
    nothing: Arc<Segment>,
}

/// The registrations of a segment that are in the selection.
#[derive(Debug)]
struct Part {
    /// Recognized by its address: no other segment gets it while it is held here, and a changed segment has a new one.
    of: Weak<Segment>,
    selected: Arc<Segment>,
}

impl Selection {
    /// The selection from this very list, if it is known.
    fn list_of(&self, source: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let (of, list) = self.list.as_ref()?;
        std::ptr::eq(of.as_ptr(), Arc::as_ptr(source)).then(|| list.clone())
    }

    /// Works out the unknown parts of the selection for this list. If it gives up, the finished parts stay known.
    fn follow(
        &mut self,
        source: &Arc<Snapshot>,
        criteria: &Criteria,
        gzip: bool,
        allowance: &Allowance<'_>,
    ) -> Result<Arc<Snapshot>, Unanswered> {
        let segments = source.segments();
        if self.parts.len() != segments.len() {
            let unknown = || Part { of: Weak::new(), selected: self.nothing.clone() };
            self.parts = segments.iter().map(|_| unknown()).collect();
        }
        for (part, segment) in self.parts.iter_mut().zip(segments) {
            if !std::ptr::eq(part.of.as_ptr(), Arc::as_ptr(segment)) {
                let selected = segment.selected(criteria.form, |id, content| {
                    allowance.spend(criteria.cost(content))?;
                    Ok(criteria.meets(id, content))
                })?;
                let selected = if selected.is_empty() { self.nothing.clone() } else { selected };
                *part = Part { of: Arc::downgrade(segment), selected };
            }
            if part.selected.render(criteria.form, gzip) {
                allowance.spend(part.selected.byte_count())?;
            }
        }
        let parts = || self.parts.iter().map(|part| part.selected.clone()).collect();
        let list = self.list_of(source).unwrap_or_else(|| Arc::new(Snapshot::new(criteria.form, parts())));
        list.rendering(gzip);
        self.list = Some((Arc::downgrade(source), list.clone()));
        Ok(list)
    }

    fn byte_count(&self) -> usize {
        self.parts.iter().map(|part| size_of::<Part>() + part.selected.held_bytes()).sum()
    }
}

#[cfg(test)]
mod tests;
