//! The applier: the only writer of the mirror and of Redis. Each turn is one pipeline on one connection, and its
//! answers are applied in their order, so that an id never goes back to an older value.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::mem;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::redis::{Connection, Pipeline, Value};
use log::{Level, log, warn};

use super::connect::{inspect, receive};
use super::fault::Fault;
use super::follow::Ends;
use super::restore::{Restart, Restore};
use super::scan::Scan;
use super::session::{Cause, Session, Work, Write};
use crate::registration::TargetId;
use crate::store::Change;

/// How often an idle connection is proved to live, and kept from being closed for idleness.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Ids in one turn, at most and at the beginning: few, until it is known that the values are small.
const TURN_IDS_MAX: usize = 1000;
const TURN_IDS_MIN: usize = 16;

/// Bytes of the values in one turn, about; much less than what makes a server cut off a client for reading slowly.
const TURN_BYTES: usize = 4 << 20;

pub(super) struct Applier<'a> {
    connection: Connection,
    session: &'a Session,
    ends: &'a Ends,
    /// Set until the first full load, when the server process is another than the one before.
    restart: Option<Restart>,
    stage: Stage,
    /// Redis does not want to be written to, so that nobody can renew.
    refused: bool,
    /// What was fetched or written, and is not applied yet.
    fetched: Vec<Change>,
    /// Why everything is to be read anew, next.
    due: Option<Cause>,
    /// Ids in the next turn.
    turn_ids: usize,
}

/// What the applier does beside following changes.
enum Stage {
    /// Nothing, until everything is due to be read anew.
    Following { since: Instant },
    /// Reads everything.
    Scanning(Scan),
    /// Puts back what the scan did not find.
    Restoring(Scan, Restore),
}

/// The questions of one turn, in the order of their answers.
#[derive(Default)]
struct Turn {
    pipeline: Pipeline,
    writes: Vec<Write>,
    restored: Vec<TargetId>,
    fetched: Vec<TargetId>,
    turns_page: bool,
}

