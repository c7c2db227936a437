//! What one transaction makes of the writes of several callers.

use std::collections::HashSet;
use std::time::Instant;

use super::clock::{FileClock, NEVER};
use super::errors::FileError;
use super::file::Records;
use super::inbox::Write;
use crate::store::{Outcome, REFUSED_MAX, Update};

/// How many of the first writes can go into one transaction: when a check is asked about an id, the mirror shows what was
/// written before under it.
pub(super) fn count_together(writes: &[Write]) -> usize {
    let mut written = HashSet::new();
    let must_wait = |write: &Write| {
        let is_unseen = write.check.is_some() && write.updates.iter().any(|update| written.contains(&update.id()));
        written.extend(write.updates.iter().map(Update::id));
        is_unseen
    };
    if writes.iter().all(|write| write.check.is_none()) {
        return writes.len();
    }
    writes.iter().position(must_wait).unwrap_or(writes.len())
}

/// Makes a write, unless its check refuses what stands where it writes.
pub(super) fn make(
    write: &Write,
    records: &mut Records<'_>,
    now: Instant,
    clock: FileClock,
    expired: u64,
) -> Result<Outcome, FileError> {
    let mut refused = Vec::new();
    for id in write.updates.iter().map(Update::id).filter(|_| write.check.is_some()) {
        let live =
            records.get(id)?.filter(|(deadline, _)| !has_passed(*deadline, expired)).map(|(_, document)| document);
        let passes = write.check.as_ref().is_none_or(|check| check(id, live.as_deref()));
        if !passes && refused.len() < REFUSED_MAX {
            refused.push((id, live));
        }
    }
    if !refused.is_empty() {
        return Ok(Outcome::Refused(refused));
    }
    let make = |update: &Update| match update {
        Update::Put { id, content, updated_at, ttl, .. } => {
            let deadline = ttl.duration().and_then(|ttl| now.checked_add(ttl));
            let document = content.document(*id, *updated_at);
            records.put(*id, clock.to_stored(deadline), &document).map(|()| false)
        }
        Update::Delete { id, .. } => Ok(records.remove(*id)?.is_some_and(|deadline| !has_passed(deadline, expired))),
    };
    write.updates.iter().map(make).collect::<Result<_, _>>().map(Outcome::Made)
}

/// Whether a stored deadline is over when the clock of the file shows this.
pub(super) fn has_passed(deadline: u64, shown: u64) -> bool {
    deadline != NEVER && deadline <= shown
}
