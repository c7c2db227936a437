//! Signals, heard by whoever waits for something else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Has another thread hear these signals from now on, in the order in which they come; it ends with the process.
///
/// # Errors
/// When the system has no thread for it, or refuses the signal.
pub fn forward(signals: &[i32], mut hear: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(&mut hear)).map(drop)
}

/// Whether somebody wants this process to end, for whoever looks at it now and then.
pub struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    /// Listens from now on, instead of ending at once.
    pub fn listen() -> io::Result<Interrupted> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Interrupted(flag))
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
