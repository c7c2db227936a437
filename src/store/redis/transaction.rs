//! Writes of several updates, made as a whole, and writes with a check. One round watches and reads the values that
//! they replace; in the next, MULTI and EXEC make the writes, or nothing if a value has changed meanwhile, and then
//! they are tried again. Writes of one update share a transaction until it fails. From then on each has its own, so
//! that contention for one delays no other.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use ::redis::Value;

use super::answers::{change, fault_in, is_doubtful};
use super::connect::ANSWER_MAX;
use super::fault::Fault;
use super::round::{Portion, is_cut_off, share, size};
use crate::registration::TargetId;
use crate::store::mailbox::{Reply, Write};
use crate::store::{Change, Outcome, REFUSED_MAX, Refused, Stored, Update};

/// A write of this many values is small: they are read in a moment. Small writes overtake larger ones.
pub(super) const SMALL_MAX: usize = 64;

/// The transactions on a connection, one after the other.
#[derive(Default)]
pub(super) struct Transactions {
    waiting: VecDeque<Waiting>,
    /// The transaction whose checks are being asked.
    reading: Option<Transaction>,
    /// The values asked for in this round, each with the position of its write.
    asked: Vec<(usize, TargetId)>,
}

struct Waiting {
    write: Write,
    /// It must not share a transaction.
    is_alone: bool,
}

/// Writes that are made together, no two of them under one id.
#[derive(Default)]
struct Transaction {
    writes: Vec<Candidate>,
    ids: HashSet<TargetId>,
    /// The values that must still be read, each with the position of its write.
    unread: VecDeque<(usize, TargetId)>,
    /// How many of these are read at once.
    portion: Portion,
    /// Values that may have been put there while they were read. They are read a second time: a value put after it was
    /// watched spoils the transaction, and must not mislead its checks.
    doubted: HashSet<TargetId>,
}

/// A write whose check is being asked.
struct Candidate {
    write: Write,
    refused: Vec<Refused>,
}

/// The results of the checks.
#[derive(Default)]
pub(super) struct Verdicts {
    /// The refused values, to be shown before their callers are told.
    pub(super) changes: Vec<Change>,
    pub(super) refused: Vec<(Reply, Outcome)>,
    /// They could not be asked for lack of a right.
    pub(super) lacks_right: bool,
}

impl Transactions {
    /// Takes the writes that need a transaction or would spoil the one that is being read. Returns the others.
    pub(super) fn take(&mut self, writes: Vec<Write>) -> Vec<Write> {
        let unfinished = self.reading.as_ref().filter(|reading| !reading.unread.is_empty());
        let spoils = |update: &Update| unfinished.is_some_and(|reading| reading.ids.contains(&update.id()));
        let (kept, plain) = writes
            .into_iter()
            .partition::<Vec<_>, _>(|write| is_transaction(write) || write.updates.iter().any(spoils));
        self.waiting.extend(kept.into_iter().map(|write| Waiting { is_alone: write.updates.len() > 1, write }));
        plain
    }

    /// Whether this write is small, would wait long here, and changes nothing that is being read here.
    pub(super) fn is_overtaken_by(&self, write: &Write) -> bool {
        let is_read = |update: &Update| self.reading.as_ref().is_some_and(|reading| reading.ids.contains(&update.id()));
        let waiting = || self.waiting.iter().map(|waiting| waiting.write.updates.len()).sum::<usize>();
        let reading = || self.reading.as_ref().map_or(0, |reading| reading.ids.len());
        is_transaction(write)
            && write.updates.len() <= SMALL_MAX
            && waiting() + reading() > SMALL_MAX
            && !write.updates.iter().any(is_read)
    }

    /// Whether a round is needed at once.
    pub(super) fn is_open(&self) -> bool {
        self.reading.is_some() || !self.waiting.is_empty()
    }

    /// Whether values are being watched: EXEC would stop that.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// The writes that have passed their checks, to be made in this round; `None` if there is nothing to end. Stops
    /// reading if no write has time left.
    pub(super) fn commit(&mut self) -> Option<Vec<Write>> {
        let is_late =
            |reading: &Transaction| !reading.writes.iter().any(|candidate| candidate.write.has_time(ANSWER_MAX));
        let Transaction { writes, .. } =
            self.reading.take_if(|reading| reading.unread.is_empty() || is_late(reading))?;
        Some(
            writes
                .into_iter()
                .filter_map(|candidate| in_time(candidate.write, |write| write.begin(ANSWER_MAX)))
                .collect(),
        )
    }

