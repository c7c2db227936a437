//! How much work a question about many registrations may be: limited in time, given up when nobody waits for the
//! answer, and at a time with few others. This is checked in the midst of the work, so that no question takes the
//! machine from polls, writes and health checks.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::turns::{Turn, Turns};

pub const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a question may wait for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The most questions that wait for their turns.
const WAITING_MAX: usize = 8;

/// How many bytes are examined between two looks at the clock: less than a millisecond. A question that needs no more
/// needs no turn.
const PIECE_BYTES: usize = 256 * 1024;

/// The most bytes of registrations, or of facts about them, that one answer shows and the log of changes remembers. One
/// registration may have hundreds of kilobytes.
pub(super) const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often a waiting question looks at the clock.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The client behind a question.
pub trait Asker {
    /// Whether the answer would still reach somebody.
    fn is_waiting(&self) -> bool;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The view is still being filled for the first time and holds only part of the registrations.
    NotLoaded,
    /// Too many other large questions are being answered.
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

/// The first of these that together have at most [`ANSWER_BYTES_MAX`]; at least one, if there is one.
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
    /// One for each processor but one, which is left to everything else.
    pub(super) fn new() -> QuestionTurns {
        let running_max = available_parallelism().map_or(1, NonZero::get).saturating_sub(1).max(1);
        QuestionTurns { running: Turns::new(running_max), waiting: Turns::new(WAITING_MAX) }
    }
}

/// What one question may take.
pub struct Allowance<'a> {
    asker: &'a dyn Asker,
    /// `None` if neither time nor turns are limited.
    shared: Option<Shared<'a>>,
    /// How many bytes may be examined before the next look at the clock.
    left: Cell<usize>,
    /// The first piece needs no turn.
    has_begun: Cell<bool>,
}

struct Shared<'a> {
    turns: &'a QuestionTurns,
    deadline: Instant,
    turn: OnceCell<Turn>,
}

impl<'a> Allowance<'a> {
    /// Limited in time and turns.
    pub(super) fn new(asker: &'a dyn Asker, turns: &'a QuestionTurns) -> Allowance<'a> {
        let shared = Shared { turns, deadline: Instant::now() + QUESTION_TIME_MAX, turn: OnceCell::new() };
        Allowance { asker, shared: Some(shared), left: Cell::new(0), has_begun: Cell::new(false) }
    }

    /// Given up only when nobody waits any more: for lists that no stranger can ask for, and that others' questions
    /// must not delay.
    pub(super) fn of_its_own(&self) -> Allowance<'a> {
        Allowance { asker: self.asker, shared: None, left: Cell::new(0), has_begun: Cell::new(false) }
    }

    /// Announces that this many bytes will be examined.
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

    /// Locks a mutex that others may hold while they work out an answer.
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
