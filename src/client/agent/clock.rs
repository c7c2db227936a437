//! The agent's time: it counts from the boot and goes on while the machine sleeps, so that neither a step of the wall
//! clock nor a suspended machine makes a renewal late.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since the boot.
pub(super) type Time = Duration;

pub(super) fn now() -> Time {
    // Every Linux since 2.6.39 has this clock.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
