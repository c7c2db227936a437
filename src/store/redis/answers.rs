//! What the answers of a round mean: for the mirror, for callers that wait for writes, and for the known state of
//! Redis.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::redis::Value;

use super::clock::Reading;
use super::cluster;
use super::connect::Replicated;
use super::fault::Fault;
use crate::registration::TargetId;
use crate::store::mailbox::{Reply, Write};
use crate::store::{Change, Kept, Stored, Update};

/// Why rights are missing that not every write needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Rights {
    pub(super) deletion: Option<Fault>,
    /// Without it, nothing can be made on a condition or as a whole.
    pub(super) transaction: Option<Fault>,
}

#[derive(Default)]
pub(super) struct Answers {
    pub(super) changes: Vec<Change>,
    /// The callers whose writes were made, and what each delete found.
    pub(super) made: Vec<(Reply, Vec<bool>)>,
    /// Ids whose present values the answers do not tell: they are fetched.
    pub(super) unclear: Vec<TargetId>,
    /// Owed registrations that Redis has taken, and holds as they were sent.
    pub(super) taken: Vec<Kept>,
    /// Owed registrations that Redis did not take.
    pub(super) given_back: Vec<Kept>,
    pub(super) restored: Vec<TargetId>,
    /// Owed registrations that Redis has since this round, or had before it.
    pub(super) there: Vec<TargetId>,
    /// A write was taken, or would have been.
    pub(super) is_writable: bool,
    pub(super) refused: Option<Fault>,
    /// The state of the rights, if all were tried.
    pub(super) rights: Option<Rights>,
    /// A write failed for lack of a right that only some writes need.
    pub(super) lacks_right: bool,
    pub(super) replicated: Option<Replicated>,
    pub(super) clock: Option<Reading>,
    /// How many values were read, and their bytes, except those that were asked for as a whole.
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// Ids whose values must be read again: larger than their share, or perhaps put there meanwhile.
    pub(super) again: BTreeSet<TargetId>,
    /// Keys that do not hold a string.
    pub(super) foreign: usize,
    pub(super) page: Option<Value>,
    /// Writes of a transaction that failed for another reason than these.
    pub(super) undone: Vec<Write>,
    /// The answers to WATCH, and the watched values.
    pub(super) watched: Vec<Value>,
}

impl Answers {
    /// Takes the answers to writes that are made together, by a script or one by one.
    pub(super) fn commit(
        &mut self,
        writes: Vec<Write>,
        is_scripted: bool,
        answers: &mut impl Iterator<Item = Value>,
        sent_at: Instant,
    ) {
        let count = writes.iter().map(|write| write.updates.len()).sum::<usize>();
        let mut begun = fault_in(&answers.next().unwrap_or_default());
        let mut queued: Vec<Value> = answers.by_ref().take(if is_scripted { 1 } else { count }).collect();
        let mut end = answers.next().unwrap_or_default();
        if is_scripted {
            begun = begun.or_else(|| queued.pop().as_ref().and_then(fault_in));
            if let Value::Array(made) = end {
                end = Value::Array(cluster::answers_of_script(made, count));
            }
        }
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
                // The commands of a script before the refused one have been done.
                let unclear = write.updates.iter().filter(|_| is_scripted && is_at_fault);
                self.unclear.extend(unclear.map(Update::id));
                self.write(write, &answers, None, sent_at);
            } else if let Some(failure) = failure.clone().filter(|failure| !is_shared || !failure.is_abort()) {
                self.write(write, &answers, Some(failure), sent_at);
            } else {
                // Another writer was faster, or another write of this transaction was refused.
                write.undo();
                self.undone.push(write);
            }
        }
    }

    /// Takes the answers to the updates of a write, which failed as a whole if there is a `failure`.
    pub(super) fn write(&mut self, write: Write, made: &[Value], failure: Option<Fault>, sent_at: Instant) {
        let Write { updates, reply, .. } = write;
        let refusal = updates.iter().zip(made).find_map(|(update, answer)| Some((Some(update), fault_in(answer)?)));
        let is_short = (made.len() != updates.len()).then_some((None, Fault::Unexpected("EXEC")));
        if let Some((update, fault)) = failure.map(|failure| (None, failure)).or(refusal).or(is_short) {
            let fault = if matches!(update, Some(Update::Put { .. })) { fault } else { fault.for_some() };
            self.lacks_right |= matches!(fault, Fault::NoPermissionForSome(_));
            if fault.is_refusal() {
                self.refused = Some(fault.clone());
            }
            // A write that failed may have been made in part. The other ids are unchanged and are not fetched: if Redis
            // is owed one of them, a fetch would only say that it is gone.
            let is_done = |answer: &Value| !matches!(answer, Value::ServerError(_)) && *answer != queued();
            let done = updates.iter().zip(made).filter(|(_, answer)| is_done(answer));
            self.unclear.extend(done.map(|(update, _)| update.id()));
            reply.tell(Err(fault.into()));
            return;
        }
        let found: Vec<bool> = made.iter().map(|answer| *answer == Value::Int(1)).collect();
        // A delete proves nothing about a put: a Redis without memory still deletes.
        self.is_writable |= updates.iter().any(|update| matches!(update, Update::Put { .. }));
        self.changes.extend(updates.into_iter().zip(&found).map(|(update, found)| update.made(sent_at, *found)));
        self.made.push((reply, found));
    }

    pub(super) fn proof(&mut self, answer: Value) {
        match answer {
            // The first error is the cause: EXEC fails without MULTI.
            Value::ServerError(error) => drop(self.refused.get_or_insert_with(|| error.into())),
            _ => self.is_writable = true,
        }
    }
}

