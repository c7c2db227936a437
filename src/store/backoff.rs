//! The pauses between attempts at something that fails: short at first, since most failures are brief, then doubling.

use std::time::Duration;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The next pause, from 50 ms to half a second.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(PAUSE_MIN)
    }
}

impl Backoff {
    /// The pause before the next attempt; the one after it will be twice as long.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_MAX);
        pause
    }

    pub fn reset(&mut self) {
        *self = Backoff::default();
    }
}
