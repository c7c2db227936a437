//! One tiny_http server and the private connections over which it is given its requests. All they say is which of the
//! complete requests in the queue is next: the gate has read them, and nothing that a client writes gets here.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::queue::RequestId;

/// The private connections, called pipes. Requests follow each other in a pipe without waiting for answers,
/// which go another way, so a few serve all clients. More than one, so that the threads of two clients seldom
/// want the same.
const PIPES: usize = 4;

/// How long the writing of a request may wait until tiny_http reads. It does so unless every worker is held
/// up, and no handler takes that long.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long tiny_http may take to pass on the first request of a pipe, and how often a pipe is tried: its
/// thread pool may forget a connection that arrives at the wrong moment.
const PROOF_WAIT_MAX: Duration = Duration::from_secs(1);
const PROOFS_MAX: usize = 10;

/// A tiny_http server that is reached by this process alone.
pub(super) struct Engine {
    server: &'static tiny_http::Server,
    /// Begins the path of every request, as a proof that it comes from here.
    secret: String,
    pipes: Vec<Mutex<UnixStream>>,
    /// The pipe that the next one waits for when none is free.
    next_pipe: AtomicUsize,
    stopping: AtomicBool,
}

/// Why a request did not get to tiny_http.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotSent {
    /// No pipe took it in time.
    Busy,
    /// A pipe has failed, and with it the engine.
    Broken,
}

impl Engine {
    /// Starts a server and connects to it. Its listening socket has an abstract name, which needs no file
    /// system, and is closed when this returns: one malformed request kills tiny_http, so no other program of
    /// this machine may reach it, not even for a moment longer than it takes to connect.
    pub(super) fn start() -> io::Result<Engine> {
        let address = SocketAddr::from_abstract_name(format!("inventor-{}", random_text()))?;
        let listener = UnixListener::bind_addr(&address)?;
        let closer = socket2::Socket::from(listener.try_clone()?);
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        // It cannot be dropped: it would look for the file of its socket, find none, and panic.
        let server = Box::leak(Box::new(server));
        let secret = format!("/{}/", random_text());
        let pipes = (0..PIPES).map(|_| open_pipe(server, &address, &secret).map(Mutex::new)).collect::<io::Result<_>>();
        // The accept loop ends with an error, which is the first thing that a worker receives.
        closer.shutdown(Shutdown::Both)?;
        Ok(Engine { server, secret, pipes: pipes?, next_pipe: AtomicUsize::new(0), stopping: AtomicBool::new(false) })
    }

    /// Has a worker receive this id.
    pub(super) fn send(&self, id: RequestId, deadline: Instant) -> Result<(), NotSent> {
        self.write(format!("GET {}{id:x} HTTP/1.1\r\n\r\n", self.secret).as_bytes(), deadline)
    }

    /// Writes to one of the pipes; waits for a free one until the deadline.
    pub(super) fn write(&self, request: &[u8], deadline: Instant) -> Result<(), NotSent> {
        let mut pipe = self.free_pipe(deadline).ok_or(NotSent::Busy)?;
        let mut left = request;
        while !left.is_empty() {
            match pipe.write(left) {
                Ok(written) if written > 0 => left = &left[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A shortage that has not left half a request behind does no harm to the next one.
                Err(error) if left.len() == request.len() && !is_closed(&error) => return Err(NotSent::Busy),
                _ => return Err(NotSent::Broken),
            }
        }
        Ok(())
    }

    fn free_pipe(&self, deadline: Instant) -> Option<MutexGuard<'_, UnixStream>> {
        let free = self.pipes.iter().find_map(Mutex::try_lock);
        free.or_else(|| {
            // Those who wait are spread over the pipes, and each pipe is fair.
            let next = self.next_pipe.fetch_add(1, Ordering::Relaxed) % self.pipes.len();
            self.pipes.get(next)?.try_lock_until(deadline)
        })
    }

    /// The next request for a worker; `None` when it is to end.
    pub(super) fn receive(&self) -> Option<RequestId> {
        loop {
            match self.server.recv() {
                Ok(request) => {
                    let id =
                        request.url().strip_prefix(&self.secret).and_then(|id| RequestId::from_str_radix(id, 16).ok());
                    // Nothing is written to tiny_http: the response goes to the client by a shorter way.
                    drop(request.into_writer());
                    if id.is_some() {
                        return id;
                    }
                }
                Err(_) if self.stopping.load(Ordering::SeqCst) => return None,
                Err(_) => {}
            }
        }
    }

    /// Has this many workers receive `None`, as soon as no more requests wait.
    pub(super) fn stop(&self, workers: usize) {
        self.stopping.store(true, Ordering::SeqCst);
        (0..workers).for_each(|_| self.server.unblock());
    }
}

/// Connects, and sees a request through.
fn open_pipe(server: &tiny_http::Server, address: &SocketAddr, secret: &str) -> io::Result<UnixStream> {
    for _ in 0..PROOFS_MAX {
        let mut pipe = UnixStream::connect_addr(address)?;
        pipe.write_all(format!("GET {secret} HTTP/1.1\r\n\r\n").as_bytes())?;
        if let Some(request) = server.recv_timeout(PROOF_WAIT_MAX)?
            && request.url() == secret
        {
            drop(request.into_writer());
            pipe.set_write_timeout(Some(WRITE_WAIT_MAX))?;
            return Ok(pipe);
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected)
}

/// 128 bits that nobody can guess, as text.
fn random_text() -> String {
    // The keys of these hashers come from the system's source of random numbers.
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
