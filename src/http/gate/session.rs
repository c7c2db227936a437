//! One client's connection from its first request to its end; runs in a thread of its own.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use log::debug;

use super::connections::Admitted;
use super::request::{Incoming, Phase, Refusal, RequestReader, Step};
use super::response::{self, ConnectionField};
use super::timed::TimedSocket;
use super::{Answered, Gate};

/// How many bytes one read takes. It stands on the stack of every connection's thread.
const READ_BYTES: usize = 4 * 1024;

/// What goes to a client that asks whether it may send the body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a client may take, when the server drains, to send a request on a connection that it thinks is open.
pub(super) const LATE_REQUEST: Duration = Duration::from_millis(500);

/// Serves a connection until either side ends it.
pub(super) fn run(gate: &Gate, admitted: &Admitted) {
    let socket = TimedSocket::new(&admitted.connection.socket);
    let mut session = Session { gate, admitted, socket, reader: RequestReader::default(), requests: 0 };
    loop {
        match session.next_request() {
            Ok(Some(request)) => match session.serve(&request) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    debug!(client = admitted.connection.client, error:%; "response cut off");
                    return;
                }
            },
            Ok(None) => return,
            Err(refusal) => {
                session.refuse(refusal);
                break;
            }
        }
    }
    response::farewell(&mut session.socket, gate.limits.farewell);
}

struct Session<'a> {
    gate: &'a Gate,
    admitted: &'a Admitted,
    socket: TimedSocket<'a>,
    reader: RequestReader,
    requests: u64,
}

impl Session<'_> {
    /// The next complete request; `None` when the client has gone, or has none in time.
    fn next_request(&mut self) -> Result<Option<Incoming>, Refusal> {
        let mut phase = Phase::Idle;
        let mut since = Instant::now();
        let mut read = [0; READ_BYTES];
        loop {
            let next = match self.reader.step()? {
                Step::Request(request) => return Ok(Some(request)),
                Step::Continue => {
                    if self.socket.write_vectored(&[io::IoSlice::new(CONTINUE)], self.gate.limits.response).is_err() {
                        return Ok(None);
                    }
                    continue;
                }
                Step::Read(next) => next,
            };
            let changed = next != phase;
            if changed {
                (phase, since) = (next, Instant::now());
                self.admitted.begins_request();
            }
            let Some(limit) = self.limit(phase) else { return Ok(None) };
            // A phase that begins has its whole limit, so that the usual read needs no new setting.
            let left = if changed || phase == Phase::Idle { limit } else { limit.saturating_sub(since.elapsed()) };
            match self.socket.read(&mut read, left) {
                Ok(0) => return Ok(None),
                Ok(bytes) => {
                    self.gate.metrics.received_bytes.inc_by(bytes as u64);
                    self.reader.push(&read[..bytes])?;
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut && phase != Phase::Idle => {
                    return Err(Refusal { status: 408, reason: "the request did not come in time" });
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// How long to wait for bytes; `None` when this connection is not to have another request.
    fn limit(&self, phase: Phase) -> Option<Duration> {
        let limits = &self.gate.limits;
        match phase {
            Phase::Idle if !self.gate.drains() => Some(limits.idle),
            // The drain ends what was idle at its begin; this came later.
            Phase::Idle => (self.requests == 0).then_some(LATE_REQUEST),
            Phase::Head => Some(limits.head),
            Phase::Body => Some(limits.body),
        }
    }

    /// Has a request answered and sends the answer. Whether the connection goes on.
    fn serve(&mut self, request: &Incoming) -> io::Result<bool> {
        if !self.admitted.owes_answer() {
            return Ok(false);
        }
        self.requests += 1;
        let begun = Instant::now();
        let answer = self.gate.backend.answer(request, &self.admitted.connection.client);
        let Answered { response, handled_in } = match answer {
            Ok(answered) => answered,
            Err(refusal) => {
                self.gate.metrics.bad_request(refusal.status);
                Answered { response: response::refusal(refusal), handled_in: Duration::ZERO }
            }
        };
        let keep = request.keep_alive && !self.gate.drains();
        let connection = match keep {
            true if request.http_1_0 => ConnectionField::KeepAlive,
            true => ConnectionField::Unsaid,
            false => ConnectionField::Close,
        };
        self.send(&response, connection, request.is_head)?;
        let in_edge = begun.elapsed().saturating_sub(handled_in);
        self.gate.metrics.edge_seconds.observe(in_edge.as_secs_f64());
        self.admitted.waits_for_request();
        Ok(keep)
    }

    fn send(&mut self, response: &crate::http::Response, connection: ConnectionField, is_head: bool) -> io::Result<()> {
        self.admitted.sends_answer();
        let head = response::head(response, connection, SystemTime::now());
        let nothing = crate::http::Body::default();
        let body = if is_head || response::has_no_content(response.status) { &nothing } else { &response.body };
        response::write(&mut self.socket, &head, body, self.gate.limits.response_time(body.len()))?;
        self.gate.metrics.sent_bytes.inc_by((head.len() + body.len()) as u64);
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.gate.metrics.bad_request(refusal.status);
        if let Some(events) = self.gate.refusals.events() {
            let client = &self.admitted.connection.client;
            debug!(client, status = refusal.status, reason = refusal.reason, events; "request refused");
        }
        // A client that is refused may be gone, or may not read; then there is nobody to tell.
        let _ = self.send(&response::refusal(refusal), ConnectionField::Close, false);
    }
}
