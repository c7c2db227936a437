//! The bytes of one client, with or without TLS around them. Each read and each write has a time limit.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{HandshakeKind, ServerConnection};

use super::timed::TimedSocket;
use super::tls::records::Records;
use super::tls::{Credentials, Outcome, Tls};

/// How much of an answer is encrypted at a time, in bytes: what a client that does not read costs beside its socket.
const ENCRYPTED_BYTES_MAX: usize = 32 * 1024;

/// How much is read before it is known whether a client speaks TLS, in bytes: a usual first message.
const FIRST_BYTES: usize = 4096;

/// How long a client's certificate is not looked at again.
const TRUSTED_FOR: Duration = Duration::from_secs(60);

/// What carries the requests and the responses of a connection.
pub(super) struct Stream<'a> {
    socket: TimedSocket<'a>,
    session: Option<Session>,
}

/// TLS on a connection.
struct Session {
    tls: Box<ServerConnection>,
    /// What has come so far.
    received: Records,
    /// The client has been sent something.
    has_answered: bool,
    /// Who trusted the client last, and when.
    trusted: Option<(Arc<Credentials>, Instant)>,
}

/// Why there is no TLS on a connection.
pub(super) enum NoTls {
    /// The client speaks HTTP without it.
    Http,
    /// The client did not get through the handshake, and has been told if it still listens.
    Failed(io::Error),
}

impl<'a> Stream<'a> {
    pub(super) fn new(socket: TimedSocket<'a>) -> Stream<'a> {
        Stream { socket, session: None }
    }

    /// Puts TLS around what follows, within `limit`. When the client's first message is complete and has been answered,
    /// `greeted` is called.
    pub(super) fn begin_tls(&mut self, tls: &Tls, limit: Duration, greeted: impl FnOnce()) -> Result<(), NoTls> {
        let deadline = Instant::now() + limit;
        let mut bytes = [0; FIRST_BYTES];
        let first = self.socket.read(&mut bytes, limit).map_err(NoTls::Failed)?;
        let first = &bytes[..first];
        if first.first().is_some_and(u8::is_ascii_alphabetic) {
            return Err(NoTls::Http);
        }
        let shaken = self.shake_hands(&tls.current(), first, deadline, greeted);
        tls.count(match shaken {
            Ok(HandshakeKind::Resumed) => Outcome::Resumed,
            Ok(_) => Outcome::Full,
            Err(_) => Outcome::Failed,
        });
        shaken.map(drop).map_err(NoTls::Failed)
    }

    /// The whole handshake, which begins with these bytes.
    fn shake_hands(
        &mut self,
        credentials: &Credentials,
        mut first: &[u8],
        deadline: Instant,
        greeted: impl FnOnce(),
    ) -> io::Result<HandshakeKind> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut tls = credentials.session()?;
        tls.set_buffer_limit(Some(ENCRYPTED_BYTES_MAX));
        let session = self.session.insert(Session::new(tls));
        while !first.is_empty() {
            session.tls.read_tls(&mut Noted(&mut first, &mut session.received))?;
            session.process(&mut self.socket, left())?;
        }
        while !session.has_answered {
            session.receive(&mut self.socket, left())?;
        }
        greeted();
        while session.tls.is_handshaking() {
            session.receive(&mut self.socket, left())?;
        }
        Ok(session.tls.handshake_kind().unwrap_or(HandshakeKind::Full))
    }

    /// Whether the client has shown the certificate that it needs, if it needs one. It may have expired since, the
    /// authorities may be others, and a session that goes on from an earlier one was never asked.
    pub(super) fn is_trusted(&mut self, tls: &Tls) -> bool {
        let Some(session) = &mut self.session else { return true };
        let (current, now) = (tls.current(), Instant::now());
        let is_fresh = |(by, at): &(Arc<Credentials>, Instant)| {
            Arc::ptr_eq(by, &current) && now.saturating_duration_since(*at) < TRUSTED_FOR
        };
        if !session.trusted.as_ref().is_some_and(is_fresh) {
            session.trusted = current.trust(&session.tls).then_some((current, now));
        }
        session.trusted.is_some()
    }

