//! A full scan: mark every id that holds a value, so that what is left unmarked at the end can be swept.

use std::collections::HashSet;
use std::time::Instant;

use ::redis::Value;

use super::fault::Fault;
use super::session::Cause;
use crate::registration::TargetId;
use crate::store::Change;

pub(super) struct Scan {
    pub(super) cause: Cause,
    pub(super) began: Instant,
    /// Every id that was seen to hold a value since the scan began.
    pub(super) present: HashSet<TargetId>,
    /// Keys that are no ids, or hold something else than a string: other programs' business.
    pub(super) foreign: usize,
    /// Where the server goes on; `None` when it has been through all keys.
    cursor: Option<Vec<u8>>,
    /// Ids found, and not fetched yet.
    page: Vec<TargetId>,
}

/// The id under which Redis holds a value, if this change says so.
pub(super) fn holds(change: &Change) -> Option<TargetId> {
    if let Change::Put { id, .. } = change { Some(*id) } else { None }
}

impl Scan {
    pub(super) fn new(cause: Cause) -> Scan {
        let (present, page) = (HashSet::new(), Vec::new());
        Scan { cause, began: Instant::now(), present, foreign: 0, cursor: Some(b"0".to_vec()), page }
    }

    /// Every key has been found and fetched.
    pub(super) fn is_done(&self) -> bool {
        self.cursor.is_none() && self.page.is_empty()
    }

    /// Up to `room` of the ids that are to be fetched.
    pub(super) fn take(&mut self, room: usize) -> Vec<TargetId> {
        self.page.split_off(self.page.len().saturating_sub(room))
    }

    /// The cursor of the next SCAN, when the last page has been taken.
    pub(super) fn next_page(&self) -> Option<&[u8]> {
        if self.page.is_empty() { self.cursor.as_deref() } else { None }
    }

    /// Takes the answer to a SCAN.
    pub(super) fn turn_page(&mut self, answer: Value) -> Result<(), Fault> {
        let (cursor, keys): (Vec<u8>, Vec<Vec<u8>>) =
            ::redis::from_redis_value(answer).map_err(|_| Fault::Unexpected("SCAN"))?;
        let ids: Vec<TargetId> = keys.iter().filter_map(|key| TargetId::from_key(key)).collect();
        self.foreign += keys.len() - ids.len();
        self.page.extend(ids);
        self.cursor = (cursor != b"0").then_some(cursor);
        Ok(())
    }
}
