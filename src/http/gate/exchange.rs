//! The requests and responses of one client's connection, one after the other, from its first byte to its end, in a
//! thread of its own; and the state that these threads share.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use log::debug;

use super::connections::{Admitted, Connections, Stage};
use super::handler::{Found, Handler, Handling, Runs};
use super::held::{HeldBytes, Hold, NoRoom};
use super::limits::{Limits, UPLOAD_STEP_BYTES};
use super::metrics::EdgeMetrics;
use super::proxies::TrustedProxies;
use super::request::{ConnectionField, Incoming, Phase, RequestReader, Step};
use super::response;
use super::stream::{NoTls, Stream};
use super::tls::Tls;
use super::upstream::{Answered, Permit, Upstream};
use crate::http::request::{Request, WayBack};
use crate::http::response::{Body, Errors, Refusal, Response};
use crate::logging::Throttle;
use crate::turns::Turns;

/// How many bytes one read takes. They are on the stack of every connection's thread.
const READ_BYTES: usize = 4 * 1024;

/// Sent to a client that asks whether it may send the body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a draining server waits for a request on a connection that its client thinks is open.
pub(super) const LATE_REQUEST: Duration = Duration::from_millis(500);

const TOO_LARGE: Refusal = Refusal::new(413, "the body is larger than 65536 bytes");
const NO_ROOM: Refusal = Refusal::new(503, "too many large bodies are being received");
const SPEAKS_TLS: Refusal = Refusal::bad("this port speaks TLS: use https://");
const NO_CERTIFICATE: Refusal = Refusal::new(403, "a client certificate is needed here, and none was shown");
const BUSY: Refusal = Refusal::new(503, "the server is busy");
const DECLARING: Refusal = Refusal::new(503, "other large bodies are being handled");
const NO_ROOM_TO_ANSWER: Refusal = Refusal::new(503, "too many clients are reading answers as large as this");
const TOO_SLOW: Refusal = Refusal::new(408, "the request did not arrive in time");

/// The part of the gate that all its threads share.
pub(super) struct Gate<H> {
    pub(super) limits: Limits,
    pub(super) proxies: TrustedProxies,
    pub(super) metrics: EdgeMetrics,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) handling: Arc<Handling<H>>,
    /// For the requests that call the store.
    pub(super) upstream: Arc<Upstream>,
    /// Turns for requests that take time and memory of their own.
    pub(super) questions: Arc<Turns>,
    /// Answers that clients have yet to read, and bodies that they have yet to send.
    pub(super) held: Arc<HeldBytes>,
    pub(super) connections: Arc<Connections>,
    /// Turns for complete large bodies.
    pub(super) large_bodies: Arc<Turns>,
    pub(super) draining: AtomicBool,
    pub(super) refusals: Throttle,
    pub(super) shortages: Throttle,
}

/// Serves a connection until either side ends it.
pub(super) fn run<H: Handler>(gate: &Gate<H>, admitted: &Admitted) {
    let mut exchange = Exchange {
        gate,
        admitted,
        stream: Stream::new(&admitted.connection.socket),
        handshake: None,
        reader: RequestReader::default(),
        found: None,
        upload: None,
        stepped: 0,
    };
    while let Some(outcome) = exchange.read_request().transpose() {
        let goes_on = match outcome {
            Ok(request) => exchange.serve(request),
            Err(rejection) => exchange.reject(rejection).map(|()| false),
        };
        match goes_on {
            Ok(true) => {}
            Ok(false) => {
                // First, because a lingering connection may have to make room, and TLS takes an answer without an end
                // for a broken one.
                let _ = exchange.stream.say_end(gate.limits.lingering_close);
                admitted.enter(Stage::Lingering);
                return response::close_lingering(&mut exchange.stream, gate.limits.lingering_close);
            }
            Err(error) => {
                debug!(client = admitted.connection.client, error:%; "response not sent completely");
                // Data that the system still has for a client that does not read is dropped, not kept for minutes.
                let _ = admitted.connection.socket.set_linger(Some(Duration::ZERO));
                return;
            }
        }
    }
    // The client may have left.
    let _ = exchange.stream.say_end(gate.limits.lingering_close);
}

