//! Selections: lists by criteria that somebody polls. The first poll builds one beside everything else that goes on,
//! from snapshots and without a lock; from then on it is kept up to date like every list.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use prometheus::IntCounter;

use super::criteria::Criteria;
use super::lists::matching;
use super::view::{Discovered, NotLoaded, View};
use crate::metrics;

/// How long a poll waits until another selection has been built.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The most polls that wait for that: each occupies a worker.
const WAITING_MAX: usize = 4;

/// So few changes may be made to a new selection while polls wait.
const CHANGES_AT_ONCE: usize = 200;

/// Why there is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectError {
    /// The first full load is not over.
    NotLoaded,
    /// Others are having their selections built.
    Busy,
}

impl From<NotLoaded> for SelectError {
    fn from(_: NotLoaded) -> SelectError {
        SelectError::NotLoaded
    }
}

/// Builds selections, one at a time.
pub(super) struct Selections {
    turn: Mutex<()>,
    waiting: AtomicUsize,
    hits: IntCounter,
    builds: IntCounter,
}

impl Selections {
    pub(super) fn new(registry: &prometheus::Registry) -> Selections {
        Selections {
            turn: Mutex::new(()),
            waiting: AtomicUsize::new(0),
            hits: metrics::counter(
                registry,
                "inventor_selection_hits_total",
                "Lists sent from a selection that was up to date.",
            ),
            builds: metrics::counter(registry, "inventor_selection_builds_total", "Selections built for a first poll."),
        }
    }

    /// The selection with these criteria.
    pub(super) fn select(&self, view: &View, criteria: &Criteria, now: Instant) -> Result<Discovered, SelectError> {
        if let Some(found) = view.selection(criteria, now)? {
            self.hits.inc();
            return Ok(found);
        }
        let _turn = self.turn().ok_or(SelectError::Busy)?;
        let now = Instant::now();
        // Whoever had the turn before may have asked for the same.
        if let Some(found) = view.selection(criteria, now)? {
            self.hits.inc();
            return Ok(found);
        }
        self.builds.inc();
        let mut list = matching(criteria, &view.begin_selection(criteria));
        loop {
            let changes = view.take_selection_changes(CHANGES_AT_ONCE);
            if changes.is_empty() {
                return Ok(view.keep_selection(list, now));
            }
            list.apply(changes);
        }
    }

    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let turn = if waiting < WAITING_MAX { self.turn.try_lock_for(TURN_WAIT_MAX) } else { None };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        turn
    }
}
