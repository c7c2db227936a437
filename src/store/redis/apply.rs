//! The applier: the only writer of the mirror and of Redis. It works in rounds: one pipeline on one connection, whose
//! answers are applied in their order, so that an id never goes back to an older value. It knows its own writes from
//! their answers. Redis reports only what others change; the applier fetches that in a later round, so after everything
//! that was written before.
//!
//! It is in one of three stages. In each it makes the writes of handlers and fetches what has changed:
//!
//! - **Following**: does nothing else. Every second, and when a registration expires, a probe shows that Redis takes
//!   writes.
//! - **Scanning**: reads everything. If the mirror then shows a registration that Redis lacks, it was lost, it expired
//!   in an outage, or it was deleted. After a restart, deletion is believed only if a second scan confirms it: another
//!   server may be putting it back.
//! - **Settling**: writes registrations that Redis lost, and deadlines that an outage moved. Whatever Redis refuses
//!   stays owed, and the outage goes on.
//!
//! A session scans, then settles, then follows. An outage within a session (Redis refused writes, or made them wait)
//! ends with settling alone. Every round whose writes or probe Redis took tells the mirror that Redis takes writes;
//! when all is settled, the mirror is told that the outage is over.

mod owed;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use std::{iter, mem};

use ::redis::Value;
use log::{Level, log, warn};

use super::clock::Clock;
use super::connect::{ServerProcess, inspect, probe_key};
use super::debt::{Restart, Restoring, Scan, Settling, holds};
use super::fault::Fault;
use super::lanes::{At, Lanes};
use super::link::Context;
use super::processes::Farewell;
use super::replacing::Replacing;
use super::round::{AGAIN_MAX, Portion, Round};
use super::session::{Cause, Contact, Session, Work};
use super::transaction::Verdicts;
use super::writes::{RETRY_AFTER, Writes};
use crate::registration::TargetId;
use crate::store::{Change, HEARTBEAT, Outcome, WAIT_MAX};

/// The shortest wait for an expiry, so that a registration that does not expire at once causes no busy loop.
const EXPIRY_WAIT_MIN: Duration = Duration::from_millis(5);

/// How long the applier can be away, waiting for work and for answers. After a longer time, this program stood still.
const AWAY_MAX: Duration = WAIT_MAX.saturating_add(HEARTBEAT);

/// How long after trouble other servers may take to move the deadlines of owners that they have refused meanwhile.
const NEWS_WITHIN: Duration = Duration::from_millis(1500);

/// A round that takes longer than this is trouble.
const ROUND_MAX: Duration = Duration::from_millis(500);

/// The next scan comes after this many times the duration of the last one, at least. The more there is to read, and the
/// more servers read it, the more a scan costs Redis, and it seldom finds much.
const REST: u32 = 300;

pub(super) struct Applier<'a> {
    lanes: Lanes,
    session: &'a Session,
    context: &'a Context,
    server: ServerProcess,
    /// When the server last answered.
    contact: Contact,
    /// Set until the first full load, if the server process is not the one before.
    restoring: Option<Restoring>,
    stage: Stage,
    /// Changes that were fetched or written and are not applied yet.
    fetched: Vec<Change>,
    clock: &'a mut Clock,
    /// Ids whose values must be read again, as a whole.
    again: BTreeSet<TargetId>,
    /// How many of these one round reads.
    again_portion: Portion,
    /// The reason for the next scan, and its time.
    due: Option<(Cause, Instant)>,
    /// The longest time between two scans.
    rest: Duration,
    portion: Portion,
    began_round: Instant,
    writes: Writes,
    replacing: Replacing,
    /// How many keys other programs had at the last scan.
    foreign: usize,
    probe_key: String,
}

/// What the applier does besides following changes.
enum Stage {
    /// Nothing, until a scan is due.
    Following {
        since: Instant,
    },
    Scanning(Scan),
    /// Writes what Redis is owed, after a scan if there is one.
    Settling(Settling, Option<Scan>),
}

