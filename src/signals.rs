//! Signals, heard by whoever waits for something else.

use std::io;
use std::thread;

use signal_hook::iterator::Signals;

/// Has another thread hear these signals from now on, in the order in which they come; it ends with the process.
///
/// # Errors
/// When the system has no thread for it, or refuses the signal.
pub fn forward(signals: &[i32], mut hear: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(&mut hear)).map(drop)
}
