//! The open connections and the threads that serve them, one each: how many there may be, and who makes room
//! when there are too many.

use std::collections::{HashMap, VecDeque};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex, MutexGuard};
use socket2::Socket;

use super::limits::ARRIVALS_MAX;
use super::metrics::{EdgeMetrics, Evicted, Unserved};

/// How long a thread waits for another connection before it ends.
const THREAD_KEPT: Duration = Duration::from_secs(1);

/// How long a connection waits until fewer wait for a thread; then it is closed. Longer than it takes any thread to
/// leave an evicted connection, and no client would wait for very much more.
const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long the threads may take to leave once their connections have been cut off.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a new connection is left the time to send its request before it may have to make room.
const NEW_FOR: Duration = Duration::from_millis(10);

/// How many connections an eviction passes over because their clients have just sent something.
const SPARED_MAX: usize = ARRIVALS_MAX;

/// The rank of a connection whose client the server owes an answer. It is not taken from it.
const OWED: u64 = u64::MAX;

/// The rank of a connection that has been evicted, for good.
const EVICTED: u64 = u64::MAX - 1;

/// Added to the rank of those that read a response: they go only when nobody waits for a request.
const AFTER_ALL_THAT_WAIT: u64 = 1 << 62;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// What the client is called in the log.
    pub(super) client: String,
    id: u64,
    /// Nothing of a next request has been read.
    idle: AtomicBool,
    /// No request has come yet, and the client has every reason to send one.
    fresh: AtomicBool,
    arrived: Instant,
    /// Who makes room first: the connection with the smallest rank.
    rank: AtomicU64,
}

impl Connection {
    fn is_new(&self) -> bool {
        self.fresh.load(Ordering::SeqCst) && self.arrived.elapsed() < NEW_FOR
    }

