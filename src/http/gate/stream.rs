//! The bytes of one client, with or without TLS around them. Each read and each write has a time limit.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{HandshakeKind, ServerConnection};
use socket2::Socket;

use super::tls::{Credentials, Tls};

/// How much of an answer is encrypted at a time, in bytes: the cost of a client that does not read, besides its socket.
const ENCRYPTED_BYTES_MAX: usize = 32 * 1024;

/// How much is read to find out whether a client speaks TLS, in bytes: a usual first message.
const FIRST_BYTES: usize = 4096;

/// The header of a record, in bytes: a type, a version, and in the last two the length of the rest (RFC 8446, 5.1).
const HEADER_BYTES: usize = 5;

/// How long a trusted client's certificate is not checked again.
const TRUSTED_FOR: Duration = Duration::from_secs(60);

/// The stream of requests and responses of a connection.
pub(super) struct Stream<'a> {
    socket: TimedSocket<'a>,
    session: Option<Session>,
}

struct Session {
    tls: Box<ServerConnection>,
    /// The records received so far.
    received: Records,
    /// Something has been sent to the client.
    has_answered: bool,
    /// The credentials that last trusted the client, and when.
    trusted: Option<(Arc<Credentials>, Instant)>,
}

/// Why there is no TLS on a connection.
pub(super) enum NoTls {
    /// The client speaks plain HTTP.
    Http,
    /// The handshake failed. The client has been told, if it still listens.
    Failed(io::Error),
}

impl<'a> Stream<'a> {
    pub(super) fn new(socket: &'a Socket) -> Stream<'a> {
        Stream {
            socket: TimedSocket { socket, limit: Duration::ZERO, read_limit: None, write_limit: None },
            session: None,
        }
    }

    /// Begins TLS within `limit`. Calls `greeted` when the client's first message is complete and has been answered.
    pub(super) fn begin_tls(&mut self, tls: &Tls, limit: Duration, greeted: impl FnOnce()) -> Result<(), NoTls> {
        let deadline = Instant::now() + limit;
        let mut bytes = [0; FIRST_BYTES];
        let first = self.socket.within(limit).read(&mut bytes).map_err(NoTls::Failed)?;
        let first = &bytes[..first];
        if first.first().is_some_and(u8::is_ascii_alphabetic) {
            return Err(NoTls::Http);
        }
        let shaken = self.shake_hands(&tls.current(), first, deadline, greeted);
        let outcome = match shaken {
            Ok(HandshakeKind::Resumed) => "resumed",
            Ok(_) => "full",
            Err(_) => "failed",
        };
        tls.handshakes.with_label_values(&[outcome]).inc();
        shaken.map(drop).map_err(NoTls::Failed)
    }

    /// Does the whole handshake, of which `first` has been read.
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

    /// Whether the client has shown a certificate if one is needed. It is checked again, because it may have expired
    /// since, the authorities may have changed, and a resumed session was never asked.
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

    /// Reads available bytes, waiting at most for `limit`. Zero bytes are the end; `None` is a part of a record that
    /// cannot be read yet.
    ///
    /// # Errors
    /// `TimedOut` if nothing came; otherwise an error of the system, or of TLS.
    pub(super) fn read(&mut self, into: &mut [u8], limit: Duration) -> io::Result<Option<usize>> {
        let Some(session) = &mut self.session else { return self.socket.within(limit).read(into).map(Some) };
        let mut read = session.read(into)?;
        if read.is_none() {
            session.receive(&mut self.socket, limit)?;
            read = session.read(into)?;
        }
        Ok(read)
    }

    /// Whether an incomplete record has come.
    pub(super) fn has_part(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.received.end_amid())
    }