impl<'a> Applier<'a> {
    pub(super) fn new(
        lanes: Lanes,
        session: &'a Session,
        context: &'a Context,
        clock: &'a mut Clock,
        restart: Option<Restart>,
        server: ServerProcess,
    ) -> Applier<'a> {
        let now = Instant::now();
        Applier {
            lanes,
            session,
            context,
            server,
            contact: Contact::now(),
            clock,
            restoring: restart.map(Restoring::new),
            // The session asks for its first scan by itself.
            stage: Stage::Following { since: now },
            fetched: Vec::new(),
            again: BTreeSet::new(),
            again_portion: Portion { ids: AGAIN_MAX },
            due: None,
            rest: context.connector.settings().resync_every,
            portion: Portion::default(),
            began_round: now,
            writes: context.link.writes().in_new_session(),
            replacing: Replacing::default(),
            foreign: 0,
            probe_key: probe_key(),
        }
    }

    /// Follows the server until the session ends.
    ///
    /// # Errors
    /// Always: why it ended.
    pub(super) fn run(&mut self) -> Result<Infallible, Fault> {
        self.context.mirror.trouble(Instant::now(), NEWS_WITHIN);
        if let Some(restoring) = &mut self.restoring {
            self.context.mirror.interrupted(restoring.restart.last_contact);
            restoring.begin(|came_up| self.context.mirror.living_after(came_up));
            if !restoring.restart.was_watched() {
                self.context.mirror.forget_deletions();
            }
        }
        loop {
            let work = self.session.take(self.portion.ids, self.patience())?;
            let now = Instant::now();
            let stood_still = now.duration_since(self.began_round) > AWAY_MAX;
            self.began_round = now;
            if stood_still || work.is_behind || !self.again.is_empty() {
                self.context.mirror.trouble(now, NEWS_WITHIN);
            }
            if stood_still && let Stage::Settling(settling, _) = &mut self.stage {
                // The outage that was being settled has become longer.
                settling.begin_again(now);
            }
            let cause = work.rescan.or(stood_still.then_some(Cause::Stood));
            self.due = cause.map(|cause| (cause, now)).or(self.due);
            self.begin_scan(now)?;
            let round = self.prepare(work, now);
            self.take_round(round, |lanes| &mut lanes.main)?;
            if let Some(round) = self.lanes.overtake(now) {
                self.take_round(round, |lanes| &mut lanes.overtaking)?;
            }
            self.advance();
        }
    }

    /// What the session leaves behind when it ends for this reason.
    pub(super) fn farewell<'f>(self, fault: &'f Fault, is_loaded: bool) -> Farewell<'f>
    where
        'a: 'f,
    {
        Farewell {
            run_id: &self.session.run_id,
            contact: self.contact,
            replicated: self.server.replicated,
            fault,
            is_loaded,
            foreign: self.server.origin.elsewhere + self.foreign,
            seen: self.restoring.map(Restoring::into_seen).unwrap_or_default(),
        }
    }

    fn patience(&self) -> Duration {
        match &self.stage {
            _ if self.lanes.are_open() || !self.again.is_empty() => Duration::ZERO,
            // Writes are tried before anybody relies on them.
            Stage::Following { .. } if self.writes.is_untried() => Duration::ZERO,
            Stage::Following { .. } => {
                let now = Instant::now();
                let until = |at: Instant| at.saturating_duration_since(now).max(EXPIRY_WAIT_MIN);
                let expiry = self.context.mirror.next_expiry().map_or(HEARTBEAT, until);
                let due = self.due.map_or(HEARTBEAT, |(_, at)| until(at));
                self.writes.heartbeat().min(expiry).min(due)
            }
            Stage::Settling(..) if self.writes.refused().is_some() => RETRY_AFTER,
            _ => Duration::ZERO,
        }
    }

    /// Begins a scan when one is due and none is under way: a scan that began anew whenever somebody empties a database
    /// might never end.
    fn begin_scan(&mut self, now: Instant) -> Result<(), Fault> {
        let Stage::Following { since } = &self.stage else { return Ok(()) };
        let overdue = since.elapsed() >= self.rest;
        let due = self.due.take_if(|(_, at)| *at <= now).map(|(cause, _)| cause);
        let Some(cause) = due.or(overdue.then_some(Cause::Periodic)) else { return Ok(()) };
        // A master may have been made a replica meanwhile, which nothing reports.
        if cause != Cause::Connected
            && inspect(&mut self.lanes.main.connection, &self.context.connector.settings())?.run_id
                != self.session.run_id
        {
            return Err(Fault::ChangedServer);
        }
        self.context.metrics.resyncs.with_label_values(&[cause.as_str()]).inc();
        self.stage = Stage::Scanning(Scan::new(cause));
        Ok(())
    }

    fn prepare(&mut self, work: Work, now: Instant) -> Round {
        let Work { mut ids, writes, .. } = work;
        ids.extend(self.replacing.late(now));
        let writes = self.lanes.take(writes);
        let mut round = self.lanes.main.begin();
        self.context.metrics.refetched.inc_by(ids.len() as u64);
        match &mut self.stage {
            Stage::Following { .. } => {}
            Stage::Scanning(scan) => {
                ids.extend(scan.take(self.portion.ids.saturating_sub(ids.len())));
            }
            Stage::Settling(settling, _) => {
                if self.writes.refused().is_some() {
                    // The outage has become longer, and so have the new deadlines.
                    settling.begin_again(now);
                }
                if let Some((end, count)) = settling.lacks(self.portion.ids) {
                    settling.owe(self.context.mirror.settle(end, count).map(|next| self.clock.in_redis(next)));
                }
                round.settle(settling, self.portion.ids, now, self.server.is_7_or_newer);
            }
        }
        // After what is owed, so that this neither undoes nor shortens an owner's write.
        round.write(writes);
        if self.is_proof_due(now)
            && let Some(probe) = self.writes.next_probe(round.proves(), self.lanes.main.transactions.is_reading())
        {
            round.probe(&self.probe_key, probe);
        }
        let again = iter::from_fn(|| self.again.pop_first()).take(self.again_portion.ids).collect();
        round.fetch(&ids, again);
        if let Stage::Scanning(scan) = &self.stage {
            round.scan(scan);
        }
        self.lanes.main.finish(&mut round);
        round
    }

    /// Whether it is time to show that Redis takes writes. A server that has never shown a list loads one first: a
    /// Redis that makes every write wait can still be read.
    fn is_proof_due(&self, now: Instant) -> bool {
        let is_old = self.writes.is_old(now);
        let expires = || self.context.mirror.next_expiry().is_some_and(|expiry| expiry <= now);
        match &self.stage {
            Stage::Scanning(_) => self.context.link.was_loaded() && is_old,
            Stage::Following { .. } => is_old || expires(),
            Stage::Settling(..) => true,
        }
    }

    fn take_round(&mut self, mut round: Round, lane: At) -> Result<(), Fault> {
        // Ends the session before the round is dropped, so that its callers learn the reason.
        self.exchange(&mut round, lane).inspect_err(|fault| self.session.end(fault.clone()))
    }

    fn exchange(&mut self, round: &mut Round, lane: At) -> Result<(), Fault> {
        let sent_at = Instant::now();
        lane(&mut self.lanes).send(round)?;
        // Done while the server is busy.
        self.apply_fetched();
        let answers = lane(&mut self.lanes).receive(round)?;
        self.contact = Contact::now();
        let took = sent_at.elapsed();
        let mut read = round.read(answers, sent_at)?;
        let (is_refused, is_taken) = (read.refused.is_some(), self.writes.note(&read, sent_at));
        self.follow_clock(&mut read);
        self.server.replicated = read.replicated.take().or(self.server.replicated.take());
        lane(&mut self.lanes).transactions.retry(read.undone);
        self.session.changed(read.unclear.into_iter());
        self.again.append(&mut read.again);
        self.context.metrics.restored.inc_by(read.restored.len() as u64);
        self.context.mirror.restored(&read.restored);
        self.context.mirror.moved(&read.taken);
        self.restoring.iter_mut().for_each(|restoring| restoring.saw(read.there.iter().copied()));
        self.fetched.extend(read.changes);
        match &mut self.stage {
            Stage::Following { .. } => {}
            Stage::Scanning(scan) => {
                scan.foreign += read.foreign;
                read.page.map_or(Ok(()), |page| scan.turn_page(page))?;
            }
            Stage::Settling(settling, _) => read.given_back.into_iter().for_each(|kept| settling.give_back(kept)),
        }
        self.portion.adapt(read.count, read.bytes);
        self.again_portion.adapt_again(took);
        // During a scan they are applied in its next round, unless a handler waits for them.
        if !read.made.is_empty() || !read.watched.is_empty() || !self.goes_on_scanning() {
            self.apply_fetched();
        }
        self.tell_writes(is_refused, is_taken, sent_at);
        read.made.into_iter().for_each(|(reply, found)| reply.tell(Ok(Outcome::Made(found))));
        if let Some(deleted) = self.replacing.tell() {
            warn!(deleted; "what had been deleted was back after an outage, and is deleted again; RESTORE=off keeps it");
        }
        self.check(read.watched, sent_at, lane)
    }

    /// Asks the checks of writes about the values that they replace.
    fn check(&mut self, values: Vec<Value>, sent_at: Instant, lane: At) -> Result<(), Fault> {
        let Verdicts { changes, refused, lacks_right } = lane(&mut self.lanes).transactions.check(values, sent_at)?;
        if lacks_right {
            self.writes.note_missing_right();
        }
        self.fetched.extend(changes);
        if !refused.is_empty() {
            self.apply_fetched();
        }
        refused.into_iter().for_each(|(reply, outcome)| reply.tell(Ok(outcome)));
        Ok(())
    }

    /// Tells callers whether a round has shown that Redis takes writes, and the mirror if it has.
    fn tell_writes(&mut self, is_refused: bool, is_taken: bool, at: Instant) {
        let now = Instant::now();
        if is_refused || now.duration_since(at) > ROUND_MAX {
            self.context.mirror.trouble(now, NEWS_WITHIN);
        }
        self.context.link.note_writes(&self.writes);
        if !is_taken {
            return;
        }
        self.context.mirror.writable(at);
        // After a restart, the end of the second scan does this.
        if let Stage::Following { .. } = self.stage
            && self.restoring.is_none()
        {
            let mut settling = Settling::new(Vec::new(), at);
            settling.owe(self.context.mirror.settle(at, 1).map(|first| self.clock.in_redis(first)));
            if settling.end.is_some() {
                self.stage = Stage::Settling(settling, None);
            }
        }
    }

    fn goes_on_scanning(&self) -> bool {
        matches!(&self.stage, Stage::Scanning(scan) if !scan.is_done())
    }

    fn apply_fetched(&mut self) {
        let mut changes = mem::take(&mut self.fetched);
        self.replace_outdated(&mut changes);
        if let Some(restoring) = &mut self.restoring {
            restoring.note(&mut changes);
        }
        match &mut self.stage {
            Stage::Following { .. } => {}
            Stage::Scanning(scan) => scan.present.extend(changes.iter().filter_map(holds)),
            Stage::Settling(settling, _) => changes.iter().for_each(|change| match change {
                Change::Put { id, deadline, .. } => settling.note_put(*id, *deadline),
                Change::Deleted { id, .. } => settling.forget(*id),
                Change::Gone(id) => settling.note_gone(*id, Instant::now()),
            }),
        }
        if !changes.is_empty() {
            self.context.mirror.apply(changes);
        }
    }

    /// Has outdated values replaced or deleted, unless they have changed meanwhile.
    fn replace_outdated(&mut self, changes: &mut Vec<Change>) {
        // Without the right to, they stay, and nothing waits for it.
        let outdated = match self.writes.transaction_fault() {
            Some(_) => Vec::new(),
            None => self.context.mirror.take_outdated(changes, self.deletes_again()),
        };
        if let Some(restoring) = &mut self.restoring {
            restoring.deleted(outdated.iter().filter(|outdated| outdated.newer.is_none()).map(|outdated| outdated.id));
        }
        self.lanes.main.transactions.take(self.replacing.begin(outdated, Instant::now()));
        self.replacing.note(changes);
    }

    fn deletes_again(&self) -> bool {
        self.context.connector.settings().restore && self.writes.deletion_fault().is_none()
    }

    /// Goes on to the next stage when this one is done.
    fn advance(&mut self) {
        match mem::replace(&mut self.stage, Stage::Following { since: Instant::now() }) {
            Stage::Scanning(scan) if scan.is_done() && self.again.is_empty() => self.sweep(scan),
            Stage::Settling(settling, scan)
                if settling.is_done() && self.replacing.is_done() && self.writes.taken_since(settling.began) =>
            {
                self.finish(&settling, scan);
            }
            stage => self.stage = stage,
        }
    }

    /// Ends settling: Redis has everything, and the mirror shows it.
    fn finish(&mut self, settling: &Settling, scan: Option<Scan>) {
        if let Some(end) = settling.end {
            self.context.mirror.trouble(Instant::now(), NEWS_WITHIN);
            self.context.mirror.settled(end);
        }
        self.clock.settled();
        let Some(scan) = scan else { return };
        self.restoring = None;
        // Writes are accepted before the server counts as ready; this thread makes them later.
        if self.context.link.loaded(self.session.number) {
            self.context.mirror.loaded();
        }
        let took = scan.began.elapsed();
        self.rest = self.context.connector.settings().resync_every.max(took * REST);
        let seconds = took.as_secs_f64();
        self.foreign = scan.foreign;
        self.context.metrics.synchronised(seconds, scan.foreign);
        let level = if scan.cause == Cause::Connected { Level::Info } else { Level::Debug };
        log!(
            level, server:% = self.session.address, cause = scan.cause.as_str(), found = scan.present.len(),
            foreign = scan.foreign, seconds; "synchronised with Redis"
        );
    }
}
