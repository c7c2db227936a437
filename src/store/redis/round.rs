//! One round trip of the applier: what is asked in one pipeline, and what the answers, in the same order, mean.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::redis::{Pipeline, Value};

use super::fault::Fault;
use super::scan::Scan;
use super::session::{Reply, Write};
use super::settle::Settling;
use crate::registration::{DOCUMENT_BYTES_MAX, TargetId};
use crate::store::{Change, Kept, Stored, Update};

/// How many keys one step of a scan looks at.
const SCAN_COUNT: usize = 1000;

/// The questions of one round.
#[derive(Default)]
pub(super) struct Round {
    pub(super) pipeline: Pipeline,
    writes: Vec<Write>,
    owed: Vec<Owed>,
    /// How many of the commands only find out whether a write would succeed.
    probes: usize,
    fetched: Vec<TargetId>,
    turns_page: bool,
}

/// A registration that Redis is owed, and how it is written.
struct Owed {
    kept: Kept,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its key lives: only the deadline is moved, so that a deletion that crosses with it is not undone.
    Move,
    /// It is put where nothing is.
    Put,
    /// It is put where nothing is; if another server was faster, the later deadline holds.
    PutAndMove,
}

/// What the answers of a round say.
#[derive(Default)]
pub(super) struct Answers {
    /// What the mirror is to be shown.
    pub(super) changes: Vec<Change>,
    /// Who waits for a write that was made, and what each of its removals found.
    pub(super) made: Vec<(Reply, Vec<bool>)>,
    /// Ids of which the answers do not say what Redis has now: they are to be fetched.
    pub(super) unclear: Vec<TargetId>,
    /// What Redis has taken of what it is owed, and has as it was sent.
    pub(super) taken: Vec<Kept>,
    /// What Redis did not take of what it is owed.
    pub(super) given_back: Vec<Kept>,
    /// Registrations that were put back.
    pub(super) restored: Vec<TargetId>,
    /// A write was taken, or would have been.
    pub(super) is_writable: bool,
    /// Why a write was refused, if one was.
    pub(super) refused: Option<Fault>,
    /// Keys that hold something else than a string.
    pub(super) foreign: usize,
    /// The next page of a scan.
    pub(super) page: Option<Value>,
}

impl Round {
    /// Has updates made, each [`Write`] as a transaction.
    pub(super) fn write(&mut self, mut writes: Vec<Write>) {
        writes.retain_mut(Write::begin);
        for write in &writes {
            let is_transaction = write.updates.len() > 1;
            if is_transaction {
                self.pipeline.cmd("MULTI");
            }
            write.updates.iter().for_each(|update| self.update(update));
            if is_transaction {
                self.pipeline.cmd("EXEC");
            }
        }
        self.writes = writes;
    }

    fn update(&mut self, update: &Update) {
        let key = update.id().to_string();
        match update {
            Update::Put { id, content, updated_at, ttl, .. } => {
                let set = self.pipeline.cmd("SET").arg(key).arg(content.document(*id, *updated_at));
                if let Some(ttl) = ttl.duration() {
                    set.arg("EX").arg(ttl.as_secs());
                }
            }
            Update::Delete { .. } => drop(self.pipeline.cmd("DEL").arg(key)),
        }
    }

    /// Writes up to `count` of what Redis is owed. `only_later`: Redis knows how to move a deadline only if that makes it later.
    pub(super) fn settle(&mut self, settling: &mut Settling, count: usize, now: Instant, only_later: bool) {
        for kept in settling.take(count, now) {
            let lives = settling.lives(&kept, now);
            let left = kept.deadline.map(|deadline| millis(deadline.saturating_duration_since(now)).max(1));
            let way = match left {
                Some(_) if lives => Way::Move,
                Some(_) if only_later => Way::PutAndMove,
                _ => Way::Put,
            };
            let key = kept.id.to_string();
            if way != Way::Move {
                let set = self.pipeline.cmd("SET").arg(&key).arg(kept.document()).arg("NX");
                if let Some(left) = left {
                    set.arg("PX").arg(left);
                }
            }
            if way != Way::Put {
                let expire = self.pipeline.cmd("PEXPIRE").arg(&key).arg(left);
                if only_later {
                    expire.arg("GT");
                }
            }
            self.owed.push(Owed { kept, way });
        }
    }

