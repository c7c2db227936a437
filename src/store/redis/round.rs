//! One round trip of the applier: what is asked in one pipeline, and what the answers, in the same order, mean.

use std::collections::{BTreeSet, VecDeque};
use std::iter;
use std::time::{Duration, Instant};

use ::redis::{Pipeline, Value};

use super::cluster;
use super::connect::Replicated;
use super::debt::{Scan, Settling};
use super::fault::Fault;
use super::session::{Reply, Write};
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

/// The questions of one round, in their order, each with the number of answers that it gets.
#[derive(Default)]
pub(super) struct Round {
    pub(super) pipeline: Pipeline,
    /// What is made as a whole is made by a script.
    is_scripted: bool,
    asked: VecDeque<(Ask, usize)>,
}

/// A question: what it sends, and what its answers mean.
enum Ask {
    /// Something is written that Redis is owed.
    Owed(Owed),
    Write(Write),
    /// Whether a write of this key would succeed, and how far the copies are.
    Probe {
        probe: Probe,
        key: String,
        is_scripted: bool,
    },
    Fetch(TargetId),
    /// The page of a scan that this cursor leads to.
    Page(Vec<u8>),
}

/// A registration that Redis is owed, and how it is written.
struct Owed {
    kept: Kept,
    way: Way,
    /// What is left of its lifetime, in milliseconds; `None` is for ever.
    left: Option<u64>,
    /// Redis knows how to move a deadline only if that makes it later.
    only_later: bool,
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
#[derive(Debug, Clone, Default)]
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
    pub(super) fn new(is_scripted: bool) -> Round {
        Round { is_scripted, ..Round::default() }
    }

    fn ask(&mut self, ask: Ask) {
        let before = self.pipeline.len();
        ask.send(&mut self.pipeline);
        self.asked.push_back((ask, self.pipeline.len() - before));
    }

    /// Has writes made, each of one update.
    pub(super) fn write(&mut self, mut writes: Vec<Write>) {
        writes.retain_mut(Write::begin);
        writes.into_iter().for_each(|write| self.ask(Ask::Write(write)));
    }

    /// Writes up to `count` of what Redis is owed. `only_later`: Redis knows how to move a deadline only if that makes it later.
    pub(super) fn settle(&mut self, settling: &mut Settling, count: usize, now: Instant, only_later: bool) {
        for kept in settling.take(count, now) {
            let left = kept.deadline.map(|deadline| millis(deadline.saturating_duration_since(now)).max(1));
            let way = match left {
                Some(_) if settling.lives(&kept, now) => Way::Move,
                Some(_) if only_later => Way::PutAndMove,
                _ => Way::Put,
            };
            self.ask(Ask::Owed(Owed { kept, way, left, only_later }));
        }
    }

    /// Finds out whether a write would succeed, without making one: nobody has this key. And how far the copies are.
    pub(super) fn probe(&mut self, key: &str, probe: Probe) {
        self.ask(Ask::Probe { probe, key: key.to_owned(), is_scripted: self.is_scripted });
    }

    pub(super) fn fetch(&mut self, ids: BTreeSet<TargetId>) {
        ids.into_iter().for_each(|id| self.ask(Ask::Fetch(id)));
    }

    pub(super) fn scan(&mut self, scan: &Scan) {
        if let Some(cursor) = scan.next_page() {
            self.ask(Ask::Page(cursor.to_owned()));
        }
    }

    /// Whether something is written whose answer shows that Redis takes writes.
    pub(super) fn proves(&self) -> bool {
        self.asked.iter().any(|(ask, _)| match ask {
            Ask::Owed(owed) => owed.way != Way::Move,
            Ask::Write(write) => write.updates.iter().any(|update| matches!(update, Update::Put { .. })),
            _ => false,
        })
    }

    /// Adds what the answers say to what was sent at `sent_at`. Those who wait for writes stay in the round when it fails.
    pub(super) fn read(&mut self, mut read: Answers, answers: Vec<Value>, sent_at: Instant) -> Result<Answers, Fault> {
        let mut left = answers.as_slice();
        for (ask, count) in &self.asked {
            let (own, later) = left.split_at_checked(*count).unwrap_or((left, &[]));
            if let Some(fault) = own.iter().filter_map(fault_in).find(|fault| ask.is_fatal(fault)) {
                return Err(fault);
            }
            left = later;
        }
        let mut answers = answers.into_iter();
        while let Some((ask, count)) = self.asked.pop_front() {
            ask.take(&mut answers.by_ref().take(count), &mut read, sent_at)?;
        }
        Ok(read)
    }
}