    /// Whether there is something to be read.
    fn has_sent(&self) -> bool {
        let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut socket, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// All connections and threads.
pub(super) struct Connections {
    state: Mutex<State>,
    /// There is a connection to be served.
    arrived: Condvar,
    /// A thread has taken a connection.
    taken: Condvar,
    /// A connection or a thread has ended.
    ended: Condvar,
    threads_max: usize,
    last_rank: AtomicU64,
    /// [`State::lacking`] was not 0 when somebody looked last.
    is_lacking: AtomicBool,
    metrics: EdgeMetrics,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, Arc<Connection>>,
    last_id: u64,
    /// Connections that no thread has taken yet.
    arrivals: VecDeque<Admitted>,
    threads: usize,
    /// Threads that serve no connection, those that are just starting included.
    free_threads: usize,
    /// Evicted connections that have not ended yet; each will set its thread free.
    leaving: usize,
    closing: bool,
}

impl State {
    /// How many arrivals nobody is going to take soon.
    fn lacking(&self) -> usize {
        self.arrivals.len().saturating_sub(self.free_threads + self.leaving)
    }
}

/// An open connection, counted until this is dropped.
pub(super) struct Admitted {
    // The order matters: the socket is closed before anybody is told.
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
            last_rank: AtomicU64::new(0),
            is_lacking: AtomicBool::new(false),
            metrics,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().open.len()
    }

    /// Lets a new connection in, to be served by the first free thread; another connection makes room if there can be
    /// no more threads. Waits when too many wait already, so that the others stay in the kernel.
    ///
    /// `true` when a new thread is to be started for it, which counts from now on.
    #[must_use]
    pub(super) fn arrive(self: &Arc<Connections>, socket: Socket, client: String) -> bool {
        self.metrics.accepted.inc();
        let mut state = self.state.lock();
        let is_crowded = |state: &mut State| state.arrivals.len() >= ARRIVALS_MAX;
        if self.taken.wait_while_for(&mut state, is_crowded, ARRIVAL_WAIT_MAX).timed_out() {
            let is_full = state.threads >= self.threads_max;
            self.metrics.refused(if is_full { Unserved::Full } else { Unserved::NoThread });
            return false;
        }
        state.last_id += 1;
        let id = state.last_id;
        let (idle, fresh, rank) = (AtomicBool::new(true), AtomicBool::new(true), AtomicU64::new(self.next_rank()));
        let connection = Arc::new(Connection { socket, client, id, idle, fresh, arrived: Instant::now(), rank });
        state.open.insert(id, Arc::clone(&connection));
        self.metrics.connections.inc();
        state.arrivals.push_back(Admitted { connection, ended: TellsOfEnd(Arc::clone(self)) });
        self.arrived.notify_one();
        let needs_thread = state.lacking() > 0 && state.threads < self.threads_max;
        if needs_thread {
            state.threads += 1;
            state.free_threads += 1;
        }
        self.make_room_patiently(&mut state, Evicted::Full);
        needs_thread
    }

    /// A thread could not be had, so that there have to do fewer.
    pub(super) fn thread_failed(&self) {
        let mut state = self.state.lock();
        state.threads -= 1;
        state.free_threads -= 1;
        self.make_room_patiently(&mut state, Evicted::Shortage);
        self.ended.notify_all();
    }

    /// The next connection for a thread; `None` when the thread is no longer needed, and does not count any more.
    pub(super) fn next(&self) -> Option<Admitted> {
        let deadline = Instant::now() + THREAD_KEPT;
        let mut state = self.state.lock();
        let has_nothing = |state: &mut State| state.arrivals.is_empty() && !state.closing;
        self.arrived.wait_while_until(&mut state, has_nothing, deadline);
        state.free_threads -= 1;
        let next = state.arrivals.pop_front();
        if next.is_some() {
            self.taken.notify_one();
        } else {
            state.threads -= 1;
            self.ended.notify_all();
        }
        next
    }

    /// Closes the connection that has waited longest, because the system has no more of something.
    pub(super) fn evict_one(&self) {
        self.evict(&mut self.state.lock(), Evicted::Shortage);
    }

    /// Closes as many connections as there are arrivals that nobody is going to take soon.
    fn make_room(&self, state: &mut State, why: Evicted) {
        while state.lacking() > 0 && self.evict(state, why) {}
        self.is_lacking.store(state.lacking() > 0, Ordering::SeqCst);
    }

    /// Makes room as soon as a connection ends, or is no longer too new to be closed.
    fn make_room_patiently(&self, state: &mut MutexGuard<'_, State>, why: Evicted) {
        self.make_room(state, why);
        if self.ended.wait_while_for(state, |state| state.lacking() > 0, NEW_FOR).timed_out() {
            self.make_room(state, why);
        }
    }

    /// Closes the connection that has waited longest for a request, or else has been reading its response for
    /// longest. `false` when the server owes every client an answer, or none has had time to send a request.
    fn evict(&self, state: &mut State, why: Evicted) -> bool {
        let mut spared = 0;
        loop {
            let ranked = state.open.values().map(|connection| (connection.rank.load(Ordering::SeqCst), connection));
            let Some((rank, first)) = ranked.min_by_key(|(rank, _)| *rank) else { return false };
            // If this one is too new, so are the others.
            if rank >= EVICTED || first.is_new() {
                return false;
            }
            // A client whose request only waits for a thread to read it is not one that is waited for.
            if rank < AFTER_ALL_THAT_WAIT && spared < SPARED_MAX && first.has_sent() {
                spared += 1;
                let _ = first.rank.compare_exchange(rank, self.next_rank(), Ordering::SeqCst, Ordering::SeqCst);
                continue;
            }
            // It may have got its request in this very moment.
            if first.rank.compare_exchange(rank, EVICTED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                // Its thread wakes up, finds the connection at its end and takes the next one.
                let _ = first.socket.shutdown(Shutdown::Both);
                state.leaving += 1;
                self.metrics.evicted(why);
                return true;
            }
        }
    }

    /// Waits until a connection ends, or for this long.
    pub(super) fn wait_for_an_end(&self, wait: Duration) {
        self.ended.wait_for(&mut self.state.lock(), wait);
    }

    /// Ends the connections on which no request has begun, once their clients have had `wait` to send one that they
    /// may just be sending. What has been sent by then is still read.
    pub(super) fn end_idle_after(&self, wait: Duration) {
        let mut state = self.state.lock();
        let any_idle = |state: &mut State| state.open.values().any(|open| open.idle.load(Ordering::SeqCst));
        self.ended.wait_while_for(&mut state, any_idle, wait);
        for connection in state.open.values().filter(|open| open.idle.load(Ordering::SeqCst)) {
            let _ = connection.socket.shutdown(Shutdown::Read);
        }
    }

    /// Waits until there are no more connections and threads; at the deadline those that are left are cut off.
    pub(super) fn close(&self, deadline: Instant) {
        let mut state = self.state.lock();
        state.closing = true;
        self.arrived.notify_all();
        let has_threads = |state: &mut State| state.threads > 0;
        if self.ended.wait_while_until(&mut state, has_threads, deadline).timed_out() {
            for connection in state.open.values() {
                let _ = connection.socket.shutdown(Shutdown::Both);
            }
            self.ended.wait_while_for(&mut state, has_threads, LEAVE_WAIT_MAX);
        }
    }

    /// A rank behind all that have been given so far.
    fn next_rank(&self) -> u64 {
        self.last_rank.fetch_add(1, Ordering::Relaxed)
    }
}

impl Admitted {
    /// The connection waits for a request, of which nothing has come yet.
    pub(super) fn waits_for_request(&self) {
        let connections = &self.ended.0;
        self.set_rank(connections.next_rank());
        self.connection.idle.store(true, Ordering::SeqCst);
        // Somebody may have arrived while the server owed answers to all.
        if connections.is_lacking.load(Ordering::SeqCst) {
            connections.make_room(&mut connections.state.lock(), Evicted::Full);
        }
    }

    /// The first bytes of a request are here. For how long the client has been waited for goes on counting.
    pub(super) fn begins_request(&self) {
        self.connection.idle.store(false, Ordering::SeqCst);
    }

    /// A request is complete: from now on the server owes an answer. `false` when the connection has been evicted.
    pub(super) fn owes_answer(&self) -> bool {
        self.connection.idle.store(false, Ordering::SeqCst);
        self.connection.fresh.store(false, Ordering::SeqCst);
        self.set_rank(OWED)
    }

    /// The answer is there; it is up to the client to read it.
    pub(super) fn sends_answer(&self) {
        self.set_rank(AFTER_ALL_THAT_WAIT + self.ended.0.next_rank());
    }

    fn set_rank(&self, rank: u64) -> bool {
        let unless_evicted = |old| (old != EVICTED).then_some(rank);
        self.connection.rank.fetch_update(Ordering::SeqCst, Ordering::SeqCst, unless_evicted).is_ok()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.ended.0.state.lock();
        state.open.remove(&self.connection.id);
        state.free_threads += 1;
        state.leaving -= usize::from(self.connection.rank.load(Ordering::SeqCst) == EVICTED);
        self.ended.0.metrics.connections.dec();
    }
}

impl Drop for TellsOfEnd {
    fn drop(&mut self) {
        self.0.ended.notify_all();
    }
}