impl Rights {
    /// Takes the answers to DEL, WATCH, MULTI and EXEC, and to the script before EXEC if there is one.
    pub(super) fn read(answers: [Value; 4], script: Option<Value>) -> Result<Rights, Fault> {
        let [deletion, watch, begin, end] = answers.map(|answer| fault_in(&answer).map(Fault::for_some));
        // A script shows only after it has begun that it lacks the right to delete.
        let within = script.as_ref().and(deletion.clone());
        let script = script.and_then(|answer| fault_in(&answer)).map(Fault::for_some);
        let is_permission = |fault: &Fault| matches!(fault, Fault::NoPermissionForSome(_));
        match end {
            // A transaction could begin but never end.
            Some(end) if begin.is_none() && script.is_none() => Err(end),
            _ => Ok(Rights {
                deletion: deletion.filter(is_permission),
                transaction: watch.or(begin).or(script).or(within).filter(is_permission),
            }),
        }
    }

    pub(super) fn missing(&self) -> Option<&Fault> {
        self.transaction.as_ref().or(self.deletion.as_ref())
    }
}

/// The answer to a command of a transaction that is not made yet.
fn queued() -> Value {
    Value::SimpleString("QUEUED".to_owned())
}

/// The error in an answer, if it is one.
pub(super) fn fault_in(answer: &Value) -> Option<Fault> {
    match answer {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

/// Whether the answers to GETRANGE and PTTL leave open what is stored: an empty value, or one that somebody has put
/// there between the two commands.
pub(super) fn is_doubtful(value: &Value, left: &Value) -> bool {
    matches!((value, left), (Value::BulkString(value), Value::Int(-1 | 1..)) if value.is_empty())
}

/// The change that the answers to GETRANGE and PTTL show. A value of another type is no registration, and an absent
/// value reads as empty.
pub(super) fn change(id: TargetId, value: Value, ttl: Value, sent_at: Instant) -> Result<Change, Fault> {
    match (value, ttl) {
        (Value::BulkString(value), Value::Int(-1)) => {
            Ok(Change::Put { id, stored: Stored::Read(value), deadline: None, original: None })
        }
        (Value::BulkString(value), Value::Int(left @ 1..)) => {
            // Counted from before Redis looked, so that nothing is shown longer than Redis has it. A deadline beyond
            // the range of the clock counts as none.
            let deadline = sent_at.checked_add(Duration::from_millis(left.unsigned_abs()));
            Ok(Change::Put { id, stored: Stored::Read(value), deadline, original: None })
        }
        (Value::BulkString(_) | Value::ServerError(_), Value::Int(_)) => Ok(Change::Gone(id)),
        _ => Err(Fault::Unexpected("GETRANGE and PTTL")),
    }
}
