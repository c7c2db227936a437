//! One round trip of the applier: a list of questions in one pipeline. Each knows what it sends and how to take its
//! answers.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::iter;
use std::time::{Duration, Instant};

use ::redis::{Pipeline, Value};

use super::answers::{Answers, Rights, change, fault_in, is_doubtful};
use super::clock::{Here, Reading};
use super::cluster;
use super::connect::{ANSWER_MAX, Replicated};
use super::debt::{Scan, Settling};
use super::fault::Fault;
use crate::registration::{DOCUMENT_BYTES_MAX, TargetId};
use crate::store::mailbox::Write;
use crate::store::{Kept, SETTLED_BYTES, Update};

/// How many keys one step of a scan examines.
const SCAN_COUNT: usize = 1000;

/// Ids in one round, at most and at first: few, until the values are known to be small.
const ROUND_IDS_MAX: usize = 1000;
const ROUND_IDS_MIN: usize = 32;

/// How long a round should take that watches values or reads whole ones, because small writes wait for it. For each
/// watched value Redis checks all that are watched already, so the last of many take the longest.
const TURN: Duration = Duration::from_millis(250);

/// The least number of values in such a round if it takes longer: with fewer, the network takes the time.
const SLOW_ROUND_IDS: usize = 128;

/// About how many bytes of values one round has: much less than makes a server cut off a client for reading slowly.
const ROUND_BYTES: usize = 4 << 20;

/// The most bytes of values in one round. A value larger than its share of them is left for a later round.
const ROUND_BYTES_MAX: usize = 4 * ROUND_BYTES;

/// This many whole values fit into a round, however large they are.
pub(super) const AGAIN_MAX: usize = ROUND_BYTES / DOCUMENT_BYTES_MAX;

/// How many bytes of each of `count` values are asked for. One more byte is read, to see whether there are more.
pub(super) fn share(count: usize) -> usize {
    (ROUND_BYTES_MAX / count.max(1)).min(DOCUMENT_BYTES_MAX)
}

/// Whether this many bytes are only the beginning of a value that is larger than its share.
pub(super) fn is_cut_off(bytes: usize, share: usize) -> bool {
    share < bytes && share < DOCUMENT_BYTES_MAX
}

pub(super) fn size(value: &Value) -> usize {
    if let Value::BulkString(value) = value { value.len() } else { 0 }
}

/// How many values one round asks for.
pub(super) struct Portion {
    pub(super) ids: usize,
}

impl Default for Portion {
    fn default() -> Portion {
        Portion { ids: ROUND_IDS_MIN }
    }
}

impl Portion {
    /// Makes rounds shorter if the `count` values that were read are large, and longer if they are small.
    pub(super) fn adapt(&mut self, count: usize, bytes: usize) {
        if bytes > ROUND_BYTES {
            self.ids = (count * ROUND_BYTES / bytes).max(1);
        } else if bytes < ROUND_BYTES / 2 && count >= self.ids {
            self.ids = (self.ids * 2).min(ROUND_IDS_MAX);
        }
    }

    /// The same for whole values, [`AGAIN_MAX`] at most, with the time that the round took.
    pub(super) fn adapt_again(&mut self, took: Duration) {
        self.ids = if took > TURN { (self.ids / 2).max(1) } else { (self.ids + 1).min(AGAIN_MAX) };
    }

    /// The same for a round that watched values, with the time it took.
    pub(super) fn adapt_watching(&mut self, count: usize, bytes: usize, took: Duration) {
        if bytes > ROUND_BYTES || took < TURN / 2 {
            self.adapt(count, bytes);
        } else if took > TURN && self.ids > SLOW_ROUND_IDS {
            self.ids = (self.ids / 2).max(SLOW_ROUND_IDS);
        }
    }
}

/// The questions of one round, in their order, each with the number of answers that it gets.
#[derive(Default)]
pub(super) struct Round {
    pub(super) pipeline: Pipeline,
    /// Writes of several updates are made by a script.
    is_scripted: bool,
    asked: VecDeque<(Ask, usize)>,
}