    /// Finds out whether a write would succeed, without making one: the key does not exist.
    pub(super) fn probe(&mut self, key: &str, tries_all: bool) {
        self.pipeline.cmd("SET").arg(key).arg("").arg("XX");
        self.probes += 1;
        if tries_all {
            self.pipeline.cmd("PEXPIRE").arg(key).arg(1).cmd("MULTI").cmd("EXEC");
            self.probes += 3;
        }
    }

    /// Asks for the values of ids, no more of each than a registration may have.
    pub(super) fn fetch(&mut self, ids: BTreeSet<TargetId>) {
        for id in &ids {
            let key = id.to_string();
            self.pipeline.cmd("GETRANGE").arg(&key).arg(0).arg(DOCUMENT_BYTES_MAX).cmd("PTTL").arg(&key);
        }
        self.fetched.extend(ids);
    }

    pub(super) fn scan(&mut self, scan: &Scan) {
        if let Some(cursor) = scan.next_page() {
            self.pipeline.cmd("SCAN").arg(cursor).arg("COUNT").arg(SCAN_COUNT);
            self.turns_page = true;
        }
    }

    /// Whether something is written whose answer shows that Redis takes writes.
    pub(super) fn proves(&self) -> bool {
        let has_put = |write: &Write| write.updates.iter().any(|update| matches!(update, Update::Put { .. }));
        let is_put = |owed: &Owed| owed.way != Way::Move;
        self.probes > 0 || self.owed.iter().any(is_put) || self.writes.iter().any(has_put)
    }

    /// Reads the answers to what was sent at `sent_at`. Those who wait for writes stay in the round when it fails.
    ///
    /// # Errors
    /// An answer that shows that this server is of no use.
    pub(super) fn read(&mut self, answers: Vec<Value>, sent_at: Instant) -> Result<Answers, Fault> {
        let mut read = Answers::default();
        let fetched_from = answers.len() - 2 * self.fetched.len() - usize::from(self.turns_page);
        if let Some(fault) = fatal(&answers, fetched_from) {
            return Err(fault);
        }
        let mut answers = answers.into_iter();
        for owed in std::mem::take(&mut self.owed) {
            read.settle(owed, &mut answers);
        }
        for write in std::mem::take(&mut self.writes) {
            read.write(write, &mut answers, sent_at);
        }
        for answer in answers.by_ref().take(self.probes) {
            read.proof(answer);
        }
        for id in std::mem::take(&mut self.fetched) {
            let value = answers.next().unwrap_or_default();
            read.foreign += usize::from(matches!(value, Value::ServerError(_)));
            read.changes.push(change(id, value, answers.next().unwrap_or_default(), sent_at)?);
        }
        read.page = if self.turns_page { answers.next() } else { None };
        Ok(read)
    }
}

impl Answers {
    fn write(&mut self, write: Write, answers: &mut impl Iterator<Item = Value>, sent_at: Instant) {
        let Write { updates, reply, .. } = write;
        let made = if updates.len() == 1 {
            vec![answers.next().unwrap_or_default()]
        } else {
            // The commands are only queued; EXEC has the answers, or says that nothing was done. Why not, the command says
            // that was not queued.
            let begun = answers.next().unwrap_or_default();
            let queued: Vec<Value> = answers.by_ref().take(updates.len()).collect();
            match answers.next().unwrap_or_default() {
                Value::Array(made) => made,
                refusal => queued.into_iter().chain([begun, refusal]).collect(),
            }
        };
        let error = made.iter().find_map(|answer| match answer {
            Value::ServerError(error) => Some(Fault::from(error.clone())),
            _ => None,
        });
        if let Some(fault) = error.or((made.len() != updates.len()).then_some(Fault::Unexpected("EXEC"))) {
            if fault.is_refusal() {
                self.refused = Some(fault.clone());
            }
            // What is not made as a whole may be made in part. The rest is as it was, and not looked at: of what Redis is
            // owed that would only say that it is gone.
            let is_done = |answer: &Value| !matches!(answer, Value::ServerError(_)) && *answer != queued();
            let done = updates.iter().zip(&made).filter(|(_, answer)| is_done(answer));
            self.unclear.extend(done.map(|(update, _)| update.id()));
            reply.tell(Err(fault));
            return;
        }
        let found: Vec<bool> = made.iter().map(|answer| *answer == Value::Int(1)).collect();
        // One that deletes says nothing about others: a Redis without memory deletes, and does not set.
        self.is_writable |= updates.iter().any(|update| matches!(update, Update::Put { .. }));
        self.changes.extend(updates.into_iter().zip(&found).map(|(update, found)| update.made(sent_at, *found)));
        self.made.push((reply, found));
    }

