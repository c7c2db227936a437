//! The way to the workers: one private connection to tiny_http for each, called a line. A line carries one request at a
//! time, so a caller that has a line has a worker, and all other callers wait here.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::error;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::forwarded::{self, ForwardedAnswer};
use super::held::Hold;
use super::limits::Limits;
use super::metrics::EdgeMetrics;
use crate::http::request::Request;
use crate::http::response::{Refusal, Response};
use crate::turns::Turn;

const BUSY: Refusal = Refusal::new(503, "the server is busy");
const NO_ANSWER: Refusal = Refusal::new(503, "the server did not answer in time");
const LOST: Refusal = Refusal::new(503, "the server lost this request; a write may or may not have happened");

/// How much of an answer is read at once, in bytes: nearly always all of it.
const ANSWER_BYTES: usize = 4096;

/// A private connection, which lives as long as its worker.
pub struct Line {
    /// A Unix socket, in the only type of the standard library that can peek. Nothing else about it is TCP.
    stream: TcpStream,
    /// How many bytes of the last answer stay in the socket until the next request is written. Reading the last of them
    /// wakes the thread of tiny_http that waits for it on this socket: after the write, it is awake already.
    left: usize,
    buffer: Box<[u8; ANSWER_BYTES]>,
    /// Ends a worker when it is dropped.
    _worker: Box<dyn Send>,
}

/// Opens lines, each with a worker at its other end.
pub type OpenLines = Box<dyn Fn(usize) -> io::Result<Vec<Line>> + Send + Sync>;

/// The permission to give a worker a large body.
pub(super) struct Permit {
    pub(super) _hold: Hold,
    pub(super) _turn: Turn,
}

/// An answer, and how long the handler took for it.
pub(super) struct Answered {
    pub(super) response: Response,
    /// Counts the answer as held until it has been sent.
    pub(super) hold: Option<Hold>,
    /// The time of the worker, from when the request had a line.
    pub(super) handled_in: Duration,
}

/// All lines, and the callers that wait for one.
pub struct Upstream {
    lines: Mutex<Lines>,
    freed: Condvar,
    open: OpenLines,
    count: usize,
    limits: Limits,
    metrics: EdgeMetrics,
}

#[derive(Default)]
struct Lines {
    /// The last one used is taken first, since its threads are the warmest.
    free: Vec<Line>,
    /// How many callers wait for a line. They are woken in their order, one for each line that becomes free.
    waiting: usize,
    /// Lines that have failed and could not be replaced yet.
    missing: usize,
}

impl Lines {
    /// A free line that no waiting caller will need.
    fn spare(&mut self) -> Option<Line> {
        if self.free.len() > self.waiting { self.free.pop() } else { None }
    }
}

/// The outcome of a request on a line.
enum LineOutcome {
    Answered(Response),
    Late,
    /// The line is in an unknown state.
    Failed,
}

impl Upstream {
    /// Opens `count` lines, each with its worker.
    pub fn open(count: usize, open: OpenLines, limits: Limits, metrics: EdgeMetrics) -> io::Result<Upstream> {
        let lines = Mutex::new(Lines { free: open(count)?, ..Lines::default() });
        Ok(Upstream { lines, freed: Condvar::new(), open, count, limits, metrics })
    }

    /// Has a worker answer a request. The permit is kept for as long as the worker has the body.
    pub(super) fn answer(self: &Arc<Upstream>, request: Request, permit: Option<Permit>) -> Result<Answered, Refusal> {
        let deadline = Instant::now() + self.limits.answer;
        let mut line = self.take(deadline).ok_or(BUSY)?;
        let begun = Instant::now();
        match line.exchange(request, deadline) {
            LineOutcome::Answered(response) => {
                self.put(line);
                Ok(Answered { response, hold: None, handled_in: begun.elapsed() })
            }
            LineOutcome::Late => {
                self.put_when_answered(line, permit);
                Err(NO_ANSWER)
            }
            LineOutcome::Failed => {
                self.replace(line);
                Err(LOST)
            }
        }
    }

    /// Takes the lines as they become free and drops them, which ends their workers. Leaves those still in use at the
    /// deadline.
    pub(super) fn close(&self, deadline: Instant) {
        for _ in 0..self.count {
            let Some(line) = self.take(deadline) else { return };
            drop(line);
        }
    }

