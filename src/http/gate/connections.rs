//! The open connections and the threads that serve them, one for each: how many there may be, and which connection
//! makes room when there are too many.
//!
//! Every connection is in one [`Stage`]:
//!
//! ```text
//! Arriving (-> Handshaking) -> Idle -> Sending -> Answering -> Reading -> Idle ...
//!                                         |                       |
//!                                      Uploading              Lingering
//! ```
//!
//! An arrival waits for a thread. If none is free and no more may be started, another connection makes room: it is shut
//! down and becomes `Evicted`, so its thread sees the end of the connection and takes the next arrival.
//!
//! `State::first_to_go` chooses that connection from one ordered set for each [`Class`]: the one that has been in its
//! handshake for longest, if that is long; else the one that has been idle, or has not completed its request, for
//! longest; else the one whose bytes have stood still for longest; and last one that has just come. Two kinds are
//! spared: a connection whose client has done its part and that only waits for its own thread to run; and, for a
//! moment, one that has just come or made progress. That moment ends after [`PAUSE_MAX`] if no other can go. So an
//! arrival gets a thread within that time, unless all threads work for clients to whom the server owes an answer.
//!
//! Invariants, under the one lock:
//!
//! - `open` has every connection that has not ended; `order` has exactly those with a class.
//! - `Evicted` is final, and `leaving` is the number of connections in that stage.
//! - Each thread either serves one connection or counts as free: threads <= threads_max, and an arrival lacks a thread
//!   when more arrivals wait than threads are free or about to be (`State::lacking`).
//! - Whatever makes a connection fit to go makes room at once (`enter`), except for the passing of time; for that, the
//!   accept loop calls `make_room` every [`SPARED_FOR`] while an arrival lacks a thread.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex, MutexGuard};
use socket2::{Domain, Socket};

use super::limits::ARRIVALS_MAX;
use super::metrics::{EdgeMetrics, FULL, MEMORY, NO_THREAD, SHORTAGE};
use crate::registry::Asker;

/// How long a thread waits for another connection before it ends.
const THREAD_KEPT: Duration = Duration::from_secs(1);

/// How long a new connection waits when too many wait for a thread; then it is closed. Any thread leaves an evicted
/// connection in less, and hardly a client would wait for longer.
const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long the threads may take to end once their connections have been cut off.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a connection is spared after its thread has taken it, or after it has begun to send.
pub(super) const SPARED_FOR: Duration = Duration::from_millis(10);

/// How long a connection is spared after progress. On a busy machine an honest client does not read all the time, and
/// clients that do not read at all soon reach this age.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How long a client that has come, or has begun to send, does not count as idle: until then, clients that do not read
/// go first.
const YOUNG_FOR: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// No thread has taken it yet.
    Arriving,
    /// The first message of a client that must speak TLS has not come completely.
    Handshaking,
    /// Nothing of the next request has been read.
    Idle,
    /// A part of a request has been read. Further parts are not progress: a dripping client must not stay for them.
    Sending,
    /// A permitted large body is on its way. Entered anew with each step of
    /// [`UPLOAD_STEP_BYTES`](super::limits::UPLOAD_STEP_BYTES).
    Uploading,
    /// The request is complete: the server owes an answer, and the wait is not the client's fault.
    Answering,
    /// The answer is on its way, or will be at once. Entered anew whenever the socket has taken a part of it.
    Reading,
    /// The last answer has been sent; further bytes of the client are read and dropped.
    Lingering,
    /// It has been shut down to make room.
    Evicted,
}

/// The groups of connections from which one is chosen to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// TLS has not begun.
    Handshaking,
    Idle,
    /// The connection waits for its first request, or for the rest of any request.
    Beginning,
    /// A response or a large body is on its way.
    Moving,
}

/// The place of a connection in its class: since when it is in its stage, and its id for equal times.
type Rank = (Instant, u64);

/// One client's connection, as threads other than its own see it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// The client's name in the log.
    pub(super) client: String,
    /// Bytes are held for it.
    pub(super) holds: AtomicBool,
    /// The client has sent something that was taken from the socket but not read yet.
    pub(super) has_unread: AtomicBool,
    pub(super) id: u64,
}

