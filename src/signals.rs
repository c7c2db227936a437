//! Signals for a thread that waits for other events.

use std::io;
use std::thread;

use signal_hook::iterator::Signals;

/// Has another thread pass on these signals, in their order, until the process ends.
pub fn forward(signals: &[i32], mut hear: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(&mut hear)).map(drop)
}