    /// Waits for a line; `None` if none becomes free by the deadline, or too many callers wait already.
    pub(in crate::http) fn take(&self, deadline: Instant) -> Option<Line> {
        let mut lines = self.lines.lock();
        if lines.missing > 0 {
            MutexGuard::unlocked(&mut lines, || self.open_missing());
        }
        let spare = lines.spare();
        if spare.is_some() || lines.waiting >= self.limits.queue {
            return spare;
        }
        lines.waiting += 1;
        self.metrics.queue.inc();
        let is_late = self.freed.wait_until(&mut lines, deadline).timed_out();
        lines.waiting -= 1;
        self.metrics.queue.dec();
        if is_late { lines.spare() } else { lines.free.pop() }
    }

    pub(in crate::http) fn put(&self, line: Line) {
        self.lines.lock().free.push(line);
        self.freed.notify_one();
    }

    /// Waits for a late answer in a thread of its own, then makes the line free again.
    fn put_when_answered(self: &Arc<Upstream>, mut line: Line, permit: Option<Permit>) {
        let upstream = Arc::clone(self);
        let spawned = thread::Builder::new().name("late answer".to_owned()).spawn(move || {
            let answered = line.read_answer(false, None);
            drop(permit);
            match answered {
                Ok(_) => upstream.put(line),
                Err(_) => upstream.replace(line),
            }
        });
        if spawned.is_err() {
            // The line was dropped with the closure, and its worker ends with the request.
            self.lines.lock().missing += 1;
        }
    }

    fn replace(&self, failed: Line) {
        error!("a private connection to tiny_http failed; opening another");
        drop(failed);
        self.lines.lock().missing += 1;
        self.open_missing();
    }

    fn open_missing(&self) {
        while self.take_missing() {
            match (self.open)(1) {
                Ok(lines) => lines.into_iter().for_each(|line| self.put(line)),
                Err(error) => {
                    self.lines.lock().missing += 1;
                    return error!(error:%; "cannot connect to tiny_http; the next request tries again");
                }
            }
        }
    }

    /// Claims a missing line, which the caller must then open. `false` if none is missing.
    fn take_missing(&self) -> bool {
        let mut lines = self.lines.lock();
        let is_missing = lines.missing > 0;
        lines.missing -= usize::from(is_missing);
        is_missing
    }
}

impl Line {
    /// A line that owns `worker`: dropping that ends the worker.
    pub fn new(stream: UnixStream, worker: impl Send + 'static) -> Line {
        Line {
            stream: OwnedFd::from(stream).into(),
            left: 0,
            buffer: Box::new([0; ANSWER_BYTES]),
            _worker: Box::new(worker),
        }
    }

    #[cfg(test)]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn exchange(&mut self, request: Request, deadline: Instant) -> LineOutcome {
        let is_head = request.method == "HEAD";
        let left = mem::take(&mut self.left);
        if self.write(&request).and_then(|()| self.discard(left)).is_err() {
            return LineOutcome::Failed;
        }
        // The worker has the request now.
        drop(request);
        match self.read_answer(is_head, Some(deadline)) {
            Ok(response) => LineOutcome::Answered(response),
            Err(error) if error.kind() == ErrorKind::TimedOut => LineOutcome::Late,
            Err(_) => LineOutcome::Failed,
        }
    }

    /// Reads bytes that were only peeked at so far.
    fn discard(&mut self, count: usize) -> io::Result<()> {
        self.stream.read_exact(&mut self.buffer[..count])
    }

    /// Needs no deadline: the worker at the other end does nothing else, and the socket has a timeout.
    fn write(&self, request: &Request) -> io::Result<()> {
        let head = forwarded::head(request);
        let mut slices = [IoSlice::new(&head), IoSlice::new(&request.body)];
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match (&self.stream).write_vectored(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads an answer, but leaves its last piece in the socket.
    fn read_answer(&mut self, is_head: bool, deadline: Option<Instant>) -> io::Result<Response> {
        let mut answer = ForwardedAnswer::new(is_head);
        loop {
            self.wait(deadline)?;
            let seen = self.stream.peek(&mut *self.buffer)?;
            if seen == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(response) = answer.push(&self.buffer[..seen])? {
                self.left = seen;
                return Ok(response);
            }
            self.discard(seen)?;
        }
    }

    /// Waits until there is something to read. A blocking read would also be woken when the other end has read the
    /// request.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<()> {
        let mut ready = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
            match poll(&mut ready, left) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Err(Errno::EINTR) => {}
                polled => return polled.map(drop).map_err(io::Error::from),
            }
        }
    }
}
