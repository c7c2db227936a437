//! One round trip of the applier: what is asked in one pipeline, and what the answers, in the same order, mean.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::redis::{Pipeline, Value};

use super::connect::Replicated;
use super::fault::Fault;
use super::scan::Scan;
use super::session::{Reply, Write};
use super::settle::Settling;
use crate::registration::{DOCUMENT_BYTES_MAX, TargetId};
use crate::store::{Change, Kept, Stored, Update};

/// How many keys one step of a scan looks at.
const SCAN_COUNT: usize = 1000;

/// Ids in one round, at most and at the beginning: few, until it is known that the values are small.
const ROUND_IDS_MAX: usize = 1000;
const ROUND_IDS_MIN: usize = 16;

/// Bytes of the values in one round, about; much less than what makes a server cut off a client for reading slowly.
const ROUND_BYTES: usize = 4 << 20;

/// How many values a round asks for.
pub(super) struct Portion {
    pub(super) ids: usize,
}

impl Default for Portion {
    fn default() -> Portion {
        Portion { ids: ROUND_IDS_MIN }
    }
}

impl Portion {
    /// Makes rounds shorter when values are large, and longer when they are small.
    pub(super) fn adapt(&mut self, count: usize, bytes: usize) {
        if bytes > ROUND_BYTES {
            self.ids = (self.ids / 2).max(1);
        } else if bytes < ROUND_BYTES / 2 && count >= self.ids {
            self.ids = (self.ids * 2).min(ROUND_IDS_MAX);
        }
    }
}

/// The questions of one round.
#[derive(Default)]
pub(super) struct Round {
    pub(super) pipeline: Pipeline,
    writes: Vec<Write>,
    owed: Vec<Owed>,
    /// What is tried, if anything is.
    probe: Option<Probe>,
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

/// How much is tried to find out whether a write would succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Put,
    /// Everything that may have to be written one day.
    Everything,
}

/// The rights that not every write needs: why they are missing, if they are.
#[derive(Debug, Default)]
pub(super) struct Rights {
    pub(super) deletion: Option<Fault>,
    /// Nothing can be made on a condition, or as a whole.
    pub(super) transaction: Option<Fault>,
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
    /// What was found out about rights, if all were tried.
    pub(super) rights: Option<Rights>,
    /// A write failed for a right that only some writes need.
    pub(super) lacks_right: bool,
    /// How far the copies of the server are.
    pub(super) replicated: Option<Replicated>,
    /// Keys that hold something else than a string.
    pub(super) foreign: usize,
    /// The next page of a scan.
    pub(super) page: Option<Value>,
}