impl<'a> Applier<'a> {
    pub(super) fn new(
        connection: Connection,
        session: &'a Session,
        ends: &'a Ends,
        restart: Option<Restart>,
    ) -> Applier<'a> {
        // The session asks for its first scan by itself.
        let stage = Stage::Following { since: Instant::now() };
        let (refused, fetched, due, turn_ids) = (false, Vec::new(), None, TURN_IDS_MIN);
        Applier { connection, session, ends, restart, stage, refused, fetched, due, turn_ids }
    }

    /// Follows the server until the session ends.
    ///
    /// # Errors
    /// Always: why it ended.
    pub(super) fn run(mut self) -> Result<Infallible, Fault> {
        loop {
            let patience = if let Stage::Following { .. } = self.stage { HEARTBEAT } else { Duration::ZERO };
            let work = self.session.take(self.turn_ids, patience)?;
            self.due = work.rescan.or(self.due);
            self.begin_scan()?;
            let mut turn = self.prepare(work);
            if let Err(fault) = self.take_turn(&mut turn) {
                // Before the turn is dropped, so that those who wait for it learn the reason.
                self.session.end(fault.clone());
                return Err(fault);
            }
            self.advance();
        }
    }

    /// Begins a scan when one is due. One that is under way is ended first: it would never end if each time that
    /// someone empties some database it began anew.
    fn begin_scan(&mut self) -> Result<(), Fault> {
        let Stage::Following { since } = &self.stage else { return Ok(()) };
        let overdue = since.elapsed() >= self.ends.connector.settings().resync_every;
        let Some(cause) = self.due.take().or(overdue.then_some(Cause::Periodic)) else { return Ok(()) };
        // A master may have been made a replica meanwhile, which nothing reports.
        if cause != Cause::Connected && inspect(&mut self.connection)?.run_id != self.session.run_id {
            return Err(Fault::ChangedServer);
        }
        self.ends.metrics.resyncs.with_label_values(&[cause.as_str()]).inc();
        self.stage = Stage::Scanning(Scan::new(cause));
        Ok(())
    }

    fn prepare(&mut self, work: Work) -> Turn {
        let mut turn = Turn::default();
        let Work { mut ids, writes, .. } = work;
        if let Stage::Restoring(_, restore) = &mut self.stage {
            writes.iter().for_each(|write| restore.forget(write.change.id()));
        }
        turn.write(writes);
        self.ends.metrics.refetched.inc_by(ids.len() as u64);
        match &mut self.stage {
            Stage::Following { .. } => turn.fetch(ids),
            Stage::Restoring(_, restore) => {
                turn.restore(restore, self.turn_ids);
                turn.fetch(ids);
            }
            Stage::Scanning(scan) => {
                ids.extend(scan.take(self.turn_ids.saturating_sub(ids.len())));
                turn.fetch(ids);
                turn.scan(scan);
            }
        }
        if turn.pipeline.is_empty() {
            turn.pipeline.cmd("PING");
        }
        turn
    }

    fn take_turn(&mut self, turn: &mut Turn) -> Result<(), Fault> {
        self.connection.send_packed_command(&turn.pipeline.get_packed_pipeline())?;
        // What can be done while the server is busy.
        self.apply_fetched();
        let answers = receive(&mut self.connection, turn.pipeline.len())?;
        if let Some(fault) = fatal(&answers, turn.writes.len()) {
            return Err(fault);
        }
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        let mut made = Vec::with_capacity(turn.writes.len());
        let (mut is_refused, mut is_set) = (false, false);
        for Write { change, reply, .. } in mem::take(&mut turn.writes) {
            match next() {
                Value::ServerError(error) => {
                    self.session.changed(std::iter::once(change.id()));
                    let fault = Fault::from(error);
                    is_refused |= fault.is_refusal();
                    reply.tell(Err(fault));
                }
                answer => {
                    is_set |= matches!(change, Change::Put { .. });
                    self.fetched.push(change);
                    made.push((reply, answer));
                }
            }
        }
        for id in mem::take(&mut turn.restored) {
            match next() {
                Value::Okay => self.ends.metrics.restored.inc(),
                // Someone else was faster.
                _ => self.session.changed(std::iter::once(id)),
            }
        }
        for id in mem::take(&mut turn.fetched) {
            let value = next();
            if let (Value::ServerError(_), Stage::Scanning(scan)) = (&value, &mut self.stage) {
                scan.foreign += 1;
            }
            self.fetched.push(change(id, value, next())?);
        }
        if let (true, Stage::Scanning(scan)) = (turn.turns_page, &mut self.stage) {
            scan.turn_page(next())?;
        }
        self.adapt();
        // A scan that goes on has them applied during its next turn; a handler is not kept waiting for that.
        if !made.is_empty() || !self.goes_on_scanning() {
            self.apply_fetched();
        }
        self.note_refusal(is_refused, is_set);
        made.into_iter().for_each(|(reply, answer)| reply.tell(Ok(answer)));
        Ok(())
    }

    /// While Redis refuses what owners renew, it is lost to them: the mirror keeps what runs out.
    fn note_refusal(&mut self, is_refused: bool, is_set: bool) {
        if is_refused {
            self.refused = true;
            self.ends.mirror.lost();
        } else if self.refused && is_set && matches!(self.stage, Stage::Following { .. }) {
            self.refused = false;
            self.ends.mirror.loaded();
        }
    }

    fn goes_on_scanning(&self) -> bool {
        matches!(&self.stage, Stage::Scanning(scan) if !scan.is_done())
    }

    /// Makes turns shorter when values are large, and longer when they are small.
    fn adapt(&mut self) {
        let size = |change: &Change| if let Change::Put { value, .. } = change { value.len() } else { 0 };
        let bytes: usize = self.fetched.iter().map(size).sum();
        if bytes > TURN_BYTES {
            self.turn_ids = (self.turn_ids / 2).max(1);
        } else if bytes < TURN_BYTES / 2 && self.fetched.len() >= self.turn_ids {
            self.turn_ids = (self.turn_ids * 2).min(TURN_IDS_MAX);
        }
    }

    fn apply_fetched(&mut self) {
        let changes = mem::take(&mut self.fetched);
        for change in &changes {
            match (change, &mut self.stage) {
                (Change::Put { id, .. }, Stage::Scanning(scan)) => drop(scan.present.insert(*id)),
                (Change::Put { id, .. } | Change::Remove(id), Stage::Restoring(_, restore)) => restore.forget(*id),
                _ => {}
            }
        }
        if !changes.is_empty() {
            self.ends.mirror.apply(changes);
        }
    }

    /// Goes on to the next stage when this one is done.
    fn advance(&mut self) {
        match mem::replace(&mut self.stage, Stage::Following { since: Instant::now() }) {
            Stage::Scanning(scan) if scan.is_done() => self.sweep(scan),
            Stage::Restoring(scan, restore) if restore.is_done() => self.finish(&scan),
            stage => self.stage = stage,
        }
    }

    /// Removes what the scan did not find, or goes on to put it back.
    fn sweep(&mut self, scan: Scan) {
        let mut missing = self.ends.mirror.missing_from(&scan.present);
        // What changed since the scan passed by is fetched in the next turn.
        missing.retain(|missing| !self.session.is_changed(missing.id));
        let (found, lost) = (scan.present.len(), missing.len());
        if self.restart.is_some_and(|restart| restart.lost(found, lost)) {
            warn!(found = found, missing = lost; "Redis restarted and lost registrations: putting them back");
            self.stage = Stage::Restoring(scan, Restore::new(missing, Instant::now()));
            return;
        }
        self.ends.mirror.apply(missing.into_iter().map(|missing| Change::Remove(missing.id)).collect());
        self.finish(&scan);
    }

    /// The mirror shows everything.
    fn finish(&mut self, scan: &Scan) {
        self.restart = None;
        if !self.refused {
            self.ends.mirror.loaded();
        }
        self.ends.link.loaded();
        let seconds = scan.began.elapsed().as_secs_f64();
        let metrics = &self.ends.metrics;
        metrics.connected.set(1);
        metrics.sync_seconds.set(seconds);
        metrics.synced_at.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        metrics.foreign_keys.set(scan.foreign as i64);
        let level = if scan.cause == Cause::Connected { Level::Info } else { Level::Debug };
        log!(
            level, server:% = self.session.server(), cause = scan.cause.as_str(), found = scan.present.len(),
            foreign = scan.foreign, seconds; "synchronised with Redis"
        );
    }
}