/// A question: what it sends, and what its answers mean.
enum Ask {
    /// Writes that are made together or not at all.
    Commit(Vec<Write>),
    Owed(Owed),
    Write(Write),
    /// Whether a write of this key would succeed, and how far replication has come.
    Probe {
        probe: Probe,
        key: String,
    },
    /// The time of the clock of Redis.
    Clock(Here),
    /// A value: up to this many bytes of it, or, for a second look, all of it.
    Fetch(TargetId, Option<usize>),
    /// The page of a scan that this cursor leads to.
    Page(Vec<u8>),
    /// Values to watch, because a transaction will replace them.
    Watch(Vec<TargetId>),
}

/// A registration that Redis is owed, and how it is written.
struct Owed {
    kept: Kept,
    way: Way,
    /// The rest of its lifetime, in milliseconds; `None` is for ever.
    left: Option<u64>,
    /// Redis can move a deadline on the condition that this makes it later.
    only_later: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its key exists: only the deadline is moved, so that a concurrent deletion is not undone.
    Move,
    /// It is put if there is no value.
    Put,
    /// It is put if there is no value; if another server was faster, the later deadline holds.
    PutAndMove,
}

/// How much a probe tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Put,
    /// Every kind of command that a write may ever need.
    Everything,
}

impl Round {
    pub(super) fn new(is_scripted: bool) -> Round {
        Round { is_scripted, ..Round::default() }
    }

    fn ask(&mut self, ask: Ask) {
        let before = self.pipeline.len();
        ask.send(&mut self.pipeline, self.is_scripted);
        self.asked.push_back((ask, self.pipeline.len() - before));
    }

    /// Asks for writes, all or none, as the first question of a round. Without any, it only stops the watching.
    pub(super) fn commit(&mut self, writes: Vec<Write>) {
        self.ask(Ask::Commit(writes));
    }

    /// Asks for writes of one update each.
    pub(super) fn write(&mut self, mut writes: Vec<Write>) {
        writes.retain_mut(|write| write.begin(ANSWER_MAX));
        writes.into_iter().for_each(|write| self.ask(Ask::Write(write)));
    }

    /// Asks for up to `count` owed registrations, or as many as fit. What this round commits stays owed, because the
    /// commit comes first and must not be undone. `only_later`: Redis can move a deadline on the condition that this
    /// makes it later.
    pub(super) fn settle(&mut self, settling: &mut Settling, count: usize, now: Instant, only_later: bool) {
        let committed = self.committed();
        let (mut bytes, mut later) = (0, Vec::new());
        for _ in 0..count {
            let Some(kept) = (bytes < SETTLED_BYTES).then(|| settling.next(now)).flatten() else { break };
            if committed.contains(&kept.id) {
                later.push(kept);
                continue;
            }
            let left = kept.deadline.map(|deadline| millis(deadline.saturating_duration_since(now)).max(1));
            let way = match left {
                Some(_) if settling.lives(&kept, now) => Way::Move,
                Some(_) if only_later => Way::PutAndMove,
                _ => Way::Put,
            };
            if way != Way::Move {
                bytes += kept.content.byte_count();
            }
            let only_later = only_later && kept.moved_from <= kept.deadline;
            self.ask(Ask::Owed(Owed { kept, way, left, only_later }));
        }
        later.into_iter().for_each(|kept| settling.give_back(kept));
    }

    /// The ids that this round commits.
    fn committed(&self) -> HashSet<TargetId> {
        match self.asked.front() {
            Some((Ask::Commit(writes), _)) => writes.iter().flat_map(|write| &write.updates).map(Update::id).collect(),
            _ => HashSet::new(),
        }
    }

    /// Finds out whether a write would succeed, without making one, since nobody has this key; and how far replication
    /// has come.
    pub(super) fn probe(&mut self, key: &str, probe: Probe) {
        self.ask(Ask::Probe { probe, key: key.to_owned() });
    }

