//! The queue before standard error, and the thread that empties it: nobody who logs waits for the reader of the log.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use std::{mem, thread};

use log::warn;
use parking_lot::{Condvar, Mutex};

/// How many bytes of lines may wait. Further lines are left out and counted.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// How soon standard error is tried again if somebody has made it non-blocking and it is full.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// How long the end of the program waits for the last lines to be written.
const END_WAIT_MAX: Duration = Duration::from_millis(500);

static QUEUE: Queue = Queue {
    waiting: Mutex::new(Waiting { lines: Vec::new(), left_out: 0, has_thread: false, is_writing: false }),
    changed: Condvar::new(),
};

thread_local! {
    /// Whether this is the thread that writes. Its own line tells of the others that were left out, and always has room.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    lines: Vec<u8>,
    left_out: usize,
    has_thread: bool,
    /// The thread is writing what waited before.
    is_writing: bool,
}

/// Takes whole lines, and never blocks.
pub(super) struct Input;

impl Write for Input {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = QUEUE.waiting.lock();
        if waiting.lines.len() + line.len() > WAITING_BYTES_MAX && !WRITES.get() {
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
    // Not by way of the library, which holds a lock while it writes.
    let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    thread::Builder::new().name("log".to_owned()).spawn(|| run(out))?;
    QUEUE.waiting.lock().has_thread = true;
    Ok(())
}

fn run(mut out: File) {
    WRITES.set(true);
    let (mut lines, mut left_out, mut is_torn) = (Vec::new(), 0, false);
    loop {
        let mut waiting = QUEUE.waiting.lock();
        waiting.is_writing = false;
        QUEUE.changed.notify_all();
        QUEUE.changed.wait_while(&mut waiting, |waiting| waiting.lines.is_empty());
        lines.clear();
        mem::swap(&mut waiting.lines, &mut lines);
        left_out += mem::take(&mut waiting.left_out);
        waiting.is_writing = true;
        drop(waiting);
        // The next line does not continue one of which only the beginning could be written.
        is_torn = is_torn && !write(&mut out, b"\n").is_empty();
        let unwritten = if is_torn { &lines } else { write(&mut out, &lines) };
        is_torn |=
            lines.strip_suffix(unwritten).is_some_and(|written| !written.is_empty() && !written.ends_with(b"\n"));
        left_out += unwritten.iter().filter(|byte| **byte == b'\n').count();
        // As long as nothing can be written, nobody can be told.
        if unwritten.is_empty() && left_out > 0 {
            warn!(lines = mem::take(&mut left_out); "the reader of the log was too slow, and lines were left out");
        }
    }
}

/// Writes this, however long that takes. Returns what could not be written.
fn write<'a>(out: &mut File, mut lines: &'a [u8]) -> &'a [u8] {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(count) if count > 0 => lines = lines.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
            _ => break,
        }
    }
    lines
}

/// Writes a text to standard error, after all lines of the log and like them.
pub fn print(text: &str) {
    let has_thread = QUEUE.waiting.lock().has_thread;
    // If that fails, nobody can be told.
    let _ = if has_thread { Input.write_all(text.as_bytes()) } else { io::stderr().write_all(text.as_bytes()) };
}

/// When dropped, waits until everything is written, but not for long: the reader may read no more.
pub struct End;

impl Drop for End {
    fn drop(&mut self) {
        let is_written = |waiting: &Waiting| waiting.lines.is_empty() && !waiting.is_writing;
        let mut waiting = QUEUE.waiting.lock();
        QUEUE.changed.wait_while_until(&mut waiting, |waiting| !is_written(waiting), Instant::now() + END_WAIT_MAX);
    }
}
