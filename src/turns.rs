//! Turns: a limited number of threads do something at the same time, and the others wait for their turn.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A fixed number of turns, of which the free ones are counted.
#[derive(Debug)]
pub struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A turn that is taken, until it is dropped.
#[derive(Debug)]
pub struct Turn(Arc<Turns>);

impl Turns {
    pub fn new(count: usize) -> Arc<Turns> {
        Arc::new(Turns { free: Mutex::new(count), freed: Condvar::new() })
    }

    /// Waits for a free turn; `None` if there is none within `wait`.
    pub fn take(self: &Arc<Turns>, wait: Duration) -> Option<Turn> {
        let mut free = self.free.lock();
        self.freed.wait_while_for(&mut free, |free| *free == 0, wait);
        *free = free.checked_sub(1)?;
        Some(Turn(Arc::clone(self)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_finds_none_waits_for_the_next_but_not_for_ever() {
        let turns = Turns::new(1);
        let turn = turns.take(Duration::ZERO).unwrap();
        assert!(turns.take(Duration::from_millis(1)).is_none());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take(Duration::from_secs(20)).is_some());
            drop(turn);
            assert!(waiting.join().unwrap());
        });
        assert!(turns.take(Duration::ZERO).is_some());
    }
}
