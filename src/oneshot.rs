//! A place where one thread leaves one answer, and another waits for it for a limited time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// The side that answers. Dropped without an answer, it tells the other side that there will be none.
#[derive(Debug)]
pub struct Sender<T> {
    answer: mpsc::SyncSender<T>,
    receiver: Weak<()>,
}

/// The side that waits.
#[derive(Debug)]
pub struct Receiver<T> {
    answer: mpsc::Receiver<T>,
    /// As long as this lives, so does the receiver.
    _alive: Arc<()>,
}

/// A new place and its two sides.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, answer) = mpsc::sync_channel(1);
    let alive = Arc::new(());
    (Sender { answer: sender, receiver: Arc::downgrade(&alive) }, Receiver { answer, _alive: alive })
}

impl<T> Sender<T> {
    pub fn send(self, answer: T) {
        // Nobody may wait any more.
        let _ = self.answer.send(answer);
    }

    /// Whether the receiver still exists, so that an answer is worth the work.
    pub fn is_awaited(&self) -> bool {
        self.receiver.strong_count() > 0
    }
}

impl<T> Receiver<T> {
    /// Waits for the answer until the deadline.
    ///
    /// # Errors
    /// A timeout when it did not come before that: it may still come, and then nobody learns of it. Disconnected when the
    /// sender was dropped: it will never come.
    pub fn wait(self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.answer.recv_timeout(deadline.saturating_duration_since(Instant::now()))
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
        assert_eq!(receiver.wait(Instant::now()), Err(RecvTimeoutError::Timeout));
        assert!(!sender.is_awaited());
        let (sender, receiver) = channel::<()>();
        let waiting = thread::spawn(move || receiver.wait(soon()));
        drop(sender);
        assert_eq!(waiting.join().unwrap(), Err(RecvTimeoutError::Disconnected));
    }
}
