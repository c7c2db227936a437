//! The end of a test, for the threads beside it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Tells threads that a test has ended, be it by a failure: they would be waited for otherwise.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
