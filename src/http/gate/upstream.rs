//! The way to the workers: as many private connections to tiny_http as there are workers, called lines. Each carries one
//! request at a time, so whoever has a line has a worker, and everybody else waits here.

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
use super::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::turns::Turn;

const BUSY: Refusal = Refusal::new(503, "the server is busy");
const NO_ANSWER: Refusal = Refusal::new(503, "the server did not answer in time");
const LOST: Refusal = Refusal::new(503, "the server lost this request; a write may or may not have happened");

/// How much of an answer is looked at in one piece: nearly always all of it.
const ANSWER_BYTES: usize = 4096;

/// A private connection. It and its worker come and go together.
pub struct Line {
    /// A Unix socket. The type is the one of the standard library that can look at bytes and leave them there; nothing
    /// else about it is TCP.
    stream: TcpStream,
    /// How many bytes of the last answer are left in the socket until the next request has been written. Whoever takes
    /// the last of them wakes the thread of tiny_http that waits for that, on the same socket: then it is awake already.
    left: usize,
    /// For the bytes of answers.
    buffer: Box<[u8; ANSWER_BYTES]>,
    /// Ends a worker when it is dropped.
    _worker: Box<dyn Send>,
}

/// Opens lines, each with a worker at its other end.
pub type OpenLines = Box<dyn Fn(usize) -> io::Result<Vec<Line>> + Send + Sync>;

/// The permission for a worker to have a large body.
pub(super) struct Permit {
    pub(super) _hold: Hold,
    pub(super) _turn: Turn,
}

/// An answer, and how long the handler took for it.
pub(super) struct Answered {
    pub(super) response: Response,
    /// The answer counts as held until it has been sent.
    pub(super) hold: Option<Hold>,
    /// The time that was not the edge's.
    pub(super) handled_in: Duration,
}

/// All lines.
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
    /// The one that was used last, whose threads are the warmest, is taken first.
    free: Vec<Line>,
    /// How many wait for one. They are woken in their order, one for each line that becomes free.
    waiting: usize,
    /// Lines that have failed and could not be replaced yet.
    missing: usize,
}

impl Lines {
    /// A line that is not for somebody who waits.
    fn spare(&mut self) -> Option<Line> {
        if self.free.len() > self.waiting { self.free.pop() } else { None }
    }
}

/// What came of a request that a line was given.
enum LineOutcome {
    Answered(Response),
    Late,
    /// The line is in an unknown state.
    Failed,
}

impl Upstream {
    /// Opens so many lines.
    pub fn open(count: usize, open: OpenLines, limits: Limits, metrics: EdgeMetrics) -> io::Result<Upstream> {
        let lines = Mutex::new(Lines { free: open(count)?, ..Lines::default() });
        Ok(Upstream { lines, freed: Condvar::new(), open, count, limits, metrics })
    }

    /// Has a request answered by a worker. The permit is kept for as long as the worker has the body.
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

    /// Takes the lines as they become free, which ends their workers. Those that are held up at the deadline are left.
    pub(super) fn close(&self, deadline: Instant) {
        for _ in 0..self.count {
            let Some(line) = self.take(deadline) else { return };
            drop(line);
        }
    }

    /// A line; `None` when none becomes free until the deadline, or too many wait already.
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

    /// Waits, in a thread of its own, until the worker has done what nobody waits for any more.
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
            // The line has gone with the closure, and its worker goes when it is done.
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

    /// Whether a line is missing, which is then up to the caller to open.
    fn take_missing(&self) -> bool {
        let mut lines = self.lines.lock();
        let is_missing = lines.missing > 0;
        lines.missing -= usize::from(is_missing);
        is_missing
    }
}

impl Line {
    /// A line whose worker ends when the second of these is dropped.
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
        // Now the worker has it.
        drop(request);
        match self.read_answer(is_head, Some(deadline)) {
            Ok(response) => LineOutcome::Answered(response),
            Err(error) if error.kind() == ErrorKind::TimedOut => LineOutcome::Late,
            Err(_) => LineOutcome::Failed,
        }
    }

    /// Takes this much of what is there and has been looked at.
    fn discard(&mut self, count: usize) -> io::Result<()> {
        self.stream.read_exact(&mut self.buffer[..count])
    }

    /// Does not wait for ever: the worker at the other end has nothing else to do.
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

    /// Reads an answer but for its last piece, which is left.
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

    /// Waits until there is something to be read. A read that waited would be woken by the system also when the other end
    /// has taken what was written.
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
