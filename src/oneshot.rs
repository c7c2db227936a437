//! A place where one thread leaves one answer, and another waits for it for a limited time.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// The side that answers. Dropped without an answer, it tells the other side that there will be none.
#[derive(Debug)]
pub struct Sender<T>(Arc<Slot<T>>);

/// The side that waits.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Slot<T>>);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It did not come before the deadline. It may still come, and then nobody learns of it.
    Late,
    /// The sender was dropped: it will never come.
    Never,
}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Open,
    Answered(T),
    Dropped,
}

/// A new place and its two sides.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let place = Arc::new(Slot { state: Mutex::new(State::Open), changed: Condvar::new() });
    (Sender(Arc::clone(&place)), Receiver(place))
}

impl<T> Sender<T> {
    pub fn send(self, answer: T) {
        *self.0.state.lock() = State::Answered(answer);
    }

    /// Whether the receiver still exists, so that an answer is worth the work.
    pub fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Open) {
            *state = State::Dropped;
        }
        self.0.changed.notify_one();
    }
}

impl<T> Receiver<T> {
    /// Waits for the answer until the deadline.
    pub fn wait(self, deadline: Instant) -> Result<T, NoAnswer> {
        let mut state = self.0.state.lock();
        self.0.changed.wait_while_until(&mut state, |state| matches!(state, State::Open), deadline);
        match mem::replace(&mut *state, State::Open) {
            State::Answered(answer) => Ok(answer),
            State::Dropped => Err(NoAnswer::Never),
            State::Open => Err(NoAnswer::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn an_answer_arrives_whichever_side_comes_first() {
        let (sender, receiver) = channel();
        sender.send(1);
        assert_eq!(receiver.wait(soon()), Ok(1));
        let (sender, receiver) = channel();
        let waiting = thread::spawn(move || receiver.wait(soon()));
        sender.send(2);
        assert_eq!(waiting.join().unwrap(), Ok(2));
    }

    #[test]
    fn nobody_waits_longer_than_the_deadline_or_for_a_sender_that_has_gone() {
        let (sender, receiver) = channel::<()>();
        assert!(sender.is_awaited());
        assert_eq!(receiver.wait(Instant::now()), Err(NoAnswer::Late));
        assert!(!sender.is_awaited());
        let (sender, receiver) = channel::<()>();
        let waiting = thread::spawn(move || receiver.wait(soon()));
        drop(sender);
        assert_eq!(waiting.join().unwrap(), Err(NoAnswer::Never));
    }
}