    /// Whether this round has writes of callers, and nothing else.
    pub(super) fn only_writes(&self) -> bool {
        let is_write = |ask: &Ask| matches!(ask, Ask::Commit(_) | Ask::Write(_));
        !self.asked.is_empty() && self.asked.iter().all(|(ask, _)| is_write(ask))
    }

    /// Reads the clock of Redis, after all deadlines.
    pub(super) fn read_clock(&mut self) {
        self.ask(Ask::Clock(Here::now()));
    }

    /// Asks for values, and for those of `again` as a whole, [`AGAIN_MAX`] at most.
    pub(super) fn fetch(&mut self, ids: &BTreeSet<TargetId>, again: BTreeSet<TargetId>) {
        let share = share(ids.len());
        ids.difference(&again).for_each(|id| self.ask(Ask::Fetch(*id, Some(share))));
        again.into_iter().for_each(|id| self.ask(Ask::Fetch(id, None)));
    }

    pub(super) fn scan(&mut self, scan: &Scan) {
        if let Some(cursor) = scan.next_page() {
            self.ask(Ask::Page(cursor.to_owned()));
        }
    }

    /// Watches these values and asks for them, as the last question of a round.
    pub(super) fn watch(&mut self, ids: Vec<TargetId>) {
        if !ids.is_empty() {
            self.ask(Ask::Watch(ids));
        }
    }

    /// Whether a write in this round will show that Redis takes writes.
    pub(super) fn proves(&self) -> bool {
        self.asked.iter().any(|(ask, _)| match ask {
            Ask::Owed(owed) => owed.way != Way::Move,
            Ask::Write(write) => write.updates.iter().any(|update| matches!(update, Update::Put { .. })),
            _ => false,
        })
    }

    /// Takes the answers to what was sent at `sent_at`. On an error, callers that wait for writes stay in the round.
    pub(super) fn read(&mut self, answers: Vec<Value>, sent_at: Instant) -> Result<Answers, Fault> {
        let mut read = Answers::default();
        let mut left = answers.as_slice();
        for (ask, count) in &self.asked {
            let (own, later) = left.split_at_checked(*count).unwrap_or((left, &[]));
            let within =
                own.iter().filter_map(|answer| if let Value::Array(made) = answer { Some(made) } else { None });
            let answers = own.iter().chain(within.flatten());
            if let Some(fault) = answers.filter_map(fault_in).find(|fault| ask.is_fatal(fault)) {
                return Err(fault);
            }
            left = later;
        }
        let mut answers = answers.into_iter();
        while let Some((ask, count)) = self.asked.pop_front() {
            ask.take(&mut answers.by_ref().take(count), &mut read, sent_at, self.is_scripted)?;
        }
        Ok(read)
    }
}

impl Ask {
    fn send(&self, pipeline: &mut Pipeline, is_scripted: bool) {
        match self {
            Ask::Commit(writes) => {
                pipeline.cmd("MULTI");
                let updates = writes.iter().flat_map(|write| &write.updates);
                match is_scripted {
                    true => cluster::ask_for_all(pipeline, updates),
                    false => updates.for_each(|update| ask(pipeline, update)),
                }
                pipeline.cmd("EXEC");
            }
            Ask::Owed(owed) => owed.send(pipeline),
            Ask::Write(write) => write.updates.iter().for_each(|update| ask(pipeline, update)),
            Ask::Probe { probe, key } => {
                pipeline.cmd("SET").arg(key).arg("").arg("XX");
                if *probe == Probe::Everything {
                    pipeline.cmd("PEXPIRE").arg(key).arg(1).cmd("DEL").arg(key);
                    pipeline.cmd("WATCH").arg(key).cmd("MULTI");
                    if is_scripted {
                        cluster::ask_for_all(pipeline, iter::empty());
                    }
                    pipeline.cmd("EXEC");
                }
                pipeline.cmd("INFO").arg("replication");
            }
            Ask::Clock(_) => drop(pipeline.cmd("INFO").arg("server")),
            Ask::Fetch(id, share) => ask_for_value(pipeline, *id, share.unwrap_or(DOCUMENT_BYTES_MAX)),
            Ask::Page(cursor) => drop(pipeline.cmd("SCAN").arg(cursor).arg("COUNT").arg(SCAN_COUNT)),
            Ask::Watch(ids) => {
                for id in ids {
                    // One by one, since they may be in different slots of a cluster.
                    pipeline.cmd("WATCH").arg(id.to_string());
                    ask_for_value(pipeline, *id, share(ids.len()));
                }
            }
        }
    }

