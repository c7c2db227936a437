//! The writer: the only thread that changes the file. It commits the waiting writes, shows them in the mirror, then
//! answers their callers. If the file fails, the writer reopens it until it works.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info};

use super::clock::FileClock;
use super::commit::{count_together, has_passed, make};
use super::errors::{FileError, OpenError, contain};
use super::file::{DocumentFile, Part, Records};
use super::inbox::{Inbox, Work};
use super::metrics::Metrics;
use crate::logging::News;
use crate::registration::TargetId;
use crate::store::backoff::Backoff;
use crate::store::mailbox::Write;
use crate::store::{Change, HEARTBEAT, Mirror, Outcome, Settlement, Stored, WAIT_MAX};

/// How many documents are passed to the mirror at once while the file is loaded.
const LOAD_BATCH: usize = 1000;

/// The most threads that load the file at the start, each a part of it. There is one for each processor, because
/// decoding takes most of the time.
const LOADERS_MAX: usize = 4;

/// The longest time between two notes in the file that the server is at work. After a crash, the outage counts from the
/// last.
const ALIVE_EVERY: Duration = Duration::from_secs(60);

/// A writer that is later than this reports trouble: the disk was slow or the process stood still, and renewals may be
/// waiting to be read.
const LATE_MAX: Duration = Duration::from_millis(100);

/// How long such renewals may take to arrive.
const ARRIVED_WITHIN: Duration = Duration::from_millis(500);

/// How many records are examined each second for expired ones.
const SWEPT_PER_SECOND: usize = 1000;

/// About how many bytes of documents are read for that each second: deadlines are stored beside their documents.
const SWEPT_BYTES_PER_SECOND: usize = 1 << 20;

/// How many deadlines one transaction of a settlement moves, at least and at most. A settlement begins with the least.
const SETTLED_AT_ONCE_MIN: usize = 256;
const SETTLED_AT_ONCE_MAX: usize = 16 * 1024;

/// How long such a transaction should take, since callers' writes wait for it.
const SETTLING_TURN: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    inbox: Arc<Inbox>,
    mirror: Arc<dyn Mirror>,
    metrics: Metrics,
    clock: FileClock,
    /// When the server was last at work as noted in the file, by the clock of the file.
    alive: u64,
    alive_at: Instant,
    /// `alive` when the file was loaded. Registrations that had expired by then were never shown.
    loaded_alive: u64,
    /// The file has taken a write of ordinary size since it was opened. A full disk can still be opened and read, and
    /// may take small writes.
    is_proven: bool,
    sweep: Sweep,
    settling: Settling,
    /// When [`tend`](Writer::tend) last ran.
    tended_at: Instant,
}

/// How far the search for expired records has come.
struct Sweep {
    /// The last id that was looked at; `None` before the first.
    last: Option<TargetId>,
    next_at: Instant,
}

/// How far the settlement of an outage has come.
struct Settling {
    /// The end of the outage that is being settled. The file gets no note that the server is at work until that is
    /// done: a crash meanwhile leaves one outage, which is settled as a whole.
    end: Option<Instant>,
    at_once: usize,
}

/// Whether the mirror was loaded before: then it may show registrations that the file lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    First,
    Again,
}