    /// Whether there are bytes to be read that the socket no longer has.
    pub(super) fn has_unread(&mut self) -> bool {
        let state = self.session.as_mut().map(|session| session.tls.process_new_packets());
        state.is_some_and(|state| state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0))
    }

    /// Takes some bytes to be written. Waits at most for `limit` until the client has taken a part of the earlier ones;
    /// then it may take none.
    ///
    /// # Errors
    /// `TimedOut` if the client has taken nothing; otherwise an error of the system.
    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.socket.within(limit).write_vectored(slices) };
        let taken = if session.tls.wants_write() { 0 } else { session.tls.writer().write_vectored(slices)? };
        match session.send(&mut self.socket, limit) {
            // The bytes have been taken, even if the client has not.
            Err(error) if error.kind() == ErrorKind::TimedOut && taken > 0 => Ok(taken),
            sent => sent.map(|()| taken),
        }
    }

    /// Whether bytes that were taken must still be written.
    pub(super) fn has_unsent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.tls.wants_write())
    }

    /// Sends the end of TLS: a client that only sees the socket close may think that somebody has cut off the rest.
    pub(super) fn say_end(&mut self, limit: Duration) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.tls.send_close_notify();
        session.send_all(&mut self.socket, limit)
    }

    /// Sends the end and closes this direction.
    pub(super) fn end(&mut self, limit: Duration) -> io::Result<()> {
        self.say_end(limit)?;
        self.socket.socket.shutdown(Shutdown::Write)
    }

    /// Reads and drops some bytes; zero is the end.
    pub(super) fn discard(&mut self, limit: Duration) -> io::Result<usize> {
        self.socket.within(limit).read(&mut [0; 4096])
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

    /// Reads once from the socket, and sends the replies of TLS.
    fn receive(&mut self, socket: &mut TimedSocket<'_>, limit: Duration) -> io::Result<()> {
        let begun = Instant::now();
        let read = self.tls.read_tls(&mut Noted(socket.within(limit), &mut self.received))?;
        if read == 0 && self.tls.is_handshaking() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.process(socket, limit.saturating_sub(begun.elapsed()))
    }

    fn process(&mut self, socket: &mut TimedSocket<'_>, limit: Duration) -> io::Result<()> {
        let processed = self.tls.process_new_packets();
        // An alert goes to the client, too.
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
        self.tls.write_tls(socket.within(limit))?;
        self.has_answered = true;
        Ok(())
    }
}

/// A source of bytes that notes the records in them.
struct Noted<'a, R>(&'a mut R, &'a mut Records);

impl<R: Read> Read for Noted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.pass(&into[..read]);
        Ok(read)
    }
}

/// How far the last record of TLS from a client has come: record boundaries are not encrypted.
#[derive(Default)]
struct Records {
    /// How many bytes of its header have come.
    header: usize,
    /// The last two bytes of the header; once it is complete, how many bytes are still to come.
    rest: u16,
}

impl Records {
    /// Notes these bytes.
    fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, after @ ..] = bytes {
            if self.header < HEADER_BYTES {
                (self.header, self.rest) = (self.header + 1, self.rest << 8 | u16::from(*first));
                bytes = after;
            } else {
                let passed = bytes.len().min(self.rest.into());
                self.rest -= passed as u16;
                bytes = &bytes[passed..];
            }
            if self.header == HEADER_BYTES && self.rest == 0 {
                *self = Records::default();
            }
        }
    }

    /// Whether a record has begun and not ended.
    fn end_amid(&self) -> bool {
        self.header > 0
    }
}

/// A client's socket. The system learns a limit only when it changes, because telling it costs a call.
struct TimedSocket<'a> {
    socket: &'a Socket,
    /// For the next call; a longer one fails as `TimedOut`.
    limit: Duration,
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
}

impl TimedSocket<'_> {
    fn within(&mut self, limit: Duration) -> &mut Self {
        self.limit = limit;
        self
    }
}

impl Read for TimedSocket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        tell(self.limit, &mut self.read_limit, |limit| self.socket.set_read_timeout(limit))?;
        uninterrupted(|| self.socket.read(into))
    }
}

impl Write for TimedSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        tell(self.limit, &mut self.write_limit, |limit| self.socket.set_write_timeout(limit))?;
        match uninterrupted(|| self.socket.write_vectored(slices))? {
            0 => Err(ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells the system the limit of a call, unless it knows it already.
fn tell(
    limit: Duration,
    known: &mut Option<Duration>,
    tell: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    if limit.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    if *known != Some(limit) {
        tell(Some(limit))?;
        *known = Some(limit);
    }
    Ok(())
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The system's way to say that the time is over.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_record_is_known_however_the_bytes_come() {
        let record = |length: u16| {
            let [high, low] = length.to_be_bytes();
            [&[0x17, 3, 3, high, low][..], &vec![0x16; length.into()]].concat()
        };
        let sent = [record(1), record(0), record(300), record(16 * 1024), record(u16::MAX)].concat();
        let ends = [0, 6, 11, 316, 16_705, 82_245];
        for step in [1, 2, 3, 5, 7, 4096, sent.len()] {
            let (mut records, mut passed) = (Records::default(), 0);
            for part in sent.chunks(step) {
                records.pass(part);
                passed += part.len();
                assert_eq!(records.end_amid(), !ends.contains(&passed), "after {passed}, {step} at a time");
            }
            assert_eq!(passed, sent.len());
        }
    }
}
