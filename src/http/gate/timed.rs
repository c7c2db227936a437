//! A client's socket, each read and write of which has a time limit.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::time::Duration;

use socket2::Socket;

/// Remembers which limits the system has been told, because they seldom change and telling them costs a call.
pub(super) struct TimedSocket<'a> {
    socket: &'a Socket,
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
}

impl<'a> TimedSocket<'a> {
    pub(super) fn new(socket: &'a Socket) -> TimedSocket<'a> {
        TimedSocket { socket, read_limit: None, write_limit: None }
    }

    /// Reads what is there, waiting no longer than `limit`.
    ///
    /// # Errors
    /// `TimedOut` when nothing came; otherwise what the system says.
    pub(super) fn read(&mut self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        if limit.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        if self.read_limit != Some(limit) {
            self.socket.set_read_timeout(Some(limit))?;
            self.read_limit = Some(limit);
        }
        uninterrupted(|| self.socket.read(into))
    }

    /// Writes some of it, waiting no longer than `limit`.
    ///
    /// # Errors
    /// `TimedOut` when nothing could be written; otherwise what the system says.
    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        if limit.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        if self.write_limit != Some(limit) {
            self.socket.set_write_timeout(Some(limit))?;
            self.write_limit = Some(limit);
        }
        uninterrupted(|| self.socket.write_vectored(slices)).and_then(|written| match written {
            0 => Err(ErrorKind::WriteZero.into()),
            written => Ok(written),
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        self.socket
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // This is how the system says that the time is over.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            result => return result,
        }
    }
}