/// Tells the callers that nobody serves them any more, however the thread ends.
struct EndOnDrop(Arc<Inbox>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Writer {
    /// Shows a file that was just opened in the mirror. The time for which the server was stopped is an outage, which
    /// ends when the file has taken the moved deadlines.
    pub(super) fn load(
        inbox: Arc<Inbox>,
        mirror: Arc<dyn Mirror>,
        metrics: Metrics,
        file: &DocumentFile,
    ) -> Result<Writer, OpenError> {
        let now = Instant::now();
        let read = contain(|| {
            let alive = file.alive()?;
            let clock = FileClock::start(alive);
            let interrupted = alive.and_then(|alive| clock.instant(alive));
            mirror.trouble(now, ARRIVED_WITHIN);
            let alive = alive.unwrap_or_else(|| clock.at(now));
            let sweep = Sweep { last: None, next_at: now };
            let settling = Settling { end: None, at_once: SETTLED_AT_ONCE_MIN };
            let (loaded_alive, alive_at, tended_at, is_proven) = (alive, now, now, false);
            let mut writer = Writer {
                inbox,
                mirror,
                metrics,
                clock,
                alive,
                alive_at,
                loaded_alive,
                is_proven,
                sweep,
                settling,
                tended_at,
            };
            writer.show(file, Load::First, alive)?;
            // Only after loading: a crash during a settlement leaves an outage that began before the last writes.
            // Loaded within that outage, they would look like writes of another server that was not interrupted.
            if let Some(alive) = interrupted {
                writer.mirror.interrupted(alive);
            }
            if let Err(error) = writer.tend(file) {
                // The lists are complete and the outage is known. The thread will meet the same error and keep trying.
                error!(path:% = file.path().display(), error:%; "the store takes no writes");
                writer.mirror.interrupted(now);
                writer.settling.end = None;
            }
            writer.mirror.loaded();
            Ok(writer)
        });
        read.map_err(|error| file.open_error(error))
    }

    /// Serves the inbox until it is closed, then closes the file.
    pub(super) fn run(mut self, mut file: DocumentFile) {
        let _end = EndOnDrop(self.inbox.clone());
        let mut backoff = Backoff::default();
        loop {
            let mut work = self.inbox.take(self.wake_at());
            if work.closing && work.writes.is_empty() && work.lookups.is_empty() {
                break;
            }
            let outcome = contain(|| {
                // First of all, registrations that must not expire are made safe.
                self.tend(&file)?;
                if !work.writes.is_empty() {
                    self.commit(&file, &mut work.writes)?;
                    // Only a write proves that a fault is over: a full disk can still be opened and read.
                    backoff.reset();
                }
                self.look_up(&file, &mut work)
            });
            if let Err(fault) = outcome {
                error!(path:% = file.path().display(), error:% = fault; "the store failed");
                self.metrics.faults.inc();
                self.inbox.begin_fault(fault.to_string());
                // Callers learn of the failure only now, when the store no longer reports that it is healthy.
                drop(work);
                match self.recover(file, &mut backoff) {
                    Some(reopened) => file = reopened,
                    None => return,
                }
            }
        }
        if let Err(fault) = contain(|| {
            self.change(&file, Instant::now(), |_| Ok(()))?;
            file.close()
        }) {
            error!(error:% = fault; "the store was not closed cleanly; the next start will check its file");
        }
    }

    /// When to work even if no operation arrives: when the next registration expires, after [`HEARTBEAT`] at the
    /// latest.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        if self.settling.end.is_some() {
            return now;
        }
        self.mirror.next_expiry().map_or(now + HEARTBEAT, |expiry| expiry.min(now + HEARTBEAT))
    }

    /// Tells the mirror that the file takes writes, continues a settlement and removes expired records.
    fn tend(&mut self, file: &DocumentFile) -> Result<(), FileError> {
        self.prove(file)?;
        let now = Instant::now();
        self.settle(file, now)?;
        let expiry = self.mirror.next_expiry();
        let planned = self.tended_at + HEARTBEAT;
        if expiry.map_or(planned, |expiry| expiry.min(planned)) + LATE_MAX < now {
            self.mirror.trouble(now, ARRIVED_WITHIN);
        }
        self.tended_at = now;
        self.mirror.writable(now);
        if self.settling.end.is_some() {
            return Ok(());
        }
        // Noted before anything expires: after a crash it must not come back.
        if self.alive_at <= now || expiry.is_some_and(|expiry| expiry <= now) {
            self.change(file, now, |_| Ok(()))?;
        }
        if self.sweep.next_at <= now {
            self.sweep.next_at = now + HEARTBEAT;
            self.sweep(file, now)?;
        }
        Ok(())
    }

    fn prove(&mut self, file: &DocumentFile) -> Result<(), FileError> {
        if !self.is_proven {
            file.probe()?;
            self.is_proven = true;
        }
        Ok(())
    }

    /// Takes the next step of a settlement: makes a few moved deadlines durable.
    fn settle(&mut self, file: &DocumentFile, now: Instant) -> Result<(), FileError> {
        let end = *self.settling.end.get_or_insert(now);
        let Some(Settlement { moved, is_last }) = self.mirror.settle(end, self.settling.at_once) else {
            self.settling.end = None;
            return Ok(());
        };
        let (begun, clock) = (Instant::now(), self.clock);
        if is_last {
            // The last step also notes that the server is at work, so that the next start does not move these deadlines
            // again.
            self.settling.end = None;
        }
        self.change(file, begun, |records| {
            moved.iter().try_for_each(|kept| records.lengthen(kept.id, clock.to_stored(kept.deadline)))
        })?;
        self.mirror.moved(&moved);
        let took = begun.elapsed();
        self.settling.at_once = match self.settling.at_once {
            few if took > 2 * SETTLING_TURN => (few / 2).max(SETTLED_AT_ONCE_MIN),
            few if took < SETTLING_TURN / 2 => (few * 2).min(SETTLED_AT_ONCE_MAX),
            few => few,
        };
        if took > WAIT_MAX {
            // Nobody could write meanwhile: the outage went on.
            self.settling.end = Some(Instant::now());
        } else if is_last {
            self.mirror.settled(end);
        }
        Ok(())
    }

    /// The deadlines up to this, by the clock of the file, have expired. It follows the mirror: a listed registration
    /// is live, even if only an outage keeps it.
    fn expired_until(&self) -> u64 {
        self.mirror.expired_until().map_or(0, |until| self.clock.at(until)).max(self.loaded_alive)
    }

    /// Removes expired records, some at a time.
    fn sweep(&mut self, file: &DocumentFile, now: Instant) -> Result<(), FileError> {
        let looked_at = file.deadlines_after(self.sweep.last, SWEPT_PER_SECOND, SWEPT_BYTES_PER_SECOND)?;
        // After the last record, the search starts over.
        self.sweep.last = looked_at.last().map(|(id, _)| *id);
        let until = self.expired_until();
        let expired: Vec<TargetId> =
            looked_at.into_iter().filter(|(_, deadline)| has_passed(*deadline, until)).map(|(id, _)| id).collect();
        if expired.is_empty() {
            return Ok(());
        }
        self.change(file, now, |records| expired.iter().try_for_each(|id| records.remove(*id).map(drop)))?;
        self.mirror.apply(expired.into_iter().map(Change::Gone).collect());
        Ok(())
    }

    /// Makes a change durable, all of it or nothing, and notes in the file that the server is at work.
    fn change<T>(
        &mut self,
        file: &DocumentFile,
        now: Instant,
        change: impl FnOnce(&mut Records<'_>) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let alive = if self.settling.end.is_some() { self.alive } else { self.clock.at(now) };
        let (outcome, written) = file.change(alive, change)?;
        (self.alive, self.alive_at) = (alive, now + ALIVE_EVERY);
        self.metrics.observe(&written, now.elapsed());
        Ok(outcome)
    }

    /// Commits all writes, in one transaction if possible; then shows them in the mirror, then answers the callers.
    fn commit(&mut self, file: &DocumentFile, writes: &mut Vec<Write>) -> Result<(), FileError> {
        while !writes.is_empty() {
            let now = Instant::now();
            let (count, clock, expired) = (count_together(writes), self.clock, self.expired_until());
            let outcomes = self.change(file, now, |records| {
                writes
                    .iter()
                    .take(count)
                    .map(|write| make(write, records, now, clock, expired))
                    .collect::<Result<Vec<_>, _>>()
            })?;
            let mut changes = Vec::with_capacity(count);
            let mut replies = Vec::with_capacity(count);
            for (Write { updates, reply, .. }, outcome) in writes.drain(..count).zip(outcomes) {
                if let Outcome::Made(found) = &outcome {
                    changes.extend(updates.into_iter().zip(found).map(|(update, found)| update.made(now, *found)));
                }
                replies.push((reply, outcome));
            }
            self.mirror.apply(changes);
            // A caller that stopped waiting was told that the outcome is unknown.
            replies.into_iter().for_each(|(reply, outcome)| reply.tell(Ok(outcome)));
        }
        Ok(())
    }

    fn look_up(&self, file: &DocumentFile, work: &mut Work) -> Result<(), FileError> {
        let expired = self.expired_until();
        for lookup in work.lookups.drain(..) {
            let live = file.get(lookup.id)?.filter(|(deadline, _)| !has_passed(*deadline, expired));
            // The caller may have stopped waiting.
            let _ = lookup.reply.send(live.map(|(_, document)| document));
        }
        Ok(())
    }

    /// Reopens the file until it takes a write. `None` if the store is closed meanwhile.
    fn recover(&mut self, broken: DocumentFile, backoff: &mut Backoff) -> Option<DocumentFile> {
        let path = broken.path().to_owned();
        (self.is_proven, self.settling.end) = (false, None);
        let mut why = News::default();
        let dropped = contain(move || {
            drop(broken);
            Ok(())
        });
        if let Err(fault) = dropped {
            error!(path:% = path.display(), error:% = fault; "the store failed again");
        }
        while !self.inbox.pause(backoff.next_pause()) {
            match contain(|| self.reopen(&path)) {
                Ok(file) => {
                    info!(path:% = path.display(); "the store works again");
                    return Some(file);
                }
                Err(fault) => {
                    let text = fault.to_string();
                    if why.is(&text) {
                        error!(path:% = path.display(), error:% = text; "cannot reopen the store");
                    }
                    self.inbox.begin_fault(text);
                }
            }
        }
        None
    }

    fn reopen(&mut self, path: &std::path::Path) -> Result<DocumentFile, FileError> {
        let file = DocumentFile::open(path).map_err(FileError::Open)?;
        self.show(&file, Load::Again, self.clock.at(Instant::now()))?;
        self.prove(&file)?;
        // Before the mirror learns that the outage is over: its callers may then write at once.
        self.inbox.end_fault();
        self.tend(&file)?;
        Ok(file)
    }

    /// Shows the mirror the records that had not expired when the clock of the file showed `alive`.
    fn show(&self, file: &DocumentFile, load: Load, alive: u64) -> Result<(), FileError> {
        self.metrics.set_file_bytes(file.bytes()?);
        let loaders = match load {
            Load::First => thread::available_parallelism().map_or(1, NonZero::get).min(LOADERS_MAX),
            // One, because polls go on meanwhile.
            Load::Again => 1,
        };
        let show = |part| self.show_part(file, part, load, alive);
        let present = thread::scope(|scope| {
            let others = Part::all(loaders)
                .skip(1)
                .map(|part| thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, move || show(part)));
            let others: Vec<_> = others.collect::<io::Result<_>>()?;
            let mut present = Part::all(loaders).next().map_or_else(|| Ok(HashSet::new()), show)?;
            for other in others {
                present.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok::<_, FileError>(present)
        })?;
        if load == Load::Again {
            let now = Instant::now();
            let missing = self.mirror.compare(&present, now, None).missing;
            self.mirror
                .apply(missing.into_iter().map(|missing| Change::Deleted { id: missing.kept.id, by: None }).collect());
        }
        Ok(())
    }

    /// Shows the mirror a part of the file. When the file is loaded again, returns the ids that have a record.
    fn show_part(
        &self,
        file: &DocumentFile,
        part: Part,
        load: Load,
        alive: u64,
    ) -> Result<HashSet<TargetId>, FileError> {
        let mut batch = Vec::with_capacity(LOAD_BATCH);
        let mut present = HashSet::new();
        file.for_each(part, |id, deadline, original, document| {
            if load == Load::Again {
                present.insert(id);
            }
            // A record that expired during a fault could not be renewed. The mirror still shows it and decides how long
            // it stays.
            if has_passed(deadline, alive) {
                return;
            }
            let stored = Stored::Read(document.to_vec());
            let (deadline, original) =
                (self.clock.instant_of(deadline), original.and_then(|at| self.clock.instant(at)));
            batch.push(Change::Put { id, stored, deadline, original });
            if batch.len() == LOAD_BATCH {
                self.mirror.apply(mem::replace(&mut batch, Vec::with_capacity(LOAD_BATCH)));
            }
        })?;
        self.mirror.apply(batch);
        Ok(present)
    }
}
