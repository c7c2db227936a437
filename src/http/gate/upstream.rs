//! The way to the workers: as many private connections to tiny_http as there are workers, called lines. Each carries one
//! request at a time, so whoever has a line has a worker, and everybody else waits here.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use log::error;
use parking_lot::Mutex;

use super::forwarded::{self, ForwardedAnswer};
use super::held::Hold;
use super::limits::Limits;
use super::metrics::EdgeMetrics;
use super::refusal::Refusal;
use super::turns::Turn;
use crate::http::request::Request;
use crate::http::response::Response;

const BUSY: Refusal = Refusal::new(503, "the server is busy");
const NO_ANSWER: Refusal = Refusal::new(503, "the server did not answer in time");
const LOST: Refusal = Refusal::new(503, "the server lost this request; a write may or may not have happened");

/// A private connection. It and its worker come and go together.
pub struct Line {
    stream: UnixStream,
    /// How long a read may take, as the system has been told.
    read_limit: Option<Duration>,
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
    /// The lines that nobody uses. Whoever waits for one holds this, and the others wait for that in their order.
    free: Mutex<Receiver<Line>>,
    give_back: Sender<Line>,
    open: OpenLines,
    count: usize,
    /// Lines that have failed and could not be replaced yet.
    missing: AtomicUsize,
    waiting: AtomicUsize,
    limits: Limits,
    metrics: EdgeMetrics,
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
        let (give_back, free) = mpsc::channel();
        // There is somebody to receive: the other side is kept with this.
        open(count)?.into_iter().for_each(|line| drop(give_back.send(line)));
        let (missing, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Upstream { free: Mutex::new(free), give_back, open, count, missing, waiting, limits, metrics })
    }

    /// Has a request answered by a worker. The permit is kept for as long as the worker has the body.
    pub(super) fn answer(self: &Arc<Upstream>, request: Request, permit: Option<Permit>) -> Result<Answered, Refusal> {
        let deadline = Instant::now() + self.limits.answer;
        let mut line = self.take(deadline).ok_or(BUSY)?;
        let begun = Instant::now();
        match line.exchange(request, deadline, self.limits.answer) {
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
        if self.missing.load(Ordering::Relaxed) > 0 {
            self.open_missing();
        }
        if let Some(line) = self.free.try_lock().and_then(|free| free.try_recv().ok()) {
            return Some(line);
        }
        let is_crowded = self.waiting.fetch_add(1, Ordering::SeqCst) >= self.limits.queue;
        self.metrics.queue.inc();
        let wait = || {
            let free = self.free.try_lock_until(deadline)?;
            free.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
        };
        let line = if is_crowded { None } else { wait() };
        self.metrics.queue.dec();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        line
    }

    pub(in crate::http) fn put(&self, line: Line) {
        // See `open`.
        let _ = self.give_back.send(line);
    }

    /// Waits, in a thread of its own, until the worker has done what nobody waits for any more.
    fn put_when_answered(self: &Arc<Upstream>, mut line: Line, permit: Option<Permit>) {
        let upstream = Arc::clone(self);
        let spawned = thread::Builder::new().name("late answer".to_owned()).spawn(move || {
            let answered = line.set_read_limit(None).and_then(|()| line.read_answer(false));
            drop(permit);
            match answered {
                Ok(_) => upstream.put(line),
                Err(_) => upstream.replace(line),
            }
        });
        if spawned.is_err() {
            // The line has gone with the closure, and its worker goes when it is done.
            self.missing.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn replace(&self, failed: Line) {
        error!("a private connection to tiny_http failed; opening another");
        drop(failed);
        self.missing.fetch_add(1, Ordering::SeqCst);
        self.open_missing();
    }

    fn open_missing(&self) {
        while self.missing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |missing| missing.checked_sub(1)).is_ok() {
            match (self.open)(1) {
                Ok(lines) => lines.into_iter().for_each(|line| self.put(line)),
                Err(error) => {
                    self.missing.fetch_add(1, Ordering::SeqCst);
                    return error!(error:%; "cannot connect to tiny_http; the next request tries again");
                }
            }
        }
    }
}

impl Line {
    /// A line whose worker ends when the second of these is dropped.
    pub fn new(stream: UnixStream, worker: impl Send + 'static) -> Line {
        Line { stream, read_limit: None, _worker: Box::new(worker) }
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    fn exchange(&mut self, request: Request, deadline: Instant, usual: Duration) -> LineOutcome {
        let is_head = request.method == "HEAD";
        if self.write(&request).is_err() {
            return LineOutcome::Failed;
        }
        // Now the worker has it.
        drop(request);
        let left = deadline.saturating_duration_since(Instant::now());
        // The usual limit is near enough, and costs no call.
        let limit = if left > usual / 10 * 9 { usual } else { left.max(Duration::from_millis(1)) };
        match self.set_read_limit(Some(limit)).and_then(|()| self.read_answer(is_head)) {
            Ok(response) => LineOutcome::Answered(response),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => LineOutcome::Late,
            Err(_) => LineOutcome::Failed,
        }
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

    fn set_read_limit(&mut self, limit: Option<Duration>) -> io::Result<()> {
        if self.read_limit != limit {
            self.stream.set_read_timeout(limit)?;
            self.read_limit = limit;
        }
        Ok(())
    }

    fn read_answer(&mut self, is_head: bool) -> io::Result<Response> {
        let mut answer = ForwardedAnswer::new(is_head);
        let mut bytes = [0; 4096];
        loop {
            match (&self.stream).read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    if let Some(response) = answer.push(&bytes[..read])? {
                        return Ok(response);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