struct Exchange<'a, H: Handler> {
    gate: &'a Gate<H>,
    admitted: &'a Admitted,
    stream: Stream<'a>,
    /// How much of the time for the first head the TLS handshake took; `None` before it.
    handshake: Option<Duration>,
    reader: RequestReader,
    /// How the handler runs the request that is being read, once it has been asked.
    found: Option<Found<H::Route>>,
    /// The room for its body, if that is large.
    upload: Option<Hold>,
    /// How many bytes of that body have come since the last step.
    stepped: usize,
}

/// Why the gate itself answers a request. The connection ends with it.
enum Rejection {
    /// It breaks a rule of HTTP or a limit.
    Refused(Refusal),
    /// The handler does not want its large body.
    Unwanted(Response),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Rejection {
        Rejection::Refused(refusal)
    }
}

impl<H: Handler> Exchange<'_, H> {
    /// The next complete request; `None` if the client has left, or sends none in time.
    fn read_request(&mut self) -> Result<Option<Incoming>, Rejection> {
        if self.handshake.is_none() && !self.begin_tls()? {
            return Ok(None);
        }
        let mut phase = Phase::Idle;
        let mut since = Instant::now();
        loop {
            let next = match self.reader.step()? {
                Step::Request(request) => return Ok(Some(request)),
                Step::Continue if self.tell_to_continue().is_err() => return Ok(None),
                Step::Continue => continue,
                Step::LargeBody { request } => {
                    self.allow_large_body(request)?;
                    continue;
                }
                // A part of a TLS record is a part of a request.
                Step::Read(Phase::Idle) if self.stream.has_part() => Phase::Head,
                Step::Read(next) => next,
            };
            let has_changed = next != phase;
            if has_changed {
                if phase == Phase::Idle && next != Phase::LargeBody {
                    self.admitted.enter(Stage::Sending);
                }
                (phase, since) = (next, Instant::now());
            }
            let limit = self.limit(phase);
            // A new phase has its whole limit, so that the usual read needs no new setting.
            let left = if has_changed || phase == Phase::Idle { limit } else { limit.saturating_sub(since.elapsed()) };
            if !self.read(phase, left)? {
                return Ok(None);
            }
        }
    }

    /// Begins TLS if it is spoken here; `false` if that failed.
    fn begin_tls(&mut self) -> Result<bool, Refusal> {
        let Some(tls) = self.gate.tls.as_ref().filter(|_| self.admitted.connection.speaks_tls()) else {
            return Ok(true);
        };
        let begun = Instant::now();
        self.admitted.enter(Stage::Handshaking);
        // From here on the connection is treated as one without TLS.
        let greeted = || {
            self.admitted.enter(Stage::Idle);
        };
        match self.stream.begin_tls(tls, self.gate.limits.head, greeted) {
            Ok(()) => {
                self.handshake = Some(begun.elapsed());
                self.admitted.connection.has_unread.store(self.stream.has_unread(), Ordering::Relaxed);
                Ok(true)
            }
            Err(NoTls::Http) => Err(SPEAKS_TLS),
            Err(NoTls::Failed(error)) => {
                debug!(client = self.admitted.connection.client, error:%; "no TLS handshake");
                self.admitted.enter(Stage::Lingering);
                response::close_lingering(&mut self.stream, self.gate.limits.lingering_close);
                Ok(false)
            }
        }
    }

    /// Whether this request needs a certificate that the client has not shown.
    fn lacks_certificate(&mut self, found: Found<H::Route>) -> bool {
        let tls = self.gate.tls.as_ref().filter(|_| !found.is_probe);
        tls.is_some_and(|tls| !self.stream.is_trusted(tls))
    }

    /// Reads some bytes; `false` at the end.
    fn read(&mut self, phase: Phase, limit: Duration) -> Result<bool, Refusal> {
        let mut bytes = [0; READ_BYTES];
        let read = self.stream.read(&mut bytes, limit);
        self.admitted.connection.has_unread.store(self.stream.has_unread(), Ordering::Relaxed);
        match read {
            Ok(Some(0)) => Ok(false),
            Ok(None) => Ok(true),
            Ok(Some(read)) => {
                self.gate.metrics.received_bytes.inc_by(read as u64);
                if phase == Phase::LargeBody {
                    self.step(read);
                }
                self.reader.push(&bytes[..read])?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut && phase != Phase::Idle => Err(TOO_SLOW),
            Err(_) => Ok(false),
        }
    }

    fn step(&mut self, read: usize) {
        self.stepped += read;
        if self.stepped >= UPLOAD_STEP_BYTES {
            self.admitted.enter(Stage::Uploading);
            self.stepped = 0;
        }
    }

    fn client(&self, request: &Request) -> String {
        self.gate.proxies.client(&self.admitted.connection.client, request)
    }

    fn tell_to_continue(&mut self) -> io::Result<()> {
        self.stream.write_vectored(&[IoSlice::new(CONTINUE)], self.gate.limits.stalled).map(drop)
    }

    /// Asks the handler whether this request may bring a large body.
    fn allow_large_body(&mut self, mut request: Request) -> Result<(), Rejection> {
        request.client = self.client(&request);
        let found = *self.found.insert(self.gate.handling.handler.find(&request));
        if !found.takes_large_bodies {
            return Err(TOO_LARGE.into());
        }
        if self.lacks_certificate(found) {
            return Err(NO_CERTIFICATE.into());
        }
        self.gate.handling.handler.admit(found.route, &request).map_err(Rejection::Unwanted)?;
        let make_room = || self.gate.connections.evict_holder();
        let upload = self.gate.held.upload(self.reader.large_body_bytes(), make_room);
        (self.upload, self.stepped) = (Some(upload.map_err(|NoRoom| NO_ROOM)?), 0);
        self.admitted.enter(Stage::Uploading);
        self.admitted.connection.holds.store(true, Ordering::Relaxed);
        Ok(self.reader.allow_large_body()?)
    }

    fn limit(&self, phase: Phase) -> Duration {
        let limits = &self.gate.limits;
        match phase {
            // The client has just connected, or has just learned that the connection goes on.
            Phase::Idle if self.gate.drains() => LATE_REQUEST,
            Phase::Idle => limits.idle,
            // The handshake is part of the first head.
            Phase::Head => limits.head.saturating_sub(self.handshake.unwrap_or_default()),
            Phase::Body => limits.body,
            Phase::LargeBody => limits.large_body,
        }
    }

    /// Has a request answered and sends the answer. Returns whether the connection goes on.
    fn serve(&mut self, incoming: Incoming) -> io::Result<bool> {
        let begun = Instant::now();
        let Incoming { mut request, mut connection } = incoming;
        let is_head = request.method == "HEAD";
        request.client = self.client(&request);
        request.way_back = WayBack(Some(self.admitted.connection.clone()));
        let found = self.found.take().unwrap_or_else(|| self.gate.handling.handler.find(&request));
        // An immediate answer counts as being sent, which saves a stage.
        let is_at_once = found.runs == Runs::AtOnce;
        if !self.admitted.enter(if is_at_once { Stage::Reading } else { Stage::Answering }) {
            return Ok(false);
        }
        self.handshake = Some(Duration::ZERO);
        let upload = self.upload.take();
        let answer = match self.lacks_certificate(found) {
            true => Err(NO_CERTIFICATE),
            false => self.gate.answer(found, request, upload),
        };
        let Answered { response, hold, handled_in } = answer.unwrap_or_else(|refusal| {
            self.gate.metrics.bad_request(refusal.status);
            Answered { response: refusal.answer(found.errors), hold: None, handled_in: Duration::ZERO }
        });
        self.admitted.connection.holds.store(hold.is_some(), Ordering::Relaxed);
        if self.gate.drains() {
            connection = ConnectionField::Close;
        }
        let keep = connection != ConnectionField::Close;
        if !is_at_once {
            self.admitted.enter(Stage::Reading);
        }
        self.send(&response, connection, is_head)?;
        drop((response, hold));
        let in_edge = begun.elapsed().saturating_sub(handled_in);
        self.gate.metrics.edge_seconds.observe(in_edge.as_secs_f64());
        if keep {
            self.admitted.enter(Stage::Idle);
        }
        Ok(keep)
    }

    fn send(&mut self, response: &Response, connection: ConnectionField, is_head: bool) -> io::Result<()> {
        let head = response::head(response, connection, SystemTime::now());
        let nothing = Body::default();
        let body = if is_head || response.has_no_content() { &nothing } else { &response.body };
        let note_progress = || {
            self.admitted.enter(Stage::Reading);
        };
        response::write(&mut self.stream, &head, body, &self.gate.limits, note_progress)?;
        self.gate.metrics.sent_bytes.inc_by((head.len() + body.len()) as u64);
        Ok(())
    }

    /// The form for refusing the request that is being read: that of its path, if that is known.
    fn errors(&self) -> Errors {
        let found = self.found.or_else(|| Some(self.gate.handling.handler.find(&self.reader.begun()?)));
        found.map_or(Errors::Text, |found| found.errors)
    }

    fn reject(&mut self, rejection: Rejection) -> io::Result<()> {
        let (response, reason) = match rejection {
            Rejection::Refused(refusal) => (refusal.answer(self.errors()), refusal.reason),
            Rejection::Unwanted(response) => (response, "the body is larger than 65536 bytes"),
        };
        self.gate.metrics.bad_request(response.status);
        if let Some(events) = self.gate.refusals.admit() {
            let peer = || self.admitted.connection.client.clone();
            let client = self.reader.begun().map_or_else(peer, |request| self.client(&request));
            debug!(client, status = response.status, reason, events; "request refused");
        }
        self.admitted.enter(Stage::Reading);
        self.send(&response, ConnectionField::Close, false)
    }
}