    /// The next values that the next transaction replaces, to be watched.
    pub(super) fn watch(&mut self) -> Vec<TargetId> {
        if self.reading.is_none() {
            self.reading = self.next();
        }
        let Some(Transaction { unread, portion, .. }) = &mut self.reading else { return Vec::new() };
        self.asked = unread.drain(..portion.ids.min(unread.len())).collect();
        self.asked.iter().map(|(_, id)| *id).collect()
    }

    /// Takes back writes that were not made. Each now has a transaction of its own.
    pub(super) fn retry(&mut self, writes: Vec<Write>) {
        writes.into_iter().for_each(|write| self.waiting.push_front(Waiting { write, is_alone: true }));
    }

    /// The transaction of the writes that have waited longest.
    fn next(&mut self) -> Option<Transaction> {
        let mut next = Transaction::default();
        while let Some(Waiting { write, is_alone }) = self.waiting.pop_front() {
            let Some(write) = in_time(write, |write| write.has_time(ANSWER_MAX)) else { continue };
            let ids: Vec<TargetId> = write.updates.iter().map(Update::id).collect();
            if !next.writes.is_empty() && (is_alone || ids.iter().any(|id| next.ids.contains(id))) {
                self.waiting.push_front(Waiting { write, is_alone });
                break;
            }
            let place = next.writes.len();
            next.unread.extend(ids.iter().filter(|_| write.check.is_some()).map(|id| (place, *id)));
            next.ids.extend(ids);
            next.writes.push(Candidate { write, refused: Vec::new() });
            if is_alone {
                break;
            }
        }
        (!next.writes.is_empty()).then_some(next)
    }

    /// Asks the checks about the values that were read. The mirror must show everything written before.
    pub(super) fn check(&mut self, answers: Vec<Value>, sent_at: Instant) -> Result<Verdicts, Fault> {
        let mut verdicts = Verdicts::default();
        let unwatched = answers.iter().step_by(3).find_map(fault_in);
        let mut answers = answers.into_iter();
        let Some(Transaction { writes, unread, doubted, portion, .. }) =
            self.reading.as_mut().filter(|_| !self.asked.is_empty())
        else {
            return Ok(verdicts);
        };
        if let Some(fault) = unwatched {
            self.asked.clear();
            let writes = self.reading.take().into_iter().flat_map(|reading| reading.writes);
            if fault.is_of_server() {
                return Err(fault);
            }
            let fault = fault.for_some();
            writes.for_each(|candidate| candidate.write.reply.tell(Err(fault.clone().into())));
            verdicts.lacks_right = matches!(fault, Fault::NoPermissionForSome(_));
            return Ok(verdicts);
        }
        let (count, mut bytes) = (self.asked.len(), 0);
        for (place, id) in self.asked.drain(..) {
            let mut next = || answers.next().unwrap_or_default();
            let (_watched, value, left) = (next(), next(), next());
            let fault = fault_in(&value);
            if let Some(fault) = fault.clone().filter(|fault| !matches!(fault, Fault::WrongType)) {
                return Err(fault);
            }
            let size = size(&value);
            bytes += size;
            // As fewer values are left, the share of each grows.
            if is_cut_off(size, share(count)) || (is_doubtful(&value, &left) && doubted.insert(id)) {
                unread.push_back((place, id));
                continue;
            }
            let change = change(id, value, left, sent_at)?;
            let present = match &change {
                Change::Put { stored: Stored::Read(value), .. } => Some(value.as_slice()),
                // There is a value that is not a document.
                _ => fault.map(|_| [].as_slice()),
            };
            let Some(Candidate { write, refused }) = writes.get_mut(place) else { continue };
            let is_decided = refused.len() == REFUSED_MAX;
            if is_decided || write.check.as_ref().is_none_or(|check| check(id, present)) {
                continue;
            }
            refused.push((id, present.map(<[u8]>::to_vec)));
            verdicts.changes.push(change);
        }
        portion.adapt_watching(count, bytes, sent_at.elapsed());
        if unread.is_empty() {
            let (passed, failed) = std::mem::take(writes).into_iter().partition(|write| write.refused.is_empty());
            *writes = passed;
            let refused = |failed: Candidate| (failed.write.reply, Outcome::Refused(failed.refused));
            verdicts.refused.extend(Vec::into_iter(failed).map(refused));
        }
        Ok(verdicts)
    }
}

/// Whether this needs a transaction: it has several updates or a check.
fn is_transaction(write: &Write) -> bool {
    write.updates.len() > 1 || write.check.is_some()
}

/// The write, if it has time left. Otherwise tells its caller that it has not.
fn in_time(mut write: Write, has_time: impl FnOnce(&mut Write) -> bool) -> Option<Write> {
    if has_time(&mut write) {
        return Some(write);
    }
    write.reply.tell(Err(Fault::Contended.into()));
    None
}

#[cfg(test)]
mod tests;