impl Connection {
    /// Whether TLS is spoken on it, if the server has TLS. On a Unix socket nobody can listen in.
    pub(super) fn speaks_tls(&self) -> bool {
        self.socket.domain().is_ok_and(|domain| domain != Domain::UNIX)
    }

    /// Whether the client has done its part and only waits for this connection's thread: it has sent something
    /// (`POLLIN`), or has made room by reading (`POLLOUT`).
    pub(super) fn is_ready(&self, to: PollFlags) -> bool {
        if to == PollFlags::POLLIN && self.has_unread.load(Ordering::Relaxed) {
            return true;
        }
        let mut socket = [PollFd::new(self.socket.as_fd(), to)];
        poll(&mut socket, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl Asker for Connection {
    /// `false` even if the client has sent more before it left, such as the end of TLS.
    fn is_waiting(&self) -> bool {
        !self.is_ready(PollFlags::from_bits_retain(libc::POLLRDHUP))
    }
}

/// A connection and its stage.
struct Open {
    connection: Arc<Connection>,
    stage: Stage,
    since: Instant,
    has_asked: bool,
}

impl Open {
    fn class(&self) -> Option<Class> {
        match self.stage {
            Stage::Handshaking => Some(Class::Handshaking),
            Stage::Idle if !self.has_asked => Some(Class::Beginning),
            Stage::Sending => Some(Class::Beginning),
            Stage::Idle | Stage::Lingering => Some(Class::Idle),
            Stage::Uploading | Stage::Reading => Some(Class::Moving),
            Stage::Arriving | Stage::Answering | Stage::Evicted => None,
        }
    }

    fn place(&self) -> Rank {
        (self.since, self.connection.id)
    }

    /// Whether the client has done its part and only waits for this connection's thread.
    fn waits_for_thread(&self) -> bool {
        match self.stage {
            Stage::Handshaking | Stage::Idle | Stage::Uploading => self.connection.is_ready(PollFlags::POLLIN),
            Stage::Reading => self.connection.is_ready(PollFlags::POLLOUT),
            _ => false,
        }
    }
}

pub(super) struct Connections {
    state: Mutex<State>,
    /// There is a connection to be served.
    arrived: Condvar,
    /// A thread has taken a connection.
    taken: Condvar,
    /// A connection or a thread has ended.
    ended: Condvar,
    threads_max: usize,
    metrics: EdgeMetrics,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, Open>,
    /// For each class, the connections that may have to make room.
    order: [BTreeSet<Rank>; 4],
    last_id: u64,
    arrivals: VecDeque<Admitted>,
    threads: usize,
    /// Threads that serve no connection, including those that are just starting.
    free_threads: usize,
    /// Evicted connections that have not ended yet; each will set its thread free.
    leaving: usize,
    closing: bool,
}

impl State {
    /// How many arrivals no thread will take soon.
    fn lacking(&self) -> usize {
        self.arrivals.len().saturating_sub(self.free_threads + self.leaving)
    }

    /// Moves a connection to a stage; `false` if it has been evicted or has ended.
    fn enter(&mut self, id: u64, stage: Stage, since: Instant) -> bool {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.stage != Stage::Evicted) else { return false };
        if let Some(class) = open.class() {
            self.order[class as usize].remove(&open.place());
        }
        (open.stage, open.since) = (stage, since);
        open.has_asked |= matches!(stage, Stage::Answering | Stage::Reading);
        if let Some(class) = open.class() {
            self.order[class as usize].insert(open.place());
        }
        true
    }

    fn remove(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        if let Some(class) = open.class() {
            self.order[class as usize].remove(&open.place());
        }
        self.leaving -= usize::from(open.stage == Stage::Evicted);
    }

    /// The connection whose turn it is to make room.
    fn first_to_go(&self) -> Option<Arc<Connection>> {
        let oldest = |class, age_min| self.in_order(class, age_min).find(|open| !open.waits_for_thread());
        let waiting = || {
            let waiting = [oldest(Class::Idle, Duration::ZERO), oldest(Class::Beginning, YOUNG_FOR)];
            waiting.into_iter().flatten().min_by_key(|open| open.place())
        };
        let first = oldest(Class::Handshaking, YOUNG_FOR)
            .or_else(waiting)
            .or_else(|| oldest(Class::Moving, PAUSE_MAX))
            .or_else(|| oldest(Class::Handshaking, SPARED_FOR))
            .or_else(|| oldest(Class::Beginning, SPARED_FOR));
        first.map(|open| Arc::clone(&open.connection))
    }

    /// The holder of bytes that has made no progress for longest.
    fn holder_to_go(&self) -> Option<Arc<Connection>> {
        let mut holders =
            self.in_order(Class::Moving, PAUSE_MAX).filter(|open| open.connection.holds.load(Ordering::Relaxed));
        holders.find(|open| !open.waits_for_thread()).map(|open| Arc::clone(&open.connection))
    }

    /// The connections of a class that have been there for at least this long, the longest first.
    fn in_order(&self, class: Class, age_min: Duration) -> impl Iterator<Item = &Open> {
        let now = Instant::now();
        let places = self.order[class as usize].iter();
        let old_enough = places.take_while(move |(since, _)| now.saturating_duration_since(*since) >= age_min);
        old_enough.filter_map(|(_, id)| self.open.get(id))
    }
}

/// An open connection, counted until this is dropped.
pub(super) struct Admitted {
    // The order matters: the socket closes before the end is signalled.
    pub(super) connection: Arc<Connection>,
    ended: TellsOfEnd,
}

struct TellsOfEnd(Arc<Connections>);

impl Connections {
    pub(super) fn new(connections_max: usize, metrics: EdgeMetrics) -> Connections {
        Connections {
            state: Mutex::default(),
            arrived: Condvar::new(),
            taken: Condvar::new(),
            ended: Condvar::new(),
            threads_max: connections_max,
            metrics,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().open.len()
    }

    /// Lets a new connection in, to be served by the first free thread. If there can be no more threads, another
    /// connection makes room. Waits if too many wait already, so that further ones stay in the kernel.
    ///
    /// `true` if a new thread must be started for it, which counts from now on.
    #[must_use]
    pub(super) fn arrive(self: &Arc<Connections>, socket: Socket, client: String) -> bool {
        self.metrics.accepted.inc();
        let mut state = self.state.lock();
        if !self.wait_until_less_crowded(&mut state) {
            let is_full = state.threads >= self.threads_max;
            self.metrics.refused.with_label_values(&[if is_full { FULL } else { NO_THREAD }]).inc();
            return false;
        }
        state.last_id += 1;
        let (id, since) = (state.last_id, Instant::now());
        let (holds, has_unread) = (AtomicBool::new(false), AtomicBool::new(false));
        let connection = Arc::new(Connection { socket, client, holds, has_unread, id });
        let open = Open { connection: Arc::clone(&connection), stage: Stage::Arriving, since, has_asked: false };
        state.open.insert(id, open);
        self.metrics.connections.inc();
        state.arrivals.push_back(Admitted { connection, ended: TellsOfEnd(Arc::clone(self)) });
        self.arrived.notify_one();
        let needs_thread = state.lacking() > 0 && state.threads < self.threads_max;
        if needs_thread {
            state.threads += 1;
            state.free_threads += 1;
        }
        self.make_room_for_all(&mut state, FULL);
        needs_thread
    }

    /// `false` if too many still wait after [`ARRIVAL_WAIT_MAX`].
    fn wait_until_less_crowded(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let deadline = Instant::now() + ARRIVAL_WAIT_MAX;
        while state.arrivals.len() >= ARRIVALS_MAX {
            if Instant::now() >= deadline {
                return false;
            }
            self.make_room_for_all(state, FULL);
            self.taken.wait_for(state, SPARED_FOR);
        }
        true
    }

    /// A thread could not be started: fewer must do.
    pub(super) fn thread_failed(&self) {
        let mut state = self.state.lock();
        state.threads -= 1;
        state.free_threads -= 1;
        self.make_room_for_all(&mut state, SHORTAGE);
        self.ended.notify_all();
    }

    /// The next connection for a thread; `None` if the thread is no longer needed, and no longer counts.
    pub(super) fn next(&self) -> Option<Admitted> {
        let deadline = Instant::now() + THREAD_KEPT;
        let mut state = self.state.lock();
        let has_nothing = |state: &mut State| state.arrivals.is_empty() && !state.closing;
        self.arrived.wait_while_until(&mut state, has_nothing, deadline);
        state.free_threads -= 1;
        let next = state.arrivals.pop_front();
        if let Some(admitted) = &next {
            state.enter(admitted.connection.id, Stage::Idle, Instant::now());
            self.taken.notify_one();
        } else {
            state.threads -= 1;
            self.ended.notify_all();
        }
        next
    }

    /// Closes a connection because the system lacks a resource.
    pub(super) fn evict_one(&self) {
        self.evict(&mut self.state.lock(), State::first_to_go, SHORTAGE);
    }

    /// Closes a connection because clients hold too many bytes.
    pub(super) fn evict_holder(&self) {
        self.evict(&mut self.state.lock(), State::holder_to_go, MEMORY);
    }

    /// Makes room for the arrivals as far as possible now. `true` if one of them still lacks a thread.
    pub(super) fn make_room(&self) -> bool {
        let mut state = self.state.lock();
        self.make_room_for_all(&mut state, FULL);
        state.lacking() > 0
    }

    fn make_room_for_all(&self, state: &mut State, why: &str) {
        while state.lacking() > 0 && self.evict(state, State::first_to_go, why) {}
    }

    /// Closes the connection whose turn it is; `false` if there is none.
    fn evict(&self, state: &mut State, turn: impl Fn(&State) -> Option<Arc<Connection>>, why: &str) -> bool {
        let Some(connection) = turn(state) else { return false };
        state.enter(connection.id, Stage::Evicted, Instant::now());
        state.leaving += 1;
        // Its thread wakes up, finds the connection at its end and takes the next one.
        let _ = connection.socket.shutdown(Shutdown::Both);
        self.metrics.evicted.with_label_values(&[why]).inc();
        true
    }

    /// Waits until a connection ends, or for this long.
    pub(super) fn wait_for_an_end(&self, wait: Duration) {
        self.ended.wait_for(&mut self.state.lock(), wait);
    }

    /// Ends the connections on which no request has begun, after `wait`, in which a client may still be sending one.
    /// Bytes sent by then are still read.
    pub(super) fn end_idle_after(&self, wait: Duration) {
        let mut state = self.state.lock();
        let is_idle = |open: &&Open| matches!(open.stage, Stage::Arriving | Stage::Handshaking | Stage::Idle);
        self.ended.wait_while_for(&mut state, |state| state.open.values().any(|open| is_idle(&open)), wait);
        for open in state.open.values().filter(is_idle) {
            let _ = open.connection.socket.shutdown(Shutdown::Read);
        }
    }

    /// Waits until there are no more connections and threads. At the deadline, cuts off the rest.
    pub(super) fn close(&self, deadline: Instant) {
        let mut state = self.state.lock();
        state.closing = true;
        self.arrived.notify_all();
        let has_threads = |state: &mut State| state.threads > 0;
        if self.ended.wait_while_until(&mut state, has_threads, deadline).timed_out() {
            for open in state.open.values() {
                let _ = open.connection.socket.shutdown(Shutdown::Both);
            }
            self.ended.wait_while_for(&mut state, has_threads, LEAVE_WAIT_MAX);
        }
    }
}

impl Admitted {
    /// Moves this connection to a stage, or notes progress there. `false` if it has been evicted.
    pub(super) fn enter(&self, stage: Stage) -> bool {
        let connections = &self.ended.0;
        let mut state = connections.state.lock();
        let entered = state.enter(self.connection.id, stage, Instant::now());
        connections.make_room_for_all(&mut state, FULL);
        entered
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.ended.0.state.lock();
        state.remove(self.connection.id);
        state.free_threads += 1;
        self.ended.0.metrics.connections.dec();
    }
}

impl Drop for TellsOfEnd {
    fn drop(&mut self) {
        self.0.ended.notify_all();
    }
}