impl<H: Handler> Gate<H> {
    pub(super) fn drains(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Has a request answered, here or by a worker. `hold` is the room for a large body.
    pub(super) fn answer(
        &self,
        found: Found<H::Route>,
        request: Request,
        hold: Option<Hold>,
    ) -> Result<Answered, Refusal> {
        self.metrics.in_flight.inc();
        let answered = match found.runs {
            Runs::AtOnce => self.hold(self.handle(found, &request)),
            Runs::InTurn => match self.questions.take(self.limits.question_wait) {
                // The turn ends only after the answer is counted.
                Some(_turn) => self.hold(self.handle(found, &request)),
                None => Err(BUSY),
            },
            Runs::ByWorker => match self.handling.handler.admit(found.route, &request) {
                Ok(()) => self.answer_by_worker(request, hold).and_then(|answered| self.hold(answered)),
                Err(response) => Ok(Answered { response, hold: None, handled_in: Duration::ZERO }),
            },
        };
        self.metrics.in_flight.dec();
        answered
    }

    fn answer_by_worker(&self, request: Request, hold: Option<Hold>) -> Result<Answered, Refusal> {
        let Some(hold) = hold else { return self.upstream.answer(request, None) };
        let turn = self.large_bodies.take(self.limits.answer).ok_or(DECLARING)?;
        self.upstream.answer(request, Some(Permit { _hold: hold, _turn: turn }))
    }

    fn handle(&self, found: Found<H::Route>, request: &Request) -> Answered {
        let begun = Instant::now();
        let response = self.handling.handle_found(found, request);
        Answered { response, hold: None, handled_in: begun.elapsed() }
    }

    /// Counts an answer as held for its client. This ends the turn in which the answer was made.
    fn hold(&self, mut answered: Answered) -> Result<Answered, Refusal> {
        let hold = self.held.answer(&mut answered.response.body, || self.connections.evict_holder());
        answered.response.turn = None;
        Ok(Answered { hold: hold.map_err(|NoRoom| NO_ROOM_TO_ANSWER)?, ..answered })
    }
}
