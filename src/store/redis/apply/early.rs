//! What expires in Redis before its time, since the clock of Redis was set forward: it stays listed, and Redis gets all
//! deadlines back as they were. Whoever deletes something deletes it all the same.

use std::collections::HashSet;
use std::mem;
use std::time::{Duration, Instant};

use ::redis::cmd;
use log::warn;

use super::super::answers::Answers;
use super::super::clock::{Here, Reading};
use super::super::debt::Settling;
use super::super::fault::Fault;
use super::super::lanes::At;
use super::super::round::Round;
use super::{Applier, Stage};
use crate::registration::TargetId;
use crate::store::{Change, Kept};

/// How exactly a step is known: an answer takes its time.
const PRECISION: Duration = Duration::from_secs(1);

impl Applier<'_> {
    /// Reads the clock in this round, if it is time for that.
    pub(super) fn ask_clock(&mut self, round: &mut Round, now: Instant) {
        if self.clock.is_due(now) {
            round.read_clock();
        }
    }

    /// Takes what has expired before its time out of what was read.
    pub(super) fn keep_early(&mut self, read: &mut Answers, lane: At) -> Result<(), Fault> {
        if let Some(reading) = read.clock {
            self.follow_clock(reading);
        }
        let early: HashSet<TargetId> = self.find_early(&read.absent, lane)?.into_iter().collect();
        read.changes.retain(|change| !matches!(change, Change::Gone(id) if early.contains(id)));
        Ok(())
    }

    /// Which of these ids, that Redis was seen to lack, have expired before their time. They are put back from now on.
    fn find_early(&mut self, absent: &[TargetId], lane: At) -> Result<Vec<TargetId>, Fault> {
        if absent.is_empty() || self.restoring.is_some() {
            return Ok(Vec::new());
        }
        let missing = self.context.mirror.unexpired(Some(absent));
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let here = Here::now();
        let info: String = cmd("INFO").arg("server").query(&mut lane(&mut self.lanes).connection)?;
        let step = Reading::read(&info, here).and_then(|reading| self.follow_clock(reading));
        let now = Instant::now();
        let mut early = step.map_or_else(Vec::new, |step| in_redis(missing, step));
        early.retain(|kept| kept.moved_from <= Some(now));
        let ids = early.iter().map(|kept| kept.id).collect();
        self.move_back(early, now);
        Ok(ids)
    }

    /// How far the clock was set forward, if it was. Then all deadlines are moved back from now on.
    fn follow_clock(&mut self, reading: Reading) -> Option<Duration> {
        if self.restoring.is_some() || !self.context.connector.settings().restore {
            return None;
        }
        let step = self.clock.step(reading)?;
        if self.clock.notice(reading) {
            let all = in_redis(self.context.mirror.unexpired(None), step);
            let (seconds, deadlines) = (step.as_secs(), all.len());
            warn!(seconds, deadlines; "the clock of Redis was set forward; moving deadlines back to where they were");
            self.move_back(all, Instant::now());
        }
        Some(step)
    }

    fn move_back(&mut self, early: Vec<Kept>, now: Instant) {
        if early.is_empty() {
            return;
        }
        if !matches!(self.stage, Stage::Settling(..)) {
            let settling = Stage::Settling(Settling::new(Vec::new(), now), None);
            if let Stage::Scanning(scan) = mem::replace(&mut self.stage, settling) {
                // What it has read of deadlines is of no use.
                self.due = Some((scan.cause, now));
            }
        }
        if let Stage::Settling(settling, _) = &mut self.stage {
            settling.move_back(early);
        }
    }
}

/// These registrations, with the deadlines that they have in Redis when its clock was set forward so far.
fn in_redis(all: Vec<Kept>, step: Duration) -> Vec<Kept> {
    let early = |deadline: Instant| deadline.checked_sub(step + PRECISION);
    let moved = |kept: Kept| Some(Kept { moved_from: Some(kept.deadline.and_then(early)?), ..kept });
    all.into_iter().filter_map(moved).collect()
}