    /// Reads what is there, waiting no longer than `limit`. Nothing read is the end, and `None` is a part of something
    /// that cannot be read yet.
    ///
    /// # Errors
    /// `TimedOut` when nothing came; otherwise what the system says, or what is wrong with what came.
    pub(super) fn read(&mut self, into: &mut [u8], limit: Duration) -> io::Result<Option<usize>> {
        let Some(session) = &mut self.session else { return self.socket.read(into, limit).map(Some) };
        let mut read = session.read(into)?;
        if read.is_none() {
            session.receive(&mut self.socket, limit)?;
            read = session.read(into)?;
        }
        Ok(read)
    }

    /// Whether a part of something has come that can only be read when more of it is there.
    pub(super) fn has_part(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.received.end_amid())
    }

    /// Whether there is something to be read that the socket no longer has.
    pub(super) fn has_unread(&mut self) -> bool {
        let state = self.session.as_mut().map(|session| session.tls.process_new_packets());
        state.is_some_and(|state| state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0))
    }

    /// Takes some of it to be written, waiting no longer than `limit` for the client to take a part of what was taken
    /// before: that is what nothing taken means.
    ///
    /// # Errors
    /// `TimedOut` when the client has taken nothing; otherwise what the system says.
    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.socket.write_vectored(slices, limit) };
        let taken = if session.tls.wants_write() { 0 } else { session.tls.writer().write_vectored(slices)? };
        match session.send(&mut self.socket, limit) {
            // It has been taken, whoever waits for the client.
            Err(error) if error.kind() == ErrorKind::TimedOut && taken > 0 => Ok(taken),
            sent => sent.map(|()| taken),
        }
    }

    /// Whether something that was taken has still to be written.
    pub(super) fn has_unsent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.tls.wants_write())
    }

    /// Says that nothing follows, in the words of TLS: whoever only sees the socket close may think that somebody else
    /// has cut off what was still to come.
    ///
    /// # Errors
    /// When nobody is there to hear it.
    pub(super) fn say_end(&mut self, limit: Duration) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.tls.send_close_notify();
        session.send_all(&mut self.socket, limit)
    }

    /// Says that nothing follows, and closes this direction.
    ///
    /// # Errors
    /// When nobody is there to hear it.
    pub(super) fn end(&mut self, limit: Duration) -> io::Result<()> {
        self.say_end(limit)?;
        self.socket.socket().shutdown(Shutdown::Write)
    }

    /// Throws away some of what still comes; nothing is the end.
    ///
    /// # Errors
    /// `TimedOut` when nothing came; otherwise what the system says.
    pub(super) fn discard(&mut self, limit: Duration) -> io::Result<usize> {
        self.socket.read(&mut [0; 4096], limit)
    }
}

impl Session {
    fn new(tls: ServerConnection) -> Session {
        Session { tls: Box::new(tls), received: Records::default(), has_answered: false, trusted: None }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.tls.reader().read(into) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads once from the socket, and answers what has to be answered on the way.
    fn receive(&mut self, socket: &mut TimedSocket<'_>, limit: Duration) -> io::Result<()> {
        let begun = Instant::now();
        let read = self.tls.read_tls(&mut Noted(&mut Timed(socket, limit), &mut self.received))?;
        if read == 0 && self.tls.is_handshaking() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.process(socket, limit.saturating_sub(begun.elapsed()))
    }

    fn process(&mut self, socket: &mut TimedSocket<'_>, limit: Duration) -> io::Result<()> {
        let processed = self.tls.process_new_packets();
        // What is wrong goes to the client too.
        let sent = self.send_all(socket, limit);
        processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        sent
    }

    fn send_all(&mut self, socket: &mut TimedSocket<'_>, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        while self.tls.wants_write() {
            self.send(socket, deadline.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Writes once to the socket.
    fn send(&mut self, socket: &mut TimedSocket<'_>, limit: Duration) -> io::Result<()> {
        self.tls.write_tls(&mut Timed(socket, limit))?;
        self.has_answered = true;
        Ok(())
    }
}

/// A source of bytes of which is noted where they end.
struct Noted<'a, R>(&'a mut R, &'a mut Records);

impl<R: Read> Read for Noted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.pass(&into[..read]);
        Ok(read)
    }
}

/// A socket with the limit for the next call.
struct Timed<'a, 'b>(&'a mut TimedSocket<'b>, Duration);

impl Read for Timed<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into, self.1)
    }
}

impl Write for Timed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_vectored(&[IoSlice::new(bytes)], self.1)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices, self.1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
