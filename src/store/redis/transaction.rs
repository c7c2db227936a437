//! Writes of several updates, which are made as a whole, and writes with a check. What they replace is watched and read
//! in one round; in the next one MULTI and EXEC make them, or nothing if any of it has changed meanwhile, and then they
//! are tried again. Writes of one update share a transaction until that fails: from then on each has its own, so that
//! what others do to one of them delays no other.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use ::redis::{Pipeline, Value};

use super::cluster;
use super::fault::Fault;
use super::round::{Answers, ask, ask_for_value, change, fault_in};
use super::session::{Reply, Write};
use crate::registration::TargetId;
use crate::store::{Change, Outcome, REFUSED_MAX, Refused, Stored, Update};

/// The transactions of a session, one after the other.
#[derive(Default)]
pub(super) struct Transactions {
    /// The updates of a transaction are made by a script.
    is_scripted: bool,
    waiting: VecDeque<Waiting>,
    /// The one whose checks are being asked.
    reading: Option<Transaction>,
    /// What is asked in this round, and is answered first: between MULTI and EXEC, the updates of these.
    committing: Option<Vec<Write>>,
    /// What is answered last: the values of these, each with the place of the write that asks for it.
    asked: Vec<(usize, TargetId)>,
}

struct Waiting {
    write: Write,
    /// It does not share a transaction.
    is_alone: bool,
}

/// Writes that are made together, no two of them under one id.
struct Transaction {
    writes: Vec<Candidate>,
    ids: HashSet<TargetId>,
    /// Which values are still to be read.
    unread: VecDeque<(usize, TargetId)>,
}

/// A write whose check is being asked.
struct Candidate {
    write: Write,
    refused: Vec<Refused>,
}

/// What the checks have said.
#[derive(Default)]
pub(super) struct Verdicts {
    /// What they have refused, to be shown before it is told.
    pub(super) changes: Vec<Change>,
    pub(super) refused: Vec<(Reply, Outcome)>,
    /// They could not be asked for want of a right.
    pub(super) lacks_right: bool,
    /// How many values were read, and their bytes.
    pub(super) read: (usize, usize),
}

impl Transactions {
    pub(super) fn new(is_scripted: bool) -> Transactions {
        Transactions { is_scripted, ..Transactions::default() }
    }

    /// Keeps those of these writes that need a transaction or would spoil the one that is being read. Returns the others.
    pub(super) fn take(&mut self, writes: Vec<Write>) -> Vec<Write> {
        let unfinished = self.reading.as_ref().filter(|reading| !reading.unread.is_empty());
        let spoils = |update: &Update| unfinished.is_some_and(|reading| reading.ids.contains(&update.id()));
        let (kept, plain) = writes.into_iter().partition::<Vec<_>, _>(|write| {
            write.updates.len() > 1 || write.check.is_some() || write.updates.iter().any(spoils)
        });
        self.waiting.extend(kept.into_iter().map(|write| Waiting { is_alone: write.updates.len() > 1, write }));
        plain
    }

    /// Whether there is something to be done at once.
    pub(super) fn is_open(&self) -> bool {
        self.reading.is_some() || !self.waiting.is_empty()
    }

    /// Whether values are being watched: an EXEC now would end that.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Asks for what passed its checks to be made. To be the first in a round.
    pub(super) fn commit(&mut self, pipeline: &mut Pipeline) {
        let Some(Transaction { writes, .. }) = self.reading.take_if(|reading| reading.unread.is_empty()) else {
            return;
        };
        let writes: Vec<Write> =
            writes.into_iter().filter_map(|candidate| in_time(candidate.write, Write::begin)).collect();
        // Without any of them this only ends the watching.
        pipeline.cmd("MULTI");
        let updates = writes.iter().flat_map(|write| &write.updates);
        match self.is_scripted {
            true => cluster::ask_for_all(pipeline, updates),
            false => updates.for_each(|update| ask(pipeline, update)),
        }
        pipeline.cmd("EXEC");
        self.committing = Some(writes);
    }

    /// Watches, and asks for, up to `count` of the values that the next transaction replaces. To be the last in a round.
    pub(super) fn read(&mut self, pipeline: &mut Pipeline, count: usize) {
        if self.reading.is_none() {
            self.reading = self.next();
        }
        let Some(Transaction { unread, .. }) = &mut self.reading else { return };
        self.asked = unread.drain(..count.min(unread.len())).collect();
        for (_, id) in &self.asked {
            // One by one, since they may lie in different slots of a cluster.
            pipeline.cmd("WATCH").arg(id.to_string());
            ask_for_value(pipeline, *id);
        }
    }