impl Turn {
    fn write(&mut self, mut writes: Vec<Write>) {
        writes.retain_mut(Write::begin);
        for write in &writes {
            let key = write.change.id().to_string();
            match &write.change {
                Change::Put { value, expires_in, .. } => {
                    let set = self.pipeline.cmd("SET").arg(key).arg(value);
                    if let Some(ttl) = expires_in {
                        set.arg("EX").arg(ttl.as_secs());
                    }
                }
                Change::Remove(_) => drop(self.pipeline.cmd("DEL").arg(key)),
            }
        }
        self.writes = writes;
    }

    fn restore(&mut self, restore: &mut Restore, count: usize) {
        for missing in restore.take(count, Instant::now()) {
            let set = self.pipeline.cmd("SET").arg(missing.id.to_string()).arg(missing.document).arg("NX");
            if let Some(left) = missing.expires_in {
                set.arg("PX").arg(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            }
            self.restored.push(missing.id);
        }
    }

    fn fetch(&mut self, ids: BTreeSet<TargetId>) {
        self.fetched.extend(ids);
        for id in &self.fetched {
            let key = id.to_string();
            self.pipeline.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        }
    }

    fn scan(&mut self, scan: &Scan) {
        if let Some(cursor) = scan.next_page() {
            self.pipeline.cmd("SCAN").arg(cursor).arg("COUNT").arg(TURN_IDS_MAX);
            self.turns_page = true;
        }
    }
}

/// An error among the answers, the first of which are about writes, that says more than no to one of these.
fn fatal(answers: &[Value], writes: usize) -> Option<Fault> {
    answers.iter().enumerate().find_map(|(at, answer)| {
        let Value::ServerError(error) = answer else { return None };
        let fault = Fault::from(error.clone());
        let is_fatal = if at < writes { fault.is_of_server() } else { !matches!(fault, Fault::WrongType) };
        is_fatal.then_some(fault)
    })
}

/// What the answers to GET and PTTL say about an id. A value of another type is no registration.
fn change(id: TargetId, value: Value, ttl: Value) -> Result<Change, Fault> {
    match (value, ttl) {
        (Value::BulkString(value), Value::Int(-1)) => Ok(Change::Put { id, value, expires_in: None }),
        (Value::BulkString(value), Value::Int(left @ 1..)) => {
            Ok(Change::Put { id, value, expires_in: Some(Duration::from_millis(left.unsigned_abs())) })
        }
        // Gone between the two questions, or this very millisecond.
        (Value::BulkString(_), Value::Int(_)) => Ok(Change::Remove(id)),
        (Value::Nil | Value::ServerError(_), Value::Int(_)) => Ok(Change::Remove(id)),
        _ => Err(Fault::Unexpected("GET and PTTL")),
    }
}