    fn take(
        self,
        answers: &mut impl Iterator<Item = Value>,
        read: &mut Answers,
        sent_at: Instant,
        is_scripted: bool,
    ) -> Result<(), Fault> {
        let mut next = || answers.next().unwrap_or_default();
        match self {
            Ask::Commit(writes) => read.commit(writes, is_scripted, answers, sent_at),
            Ask::Owed(owed) => owed.take(answers, read),
            Ask::Write(write) => read.write(write, &answers.collect::<Vec<Value>>(), None, sent_at),
            Ask::Probe { probe, .. } => {
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
            Ask::Fetch(id, share) => {
                let (value, left) = (next(), next());
                read.foreign += usize::from(matches!(value, Value::ServerError(_)));
                if let Some(share) = share {
                    let bytes = size(&value);
                    (read.count, read.bytes) = (read.count + 1, read.bytes + bytes);
                    if is_cut_off(bytes, share) || is_doubtful(&value, &left) {
                        read.again.insert(id);
                        return Ok(());
                    }
                }
                let change = change(id, value, left, sent_at)?;
                read.changes.push(change);
            }
            Ask::Clock(here) => {
                let info = ::redis::from_redis_value::<String>(next());
                read.clock = info.ok().and_then(|info| Reading::read(&info, here));
            }
            Ask::Page(_) => read.page = Some(next()),
            // The checks are asked once everything else is shown.
            Ask::Watch(_) => read.watched = answers.collect(),
        }
        Ok(())
    }

    /// Whether this fault concerns more than one write.
    fn is_fatal(&self, fault: &Fault) -> bool {
        match self {
            Ask::Fetch(..) | Ask::Page(_) => !matches!(fault, Fault::WrongType),
            _ => fault.is_of_server(),
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

    fn take(self, answers: &mut impl Iterator<Item = Value>, read: &mut Answers) {
        let Owed { kept, way, .. } = self;
        let put = (way != Way::Move).then(|| answers.next().unwrap_or_default());
        let moved = (way != Way::Put).then(|| answers.next().unwrap_or_default());
        let refusal = [&put, &moved].into_iter().flatten().find_map(fault_in);
        read.is_writable |= put.is_some() && refusal.is_none();
        read.restored.extend((put == Some(Value::Okay)).then_some(kept.id));
        read.there.extend(put.as_ref().filter(|put| fault_in(put).is_none()).map(|_| kept.id));
        match refusal {
            Some(refusal) => {
                read.refused.get_or_insert(refusal);
                read.given_back.push(kept);
            }
            // It lives with a later deadline, or is gone: it is fetched to know which, and owed until then.
            None if moved == Some(Value::Int(0)) && put.is_none() => {
                read.unclear.push(kept.id);
                read.given_back.push(kept);
            }
            None if kept.moved_from.is_some() && put.as_ref().is_none_or(|put| *put == Value::Okay) => {
                read.taken.push(kept);
            }
            // It is put back, or somebody else has written it.
            None => read.unclear.push(kept.id),
        }
    }
}

fn ask(pipeline: &mut Pipeline, update: &Update) {
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

/// Asks for up to `share` bytes of a value and one more, and for the rest of its lifetime.
fn ask_for_value(pipeline: &mut Pipeline, id: TargetId, share: usize) {
    let key = id.to_string();
    pipeline.cmd("GETRANGE").arg(&key).arg(0).arg(share).cmd("PTTL").arg(&key);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