    /// The transaction of those that have waited longest.
    fn next(&mut self) -> Option<Transaction> {
        let mut next = Transaction { writes: Vec::new(), ids: HashSet::new(), unread: VecDeque::new() };
        while let Some(Waiting { write, is_alone }) = self.waiting.pop_front() {
            let Some(write) = in_time(write, |write| write.has_time()) else { continue };
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

    /// Takes the answers to what was committed from the beginning of all.
    pub(super) fn committed(
        &mut self,
        answers: &mut Vec<Value>,
        read: &mut Answers,
        sent_at: Instant,
    ) -> Result<(), Fault> {
        let Some(writes) = &self.committing else { return Ok(()) };
        let count = writes.iter().map(|write| write.updates.len()).sum::<usize>();
        let asked = if self.is_scripted { 1 } else { count };
        let mut answers = answers.drain(..(asked + 2).min(answers.len()));
        let mut begun = fault_in(&answers.next().unwrap_or_default());
        let mut queued: Vec<Value> = answers.by_ref().take(asked).collect();
        let mut end = answers.next().unwrap_or_default();
        if self.is_scripted {
            begun = begun.or_else(|| queued.pop().as_ref().and_then(fault_in));
            if let Value::Array(made) = end {
                end = Value::Array(cluster::answers_of_script(made, count));
            }
        }
        let within = if let Value::Array(made) = &end { &made[..] } else { &[] };
        let of_all = queued.iter().chain(within).chain([&end]).filter_map(fault_in).chain(begun.clone());
        if let Some(fault) = of_all.into_iter().find(Fault::is_of_server) {
            return Err(fault);
        }
        let writes = self.committing.take().unwrap_or_default();
        let (is_made, is_shared) = (matches!(end, Value::Array(_)), writes.len() > 1);
        let failure = begun.or_else(|| fault_in(&end));
        if let Value::Array(made) = end {
            queued = made;
        }
        let mut queued = queued.into_iter();
        for mut write in writes {
            let answers: Vec<Value> = queued.by_ref().take(write.updates.len()).collect();
            let is_at_fault = answers.iter().any(|answer| fault_in(answer).is_some());
            if is_made || is_at_fault {
                // What a script did before it was refused stays.
                let unclear = write.updates.iter().filter(|_| self.is_scripted && is_at_fault);
                read.unclear.extend(unclear.map(Update::id));
                read.write(write, &answers, None, sent_at);
            } else if let Some(failure) = failure.clone().filter(|failure| !is_shared || !failure.is_abort()) {
                read.write(write, &answers, Some(failure), sent_at);
            } else {
                // Somebody was faster, or another write of this transaction was refused.
                write.undo();
                self.waiting.push_front(Waiting { write, is_alone: true });
            }
        }
        Ok(())
    }

    /// How many of the last answers are for [`Transactions::check`].
    pub(super) fn values(&self) -> usize {
        3 * self.asked.len()
    }

    /// Asks the checks about the values that were read. The mirror shows everything that was written before.
    pub(super) fn check(&mut self, answers: Vec<Value>, sent_at: Instant) -> Result<Verdicts, Fault> {
        let mut verdicts = Verdicts::default();
        let unwatched = answers.iter().step_by(3).find_map(fault_in);
        let mut answers = answers.into_iter();
        let Some(Transaction { writes, unread, .. }) = self.reading.as_mut().filter(|_| !self.asked.is_empty()) else {
            return Ok(verdicts);
        };
        if let Some(fault) = unwatched {
            self.asked.clear();
            let writes = self.reading.take().into_iter().flat_map(|reading| reading.writes);
            if fault.is_of_server() {
                return Err(fault);
            }
            let fault = fault.for_some();
            writes.for_each(|candidate| candidate.write.reply.tell(Err(fault.clone())));
            verdicts.lacks_right = matches!(fault, Fault::NoPermissionForSome(_));
            return Ok(verdicts);
        }
        for (place, id) in self.asked.drain(..) {
            let mut next = || answers.next().unwrap_or_default();
            let (_watched, value, left) = (next(), next(), next());
            let fault = fault_in(&value);
            if let Some(fault) = fault.clone().filter(|fault| !matches!(fault, Fault::WrongType)) {
                return Err(fault);
            }
            let change = change(id, value, left, sent_at)?;
            let present = match &change {
                Change::Put { stored: Stored::Read(value), .. } => Some(value.as_slice()),
                // Something stands there, which is no document.
                _ => fault.map(|_| [].as_slice()),
            };
            verdicts.read = (verdicts.read.0 + 1, verdicts.read.1 + present.map_or(0, <[u8]>::len));
            let Some(Candidate { write, refused }) = writes.get_mut(place) else { continue };
            if write.check.as_ref().is_none_or(|check| check(id, present)) {
                continue;
            }
            if refused.len() < REFUSED_MAX {
                refused.push((id, present.map(<[u8]>::to_vec)));
            }
            verdicts.changes.push(change);
        }
        if unread.is_empty() {
            let (passed, failed) = std::mem::take(writes).into_iter().partition(|write| write.refused.is_empty());
            *writes = passed;
            let refused = |failed: Candidate| (failed.write.reply, Outcome::Refused(failed.refused));
            verdicts.refused.extend(Vec::into_iter(failed).map(refused));
        }
        Ok(verdicts)
    }
}

/// The write, if it has time left; otherwise its caller is told that it has not.
fn in_time(mut write: Write, has_time: impl FnOnce(&mut Write) -> bool) -> Option<Write> {
    if has_time(&mut write) {
        return Some(write);
    }
    write.reply.tell(Err(Fault::Contended));
    None
}

#[cfg(test)]
mod tests;
