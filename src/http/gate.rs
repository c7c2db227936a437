//! The gate owns the public sockets and all connections, and lets only complete, bounded, normalised requests through.
//! Requests that need no store are answered in the thread of their connection; the gate passes the others on to the
//! workers. `server` knows the gate; the gate knows neither `server` nor routes nor tokens.

mod chunks;
mod connections;
mod exchange;
mod forwarded;
mod handler;
mod head;
mod held;
pub mod limits;
mod listener;
mod metrics;
mod proxies;
pub mod request;
mod response;
mod stream;
pub mod tls;
mod upstream;

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::warn;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use crate::logging::Throttle;
use crate::turns::Turns;
use connections::Connections;
use exchange::Gate;
use held::HeldBytes;
use limits::{LARGE_BODIES_MAX, Limits, STACK_BYTES};

pub(super) use forwarded::{CLIENT_FIELD, unescape};
pub use handler::{Found, Handler, Handling, Runs};
pub(super) use listener::Listener;
pub use listener::{BindError, Listen};
pub use metrics::EdgeMetrics;
pub use proxies::TrustedProxies;
use tls::Tls;
pub use upstream::{Line, OpenLines, Upstream};

/// How long the accept loop waits for a connection to end when the system has no descriptor left.
const SHORTAGE_WAIT: Duration = Duration::from_millis(20);

/// How long the accept loop waits for new connections, in ms, while an accepted one lacks a thread: after that, other
/// connections can make room.
const WHILE_SHORT_MS: u8 = connections::SPARED_FOR.as_millis() as u8;

#[derive(Debug)]
pub struct ServerSettings {
    pub listen: Vec<Listen>,
    /// How many requests call the store at the same time; at least one.
    pub workers: usize,
    /// The most clients connected at a time; fewer if the system allows too few descriptors.
    pub connections_max: usize,
    /// The proxies that are believed when they name the client of a request.
    pub proxies: TrustedProxies,
    pub limits: Limits,
    /// Set if TCP clients have to speak TLS.
    pub tls: Option<Arc<Tls>>,
}

pub struct Running<H> {
    gate: Arc<Gate<H>>,
    /// Dropped to end the accept loop.
    wake: UnixStream,
    accepting: JoinHandle<()>,
}

impl<H: Handler> Running<H> {
    /// Opens the gate: connections are accepted from now on.
    pub(super) fn open(
        listeners: Vec<Listener>,
        settings: ServerSettings,
        metrics: EdgeMetrics,
        handling: Arc<Handling<H>>,
        upstream: Upstream,
    ) -> io::Result<Running<H>> {
        let ServerSettings { connections_max, proxies, limits, tls, .. } = settings;
        let (wake, woken) = UnixStream::pair()?;
        let gate = Arc::new(Gate {
            connections: Arc::new(Connections::new(connections_max, metrics.clone())),
            questions: Turns::new(limits.questions),
            held: HeldBytes::new(limits.held_bytes, metrics.held_bytes.clone()),
            proxies,
            limits,
            tls,
            metrics,
            handling,
            upstream: Arc::new(upstream),
            large_bodies: Turns::new(LARGE_BODIES_MAX),
            draining: AtomicBool::new(false),
            refusals: Throttle::default(),
            shortages: Throttle::default(),
        });
        let shared = Arc::clone(&gate);
        let accepting = thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || shared.accept_until_woken(&listeners, &woken))?;
        Ok(Running { gate, wake, accepting })
    }

    #[cfg(test)]
    pub(super) fn upstream(&self) -> &Upstream {
        &self.gate.upstream
    }

    /// Shuts down: accepts no new connections, finishes the requests under way, closes idle connections and ends all
    /// threads. After `limit`, cuts off the rest.
    pub fn drain(self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let Running { gate, wake, accepting } = self;
        gate.draining.store(true, Ordering::SeqCst);
        drop(wake);
        // A panic there tells nothing that matters now.
        let _ = accepting.join();
        gate.connections.end_idle_after(exchange::LATE_REQUEST);
        gate.connections.close(deadline);
        gate.upstream.close(deadline);
    }
}

impl<H: Handler> Gate<H> {
    /// The accept loop. No error ends it: a shortage passes.
    fn accept_until_woken(self: &Arc<Gate<H>>, listeners: &[Listener], woken: &UnixStream) {
        while !self.drains() {
            let mut ready: Vec<PollFd<'_>> =
                listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)).collect();
            ready.push(PollFd::new(woken.as_fd(), PollFlags::POLLIN));
            let wait = if self.connections.make_room() { WHILE_SHORT_MS.into() } else { PollTimeout::NONE };
            if let Err(error) = poll(&mut ready, wait) {
                self.shortage("poll", &error.into());
                continue;
            }
            let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
            for (listener, _) in listeners.iter().zip(&ready).filter(|(_, fd)| is_ready(fd)) {
                self.accept_waiting(listener);
            }
        }
        // Clients that connected before the end are still served.
        for listener in listeners {
            self.accept_waiting(listener);
        }
    }

    fn accept_waiting(self: &Arc<Gate<H>>, listener: &Listener) {
        for _ in 0..limits::BACKLOG {
            match listener.accept() {
                Ok((socket, client)) => self.admit(socket, client),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    // The client has left meanwhile.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
                    _ => {
                        self.shortage("accept", &error);
                        return;
                    }
                },
            }
        }
    }

    /// Finds a thread for a new connection, if necessary at the cost of another connection.
    fn admit(self: &Arc<Gate<H>>, socket: Socket, client: String) {
        if self.connections.arrive(socket, client)
            && let Err(error) = self.start_thread()
        {
            self.connections.thread_failed();
            self.tell_of_shortage("thread", &error);
        }
    }

    fn start_thread(self: &Arc<Gate<H>>) -> io::Result<()> {
        let gate = Arc::clone(self);
        thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            while let Some(admitted) = gate.connections.next() {
                // A panic costs one connection, and has been logged.
                let _ = catch_unwind(AssertUnwindSafe(|| exchange::run(&gate, &admitted)));
            }
        })?;
        Ok(())
    }

    /// The system lacks a resource: evicts the connection that has waited for longest.
    fn shortage(&self, what: &str, error: &io::Error) {
        self.tell_of_shortage(what, error);
        self.connections.evict_one();
        self.connections.wait_for_an_end(SHORTAGE_WAIT);
    }

    fn tell_of_shortage(&self, what: &str, error: &io::Error) {
        if let Some(events) = self.shortages.admit() {
            let open = self.connections.len();
            warn!(what, error:%, connections = open, events; "out of resources, closing an idle connection to make room");
        }
    }
}