impl Ask {
    fn send(&self, pipeline: &mut Pipeline) {
        match self {
            Ask::Owed(owed) => owed.send(pipeline),
            Ask::Write(write) => write.updates.iter().for_each(|update| ask(pipeline, update)),
            Ask::Probe { probe, key, is_scripted } => {
                pipeline.cmd("SET").arg(key).arg("").arg("XX");
                if *probe == Probe::Everything {
                    pipeline.cmd("PEXPIRE").arg(key).arg(1).cmd("DEL").arg(key);
                    pipeline.cmd("WATCH").arg(key).cmd("MULTI");
                    if *is_scripted {
                        cluster::ask_for_all(pipeline, iter::empty());
                    }
                    pipeline.cmd("EXEC");
                }
                pipeline.cmd("INFO").arg("replication");
            }
            Ask::Fetch(id) => ask_for_value(pipeline, *id),
            Ask::Page(cursor) => drop(pipeline.cmd("SCAN").arg(cursor).arg("COUNT").arg(SCAN_COUNT)),
        }
    }

    fn take(
        self,
        answers: &mut impl Iterator<Item = Value>,
        read: &mut Answers,
        sent_at: Instant,
    ) -> Result<(), Fault> {
        let mut next = || answers.next().unwrap_or_default();
        match self {
            Ask::Owed(owed) => read.owed(owed, answers),
            Ask::Write(write) => read.write(write, &answers.collect::<Vec<Value>>(), None, sent_at),
            Ask::Probe { probe, is_scripted, .. } => {
                read.proof(next());
                if probe == Probe::Everything {
                    read.proof(next());
                    let [deletion, watch, begin] = [next(), next(), next()];
                    let script = if is_scripted { Some(next()) } else { None };
                    read.rights = Some(Rights::read([deletion, watch, begin, next()], script)?);
                }
                let info = ::redis::from_redis_value::<String>(next());
                read.replicated = info.ok().and_then(|info| Replicated::read(&info, sent_at));
            }
            Ask::Fetch(id) => {
                let value = next();
                read.foreign += usize::from(matches!(value, Value::ServerError(_)));
                read.changes.push(change(id, value, next(), sent_at)?);
            }
            Ask::Page(_) => read.page = Some(next()),
        }
        Ok(())
    }

    /// Whether this among its answers says more than no to one write.
    fn is_fatal(&self, fault: &Fault) -> bool {
        match self {
            Ask::Fetch(_) | Ask::Page(_) => !matches!(fault, Fault::WrongType),
            Ask::Owed(_) | Ask::Write(_) | Ask::Probe { .. } => fault.is_of_server(),
        }
    }
}

impl Owed {
    fn send(&self, pipeline: &mut Pipeline) {
        let key = self.kept.id.to_string();
        if self.way != Way::Move {
            let set = pipeline.cmd("SET").arg(&key).arg(self.kept.document()).arg("NX");
            if let Some(left) = self.left {
                set.arg("PX").arg(left);
            }
        }
        if self.way != Way::Put {
            let expire = pipeline.cmd("PEXPIRE").arg(&key).arg(self.left);
            if self.only_later {
                expire.arg("GT");
            }
        }
    }
}

impl Answers {
    /// Takes what was answered to the updates of a write, which failed as a whole if there is a `failure`.
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

    fn owed(&mut self, Owed { kept, way, .. }: Owed, answers: &mut impl Iterator<Item = Value>) {
        let put = (way != Way::Move).then(|| answers.next().unwrap_or_default());
        let moved = (way != Way::Put).then(|| answers.next().unwrap_or_default());
        let refusal = [&put, &moved].into_iter().flatten().find_map(fault_in);
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
    /// Takes the answers to DEL, WATCH, MULTI and EXEC, and to the script before EXEC if there is one.
    fn read(answers: [Value; 4], script: Option<Value>) -> Result<Rights, Fault> {
        let [deletion, watch, begin, end] = answers.map(|answer| fault_in(&answer).map(Fault::for_some));
        // That a script lacks the right to delete is found out only when it has begun.
        let within = script.as_ref().and(deletion.clone());
        let script = script.and_then(|answer| fault_in(&answer)).map(Fault::for_some);
        let is_permission = |fault: &Fault| matches!(fault, Fault::NoPermissionForSome(_));
        match end {
            // What has begun could never be ended.
            Some(end) if begin.is_none() && script.is_none() => Err(end),
            _ => Ok(Rights {
                deletion: deletion.filter(is_permission),
                transaction: watch.or(begin).or(script).or(within).filter(is_permission),
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

/// The error that an answer is.
pub(super) fn fault_in(answer: &Value) -> Option<Fault> {
    match answer {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
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
