//! Waiting for a fact: asked again and again until it holds or its deadline has passed, never a bare sleep.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for anything that happens by itself, on a machine that is far too busy: it costs time only where something
/// is wrong.
pub(crate) const SOON: Duration = Duration::from_secs(60);

const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within the given time.
#[track_caller]
pub(crate) fn eventually(within: Duration, mut condition: impl FnMut() -> bool) {
    eventually_some(within, || condition().then_some(()));
}

/// Waits until there is a value.
///
/// # Panics
/// When there is none within the given time.
#[track_caller]
pub(crate) fn eventually_some<T>(within: Duration, mut value: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(Instant::now() < end, "this did not come about within {within:?}");
        thread::sleep(BETWEEN_TRIES);
    }
}
