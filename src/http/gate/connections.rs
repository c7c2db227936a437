//! The open connections: how many there may be, and which of them makes room when there are too many.

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus::IntGauge;
use socket2::Socket;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// What the client is called in the log.
    pub(super) client: String,
    id: u64,
    /// Nothing of a next request has been read.
    idle: AtomicBool,
    /// When others are to be preferred to it: the smallest goes first.
    eviction_rank: AtomicU64,
}

/// The server owes this client an answer, so the connection is not taken from it.
const NEVER: u64 = u64::MAX;

/// Added to the rank of those that read a response: they go only when nobody waits for a request.
const AFTER_ALL_THAT_WAIT: u64 = 1 << 62;

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<Open>,
    closed: Condvar,
    connections_max: usize,
    last_rank: AtomicU64,
    gauge: IntGauge,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<u64, Arc<Connection>>,
    last_id: u64,
}

/// An open connection, counted until this is dropped.
pub(super) struct Admitted {
    // The order matters: the socket is closed before anybody is told.
    pub(super) connection: Arc<Connection>,
    ended: TellsOfEnd,
}

struct TellsOfEnd(Arc<Connections>);

impl Connections {
    pub(super) fn new(connections_max: usize, gauge: IntGauge) -> Connections {
        Connections {
            open: Mutex::default(),
            closed: Condvar::new(),
            connections_max,
            last_rank: AtomicU64::new(0),
            gauge,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.lock().by_id.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.connections_max
    }

    /// Counts a new connection; `None`, and the socket closed, when there are as many as there may be.
    pub(super) fn admit(self: &Arc<Connections>, socket: Socket, client: String) -> Option<Admitted> {
        let mut open = self.open.lock();
        if open.by_id.len() >= self.connections_max {
            return None;
        }
        open.last_id += 1;
        let id = open.last_id;
        let idle = AtomicBool::new(true);
        let eviction_rank = AtomicU64::new(self.next_rank());
        let connection = Arc::new(Connection { socket, client, id, idle, eviction_rank });
        open.by_id.insert(id, Arc::clone(&connection));
        self.gauge.inc();
        Some(Admitted { connection, ended: TellsOfEnd(Arc::clone(self)) })
    }

    /// Closes the connection that has waited longest for a request, or else has been reading its response for
    /// longest, and waits a little for its end. `false` when the server owes every client an answer.
    pub(super) fn evict_one(&self, wait: Duration) -> bool {
        let mut open = self.open.lock();
        let rank = |connection: &Connection| connection.eviction_rank.load(Ordering::Relaxed);
        let Some(longest) = open.by_id.values().min_by_key(|connection| rank(connection)) else { return false };
        if rank(longest) == NEVER {
            return false;
        }
        longest.eviction_rank.store(NEVER, Ordering::Relaxed);
        // Its thread wakes up, finds the connection at its end and leaves.
        let _ = longest.socket.shutdown(Shutdown::Both);
        let before = open.by_id.len();
        self.closed.wait_while_for(&mut open, |open| open.by_id.len() >= before, wait);
        true
    }

    /// Waits until a connection ends, or for this long.
    pub(super) fn wait_for_an_end(&self, wait: Duration) {
        self.closed.wait_for(&mut self.open.lock(), wait);
    }

    /// Ends the connections on which no request has begun. What their clients have sent already is still read.
    pub(super) fn end_idle(&self) {
        for connection in self.open.lock().by_id.values().filter(|connection| connection.idle.load(Ordering::SeqCst)) {
            let _ = connection.socket.shutdown(Shutdown::Read);
        }
    }

    /// Waits until there are no more connections; at the deadline those that are left are cut off.
    pub(super) fn wait_until_none(&self, deadline: Instant) {
        let mut open = self.open.lock();
        let timed_out = |result: parking_lot::WaitTimeoutResult| result.timed_out();
        if timed_out(self.closed.wait_while_until(&mut open, |open| !open.by_id.is_empty(), deadline)) {
            for connection in open.by_id.values() {
                let _ = connection.socket.shutdown(Shutdown::Both);
            }
            self.closed.wait_while_for(&mut open, |open| !open.by_id.is_empty(), CUT_OFF_WAIT);
        }
    }

    /// A rank behind all that have been given so far.
    fn next_rank(&self) -> u64 {
        self.last_rank.fetch_add(1, Ordering::Relaxed)
    }
}

/// How long the threads of connections that were cut off may take to leave.
const CUT_OFF_WAIT: Duration = Duration::from_secs(1);

impl Admitted {
    /// The connection waits for a request, of which nothing has come yet.
    pub(super) fn waits_for_request(&self) {
        self.connection.eviction_rank.store(self.ended.0.next_rank(), Ordering::Relaxed);
        self.connection.idle.store(true, Ordering::SeqCst);
    }

    /// The first bytes of a request are here. For how long the client has been waited for goes on counting.
    pub(super) fn begins_request(&self) {
        self.connection.idle.store(false, Ordering::SeqCst);
    }

    /// A request is complete: from now on the server owes an answer.
    pub(super) fn owes_answer(&self) {
        self.connection.idle.store(false, Ordering::SeqCst);
        self.connection.eviction_rank.store(NEVER, Ordering::Relaxed);
    }

    /// The answer is there; it is up to the client to read it.
    pub(super) fn sends_answer(&self) {
        let rank = AFTER_ALL_THAT_WAIT + self.ended.0.next_rank();
        self.connection.eviction_rank.store(rank, Ordering::Relaxed);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.ended.0.open.lock().by_id.remove(&self.connection.id);
        self.ended.0.gauge.dec();
    }
}

impl Drop for TellsOfEnd {
    fn drop(&mut self) {
        self.0.closed.notify_all();
    }
}