impl Round {
    /// Has writes made, each of one update.
    pub(super) fn write(&mut self, mut writes: Vec<Write>) {
        writes.retain_mut(Write::begin);
        writes.iter().flat_map(|write| &write.updates).for_each(|update| ask(&mut self.pipeline, update));
        self.writes = writes;
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

    /// Finds out whether a write would succeed, without making one: the key does not exist. And how far the copies are.
    pub(super) fn probe(&mut self, key: &str, probe: Probe) {
        self.pipeline.cmd("SET").arg(key).arg("").arg("XX");
        if probe == Probe::Everything {
            self.pipeline.cmd("PEXPIRE").arg(key).arg(1).cmd("DEL").arg(key);
            self.pipeline.cmd("WATCH").arg(key).cmd("MULTI").cmd("EXEC");
        }
        self.pipeline.cmd("INFO").arg("replication");
        self.probe = Some(probe);
    }

    /// Asks for the values of ids, no more of each than a registration may have.
    pub(super) fn fetch(&mut self, ids: BTreeSet<TargetId>) {
        ids.iter().for_each(|id| ask_for_value(&mut self.pipeline, *id));
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
        self.probe.is_some() || self.owed.iter().any(is_put) || self.writes.iter().any(has_put)
    }

    /// Adds what the answers say to what was sent at `sent_at`. Those who wait for writes stay in the round when it fails.
    ///
    /// # Errors
    /// An answer that shows that this server is of no use.
    pub(super) fn read(&mut self, mut read: Answers, answers: Vec<Value>, sent_at: Instant) -> Result<Answers, Fault> {
        let fetched_from = answers.len() - 2 * self.fetched.len() - usize::from(self.turns_page);
        if let Some(fault) = fatal(&answers, fetched_from) {
            return Err(fault);
        }
        let mut answers = answers.into_iter();
        for owed in std::mem::take(&mut self.owed) {
            read.settle(owed, &mut answers);
        }
        for write in std::mem::take(&mut self.writes) {
            let made: Vec<Value> = answers.by_ref().take(write.updates.len()).collect();
            read.write(write, &made, None, sent_at);
        }
        if let Some(probe) = self.probe {
            read.proof(answers.next().unwrap_or_default());
            if probe == Probe::Everything {
                read.proof(answers.next().unwrap_or_default());
                read.rights = Some(Rights::read(&mut answers)?);
            }
            let info = ::redis::from_redis_value::<String>(answers.next().unwrap_or_default());
            read.replicated = info.ok().and_then(|info| Replicated::read(&info, sent_at));
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
    /// Takes what was answered to the updates of a write, which failed as a whole if there is a `failure`.
    pub(super) fn write(&mut self, write: Write, made: &[Value], failure: Option<Fault>, sent_at: Instant) {
        let Write { updates, reply, .. } = write;
        let refusal = updates.iter().zip(made).find_map(|(update, answer)| match answer {
            Value::ServerError(error) => Some((Some(update), Fault::from(error.clone()))),
            _ => None,
        });
        let is_short = (made.len() != updates.len()).then_some((None, Fault::Unexpected("EXEC")));
        if let Some((update, fault)) = failure.map(|failure| (None, failure)).or(refusal).or(is_short) {
            let fault = if matches!(update, Some(Update::Put { .. })) { fault } else { fault.for_some() };
            self.lacks_right |= matches!(fault, Fault::NoPermissionForSome(_));
            if fault.is_refusal() {
                self.refused = Some(fault.clone());
            }
            // What is not made as a whole may be made in part. The rest is as it was, and not looked at: of what Redis is
            // owed that would only say that it is gone.
            let is_done = |answer: &Value| !matches!(answer, Value::ServerError(_)) && *answer != queued();
            let done = updates.iter().zip(made).filter(|(_, answer)| is_done(answer));
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
            None if kept.moved_from.is_some() && put.as_ref().is_none_or(|put| *put == Value::Okay) => {
                self.taken.push(kept);
            }
            // It is put back, or there as somebody else wrote it.
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

impl Rights {
    /// Takes the answers to DEL, WATCH, MULTI and EXEC.
    fn read(answers: &mut impl Iterator<Item = Value>) -> Result<Rights, Fault> {
        let mut next = || match answers.next() {
            Some(Value::ServerError(error)) => Some(Fault::from(error).for_some()),
            _ => None,
        };
        let [deletion, watch, begin, end] = [next(), next(), next(), next()];
        let is_permission = |fault: &Fault| matches!(fault, Fault::NoPermissionForSome(_));
        match end {
            // What has begun could never be ended.
            Some(end) if begin.is_none() => Err(end),
            _ => Ok(Rights {
                deletion: deletion.filter(is_permission),
                transaction: watch.or(begin).filter(is_permission),
            }),
        }
    }

    /// What is missing, if something is.
    pub(super) fn missing(&self) -> Option<&Fault> {
        self.transaction.as_ref().or(self.deletion.as_ref())
    }
}

/// Asks for an update to be made.
pub(super) fn ask(pipeline: &mut Pipeline, update: &Update) {
    let key = update.id().to_string();
    match update {
        Update::Put { id, content, updated_at, ttl, .. } => {
            let set = pipeline.cmd("SET").arg(key).arg(content.document(*id, *updated_at));
            if let Some(ttl) = ttl.duration() {
                set.arg("EX").arg(ttl.as_secs());
            }
        }
        Update::Delete { .. } => drop(pipeline.cmd("DEL").arg(key)),
    }
}

/// Asks for the value of an id, no more of it than a registration may have, and for what is left of its lifetime.
pub(super) fn ask_for_value(pipeline: &mut Pipeline, id: TargetId) {
    let key = id.to_string();
    pipeline.cmd("GETRANGE").arg(&key).arg(0).arg(DOCUMENT_BYTES_MAX).cmd("PTTL").arg(&key);
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
pub(super) fn change(id: TargetId, value: Value, ttl: Value, sent_at: Instant) -> Result<Change, Fault> {
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
