//! How the writes of several callers go into one transaction.

use std::collections::HashSet;
use std::time::Instant;

use super::clock::{FileClock, NEVER};
use super::errors::FileError;
use super::file::Records;
use crate::store::mailbox::Write;
use crate::store::{Check, Outcome, REFUSED_MAX, Refused, Update};

/// How many of the first writes can share a transaction. A write whose check asks about an id that an earlier one
/// writes must wait for the next: the mirror has to show the earlier write first.
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

/// Makes a write, unless its check refuses a value that it would replace.
pub(super) fn make(
    write: &Write,
    records: &mut Records<'_>,
    now: Instant,
    clock: FileClock,
    expired: u64,
) -> Result<Outcome, FileError> {
    let refused = write.check.as_ref().map_or_else(|| Ok(Vec::new()), |check| ask(check, write, records, expired))?;
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

/// The values that the check refuses to have replaced, [`REFUSED_MAX`] at most.
fn ask(check: &Check, write: &Write, records: &Records<'_>, expired: u64) -> Result<Vec<Refused>, FileError> {
    let mut refused = Vec::new();
    for id in write.updates.iter().map(Update::id) {
        let refusal = records.look_at(id, |record| {
            let live = record.filter(|(deadline, _)| !has_passed(*deadline, expired)).map(|(_, document)| document);
            (!check(id, live)).then(|| (id, live.map(<[u8]>::to_vec)))
        })?;
        refused.extend(refusal);
        if refused.len() == REFUSED_MAX {
            break;
        }
    }
    Ok(refused)
}

/// Whether a stored deadline has passed when the clock of the file shows `shown`.
pub(super) fn has_passed(deadline: u64, shown: u64) -> bool {
    deadline != NEVER && deadline <= shown
}