    fn settle(&mut self, owed: Owed, answers: &mut impl Iterator<Item = Value>) {
        let Owed { kept, way } = owed;
        let put = (way != Way::Move).then(|| answers.next().unwrap_or_default());
        let moved = (way != Way::Put).then(|| answers.next().unwrap_or_default());
        let refusal = [&put, &moved].into_iter().flatten().find_map(|answer| match answer {
            Value::ServerError(error) => Some(Fault::from(error.clone())),
            _ => None,
        });
        self.is_writable |= put.is_some() && refusal.is_none();
        self.restored.extend((put == Some(Value::Okay)).then_some(kept.id));
        match refusal {
            Some(refusal) => {
                self.refused.get_or_insert(refusal);
                self.given_back.push(kept);
            }
            // It lives on with a later deadline, or is gone: to know which, it is fetched, and owed until then.
            None if moved == Some(Value::Int(0)) && put.is_none() => {
                self.unclear.push(kept.id);
                self.given_back.push(kept);
            }
            None if put == Some(Value::Okay) || (put.is_none() && moved == Some(Value::Int(1))) => {
                self.taken.push(kept)
            }
            // It is there as somebody else wrote it.
            None => self.unclear.push(kept.id),
        }
    }

    fn proof(&mut self, answer: Value) {
        match answer {
            // The first one is the cause: EXEC fails without MULTI.
            Value::ServerError(error) => drop(self.refused.get_or_insert_with(|| error.into())),
            _ => self.is_writable = true,
        }
    }
}

/// The answer to a command of a transaction that is not made yet.
fn queued() -> Value {
    Value::SimpleString("QUEUED".to_owned())
}

/// An error among the answers that says more than no to one write. From `fetched_from` on they are no writes.
fn fatal(answers: &[Value], fetched_from: usize) -> Option<Fault> {
    answers.iter().enumerate().find_map(|(at, answer)| {
        let Value::ServerError(error) = answer else { return None };
        let fault = Fault::from(error.clone());
        let is_fatal = if at < fetched_from { fault.is_of_server() } else { !matches!(fault, Fault::WrongType) };
        is_fatal.then_some(fault)
    })
}

/// What the answers to GETRANGE and PTTL say about an id. A value of another type is no registration, and an absent one
/// reads as empty.
fn change(id: TargetId, value: Value, ttl: Value, sent_at: Instant) -> Result<Change, Fault> {
    match (value, ttl) {
        (Value::BulkString(value), Value::Int(-1)) => {
            Ok(Change::Put { id, stored: Stored::Read(value), deadline: None })
        }
        (Value::BulkString(value), Value::Int(left @ 1..)) => {
            // Counted from before Redis looked, so that nothing is shown longer than Redis has it. What lies beyond
            // the clock never comes.
            let deadline = sent_at.checked_add(Duration::from_millis(left.unsigned_abs()));
            Ok(Change::Put { id, stored: Stored::Read(value), deadline })
        }
        (Value::BulkString(_) | Value::ServerError(_), Value::Int(_)) => Ok(Change::Gone(id)),
        _ => Err(Fault::Unexpected("GETRANGE and PTTL")),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
