//! What a question about many registrations may take: some time, while somebody waits for the answer, and a core only
//! together with few others. It is looked at in the midst of the work, so that nobody's question takes the machine from
//! polls, writes and health.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::turns::{Turn, Turns};

/// How long a question may take.
pub const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a question may wait until others are through.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The most questions that wait for that.
const WAITING_MAX: usize = 8;

/// How much is looked at before the clock, in bytes: less than a millisecond. A question that takes no more needs no turn.
const PIECE_BYTES: usize = 256 * 1024;

/// How many bytes of registrations, or of what is said of them, one answer shows, and the log of changes remembers. One
/// registration may have hundreds of kilobytes.
pub(super) const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often somebody who waits looks at the clock.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Whoever asks.
pub trait Asker {
    /// Whether the answer would still reach somebody.
    fn is_waiting(&self) -> bool;
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The view is still being filled for the first time; what it holds is part of the truth.
    NotLoaded,
    /// Too many others ask for much.
    Busy,
    /// It takes too long.
    Late,
    /// Nobody waits for the answer.
    Left,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::NotLoaded => f.write_str("the registrations are not loaded yet"),
            Unanswered::Busy => f.write_str("too many other large questions are being answered; try again"),
            Unanswered::Late => write!(f, "the answer takes longer than {} s", QUESTION_TIME_MAX.as_secs()),
            Unanswered::Left => f.write_str("the client has closed its side of the connection"),
        }
    }
}

/// The first of these that together have no more than [`ANSWER_BYTES_MAX`]; at least one, if there is one.
pub fn within_answer<T>(all: impl Iterator<Item = T>, bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = T> {
    let mut taken = 0;
    all.take_while(move |one| {
        let is_first = taken == 0;
        taken += bytes(one).max(1);
        is_first || taken <= ANSWER_BYTES_MAX
    })
}

/// Turns to answer large questions.
pub(super) struct QuestionTurns {
    running: Arc<Turns>,
    waiting: Arc<Turns>,
}

impl QuestionTurns {
    /// As many as leave a core for everything else, if there is more than one.
    pub(super) fn new() -> QuestionTurns {
        let running_max = available_parallelism().map_or(1, NonZero::get).saturating_sub(1).max(1);
        QuestionTurns { running: Turns::new(running_max), waiting: Turns::new(WAITING_MAX) }
    }
}

/// What one question may take.
pub struct Allowance<'a> {
    asker: &'a dyn Asker,
    /// `None` where nobody else has a say in it.
    shared: Option<Shared<'a>>,
    /// How many bytes may be looked at before the clock.
    left: Cell<usize>,
    /// The first piece is for everybody who is there.
    has_begun: Cell<bool>,
}

struct Shared<'a> {
    turns: &'a QuestionTurns,
    deadline: Instant,
    turn: OnceCell<Turn>,
}

impl<'a> Allowance<'a> {
    /// The usual one.
    pub(super) fn new(asker: &'a dyn Asker, turns: &'a QuestionTurns) -> Allowance<'a> {
        let shared = Shared { turns, deadline: Instant::now() + QUESTION_TIME_MAX, turn: OnceCell::new() };
        Allowance { asker, shared: Some(shared), left: Cell::new(0), has_begun: Cell::new(false) }
    }

    /// One that ends only when nobody waits: for what no stranger can ask, and others' questions shall not hold up.
    pub(super) fn of_its_own(&self) -> Allowance<'a> {
        Allowance { asker: self.asker, shared: None, left: Cell::new(0), has_begun: Cell::new(false) }
    }

    /// So many bytes are going to be looked at.
    pub fn spend(&self, bytes: usize) -> Result<(), Unanswered> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.left.set(PIECE_BYTES);
                self.check()
            }
        }
    }

    /// Locks what others may hold while they work out an answer.
    pub(super) fn lock<'m, T>(&self, mutex: &'m Mutex<T>) -> Result<MutexGuard<'m, T>, Unanswered> {
        loop {
            if let Some(guard) = mutex.try_lock_for(LOOK_INTERVAL) {
                return Ok(guard);
            }
            self.check_time()?;
        }
    }

    fn check(&self) -> Result<(), Unanswered> {
        self.check_time()?;
        let Some(Shared { turns, turn, .. }) = self.shared.as_ref().filter(|_| self.has_begun.replace(true)) else {
            return Ok(());
        };
        if turn.get().is_none() {
            let taken = self.take_turn(turns)?;
            turn.get_or_init(|| taken);
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), Unanswered> {
        if self.shared.as_ref().is_some_and(|shared| Instant::now() >= shared.deadline) {
            return Err(Unanswered::Late);
        }
        if self.asker.is_waiting() { Ok(()) } else { Err(Unanswered::Left) }
    }

    fn take_turn(&self, turns: &QuestionTurns) -> Result<Turn, Unanswered> {
        let _waiting = turns.waiting.take(Duration::ZERO).ok_or(Unanswered::Busy)?;
        let until = Instant::now() + TURN_WAIT_MAX;
        loop {
            if let Some(turn) = turns.running.take(LOOK_INTERVAL) {
                return Ok(turn);
            }
            if Instant::now() >= until {
                return Err(Unanswered::Busy);
            }
            self.check_time()?;
        }
    }
}
