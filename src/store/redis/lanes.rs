//! The two connections that write, each with its own transactions, because EXEC stops the watching of all values of its
//! connection. While one reads for a large write, small writes overtake it on the other, so that none waits for more
//! than a round of each.

use std::time::Instant;

use ::redis::{Connection, Value};

use super::connect::receive;
use super::fault::Fault;
use super::round::Round;
use super::transaction::Transactions;
use crate::store::HEARTBEAT;
use crate::store::mailbox::Write;

pub(super) struct Lanes {
    pub(super) main: Lane,
    /// Redis reports its writes as if others had made them.
    pub(super) overtaking: Lane,
}

/// Chooses a lane.
pub(super) type At = fn(&mut Lanes) -> &mut Lane;

pub(super) struct Lane {
    pub(super) connection: Connection,
    pub(super) transactions: Transactions,
    /// Writes of several updates are made by a script.
    is_scripted: bool,
    used_at: Instant,
}

impl Lanes {
    pub(super) fn new(main: Connection, overtaking: Connection, is_scripted: bool) -> Lanes {
        let lane = |connection| {
            let (transactions, used_at) = (Transactions::default(), Instant::now());
            Lane { connection, transactions, is_scripted, used_at }
        };
        Lanes { main: lane(main), overtaking: lane(overtaking) }
    }

    /// Takes the writes that need a transaction. Returns the others.
    pub(super) fn take(&mut self, writes: Vec<Write>) -> Vec<Write> {
        let (overtaking, writes) = writes.into_iter().partition(|write| self.main.transactions.is_overtaken_by(write));
        self.overtaking.transactions.take(overtaking);
        self.main.transactions.take(writes)
    }

    /// Whether a round is needed at once.
    pub(super) fn are_open(&self) -> bool {
        self.main.transactions.is_open() || self.overtaking.transactions.is_open()
    }

    /// A round of the overtaking lane, if it has work, or has to show that it lives.
    pub(super) fn overtake(&mut self, now: Instant) -> Option<Round> {
        let lane = &mut self.overtaking;
        (lane.transactions.is_open() || lane.used_at + HEARTBEAT <= now).then(|| {
            let mut round = lane.begin();
            lane.finish(&mut round);
            round
        })
    }
}

impl Lane {
    /// A round that begins with the writes that have passed their checks.
    pub(super) fn begin(&mut self) -> Round {
        let mut round = Round::new(self.is_scripted);
        if let Some(writes) = self.transactions.commit() {
            round.commit(writes);
        }
        round
    }

    /// Ends a round with watching the next values that the next transaction replaces.
    pub(super) fn finish(&mut self, round: &mut Round) {
        round.watch(self.transactions.watch());
        // Lifetimes that are given do not depend on what the clock shows.
        if !round.only_writes() {
            round.read_clock();
        }
    }

    pub(super) fn send(&mut self, round: &Round) -> Result<(), Fault> {
        self.used_at = Instant::now();
        Ok(self.connection.send_packed_command(&round.pipeline.get_packed_pipeline())?)
    }

    pub(super) fn receive(&mut self, round: &Round) -> Result<Vec<Value>, Fault> {
        receive(&mut self.connection, round.pipeline.len())
    }
}
