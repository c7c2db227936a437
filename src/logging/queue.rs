//! The queue before standard error, and the thread that empties it: nobody who logs waits for the reader of the log.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use log::warn;
use parking_lot::{Condvar, Mutex};

/// How many bytes of lines may wait. Further lines are left out and counted.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// How long the end of the program waits for the last lines to be written.
const END_WAIT_MAX: Duration = Duration::from_secs(2);

static QUEUE: Queue = Queue {
    waiting: Mutex::new(Waiting { lines: Vec::new(), left_out: 0, is_writing: false }),
    changed: Condvar::new(),
};

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    lines: Vec<u8>,
    left_out: u64,
    /// The thread is writing what waited before.
    is_writing: bool,
}

/// Takes whole lines, and never blocks.
pub(super) struct Input;

impl Write for Input {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = QUEUE.waiting.lock();
        if waiting.lines.len() + line.len() > WAITING_BYTES_MAX {
            waiting.left_out += 1;
            return Ok(line.len());
        }
        waiting.lines.extend_from_slice(line);
        let is_idle = !waiting.is_writing;
        drop(waiting);
        if is_idle {
            QUEUE.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread.
pub(super) fn start() -> io::Result<()> {
    thread::Builder::new().name("log".to_owned()).spawn(run).map(drop)
}

fn run() {
    let mut lines = Vec::new();
    loop {
        let mut waiting = QUEUE.waiting.lock();
        waiting.is_writing = false;
        QUEUE.changed.notify_all();
        QUEUE.changed.wait_while(&mut waiting, |waiting| waiting.lines.is_empty());
        lines.clear();
        std::mem::swap(&mut waiting.lines, &mut lines);
        let left_out = std::mem::take(&mut waiting.left_out);
        waiting.is_writing = true;
        drop(waiting);
        // If nobody can read the log, nobody can be told.
        let _ = io::stderr().write_all(&lines);
        if left_out > 0 {
            warn!(lines = left_out; "the reader of the log was too slow, and lines were left out");
        }
    }
}

/// Waits until everything is written, but not for long: the reader may read no more.
pub fn finish() {
    let is_written = |waiting: &Waiting| waiting.lines.is_empty() && !waiting.is_writing;
    let mut waiting = QUEUE.waiting.lock();
    QUEUE.changed.wait_while_until(&mut waiting, |waiting| !is_written(waiting), Instant::now() + END_WAIT_MAX);
}
