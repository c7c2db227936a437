//! One client's connection, as far as others than its own thread see it.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket};

use crate::http::request::Peer;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// What the client is called in the log.
    pub(super) client: String,
    /// Bytes are held for it.
    pub(super) holds: AtomicBool,
    /// Something that the client has sent is no longer in the socket, and still to be read.
    pub(super) has_unread: AtomicBool,
    pub(super) id: u64,
}

impl Connection {
    pub(super) fn new(socket: Socket, client: String, id: u64) -> Connection {
        Connection { socket, client, holds: AtomicBool::new(false), has_unread: AtomicBool::new(false), id }
    }

    /// Whether TLS is spoken on it, if the server speaks it: on a Unix socket nobody listens in.
    pub(super) fn speaks_tls(&self) -> bool {
        self.socket.domain().is_ok_and(|domain| domain != Domain::UNIX)
    }

    /// Whether the client has done its part, so that it only waits for this connection's thread to go on: it has sent
    /// something (`POLLIN`), or has made room by reading (`POLLOUT`).
    pub(super) fn is_ready(&self, to: PollFlags) -> bool {
        if to == PollFlags::POLLIN && self.has_unread.load(Ordering::Relaxed) {
            return true;
        }
        let mut socket = [PollFd::new(self.socket.as_fd(), to)];
        poll(&mut socket, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl Peer for Connection {
    /// Even if it has sent more before it left, such as the word with which TLS ends.
    fn is_there(&self) -> bool {
        !self.is_ready(PollFlags::from_bits_retain(libc::POLLRDHUP))
    }
}
