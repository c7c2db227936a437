//! The worker pool: takes requests from tiny_http, has them handled, and leaves each response where the thread
//! of the client's connection waits for it.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use log::error;
use parking_lot::{Condvar, Mutex, RwLock};

use super::Handler;
use super::engine::{Engine, NotSent, secret};
use crate::http::gate::limits::{BODY_BYTES_MAX, Limits};
use crate::http::gate::request::{Incoming, Refusal};
use crate::http::gate::{Answered, Backend, EdgeMetrics, Throttle, unescape};
use crate::http::{Request, Response};

/// The field in which the gate tells the workers whose request this is. Always the last one, so what a client
/// writes under this name means nothing.
const TICKET_FIELD: &str = "x-inventor-ticket";

/// The workers and what they share with the threads of the connections.
pub(super) struct Workers {
    pub(super) engine: RwLock<Arc<Engine>>,
    count: usize,
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    handler: Arc<Handler>,
    /// Requests that may wait for the store, and their share of the workers.
    patient: Patient,
    limits: Limits,
    metrics: EdgeMetrics,
    /// Proves to a worker that a request comes from the gate.
    secret: String,
    /// What waits for a worker.
    queue: Mutex<Queue>,
    /// How many worker threads there are.
    pub(super) running: Mutex<usize>,
    ended: Condvar,
    panics: Throttle,
}

#[derive(Default)]
struct Queue {
    slots: HashMap<u64, Arc<Slot>>,
    last_id: u64,
}

/// Requests whose handler may wait. They never take all workers, so that a slow store delays nobody else.
struct Patient {
    may_wait: fn(&Request) -> bool,
    /// How many of them are handled at the same time.
    running_max: usize,
    turns: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    running: usize,
    /// Set aside until one of the running ones ends. They have slots in the queue, which bounds their number.
    set_aside: VecDeque<(u64, Request)>,
}

/// Where the answer to one request is left.
#[derive(Default)]
struct Slot {
    answer: Mutex<Option<Result<Answered, Refusal>>>,
    filled: Condvar,
}

impl Slot {
    fn fill(&self, answer: Result<Answered, Refusal>) {
        *self.answer.lock() = Some(answer);
        self.filled.notify_one();
    }

    fn wait(&self, deadline: Instant) -> Option<Result<Answered, Refusal>> {
        let mut answer = self.answer.lock();
        self.filled.wait_while_until(&mut answer, |answer| answer.is_none(), deadline);
        answer.take()
    }
}

/// The share of the workers that may wait for the store at the same time: two of three.
const PATIENT_SHARE: (usize, usize) = (2, 3);

const BUSY: Refusal = Refusal { status: 503, reason: "the server is busy" };
const NO_ANSWER: Refusal = Refusal { status: 503, reason: "there was no answer in time" };

impl Workers {
    pub(super) fn start(
        count: usize,
        handler: Arc<Handler>,
        may_wait: fn(&Request) -> bool,
        limits: Limits,
        metrics: EdgeMetrics,
    ) -> io::Result<Workers> {
        let running_max = (count * PATIENT_SHARE.0 / PATIENT_SHARE.1).max(1);
        let shared = Arc::new(Shared {
            handler,
            patient: Patient { may_wait, running_max, turns: Mutex::default() },
            limits,
            metrics,
            secret: secret(),
            queue: Mutex::default(),
            running: Mutex::new(0),
            ended: Condvar::new(),
            panics: Throttle::default(),
        });
        let engine = start_engine(count, &shared)?;
        Ok(Workers { engine: RwLock::new(engine), count, shared })
    }

    /// Ends the workers when nothing is left to do; those that are held up at the deadline are left behind.
    pub(super) fn stop(&self, deadline: Instant) {
        self.engine.read().stop(self.count);
        let mut running = self.shared.running.lock();
        self.shared.ended.wait_while_until(&mut running, |running| *running > 0, deadline);
    }

    /// Starts anew behind the gate. What waited in the broken engine is told so.
    fn replace(&self, broken: &Arc<Engine>) {
        let mut engine = self.engine.write();
        if !Arc::ptr_eq(&engine, broken) {
            return;
        }
        error!("a private connection has failed, starting new ones");
        for (_, slot) in self.shared.queue.lock().slots.drain() {
            slot.fill(Err(NO_ANSWER));
        }
        match start_engine(self.count, &self.shared) {
            Ok(new) => {
                *engine = new;
                broken.stop(self.count);
            }
            Err(error) => error!(error:%; "cannot start new private connections, trying again with the next request"),
        }
    }
}

fn start_engine(workers: usize, shared: &Arc<Shared>) -> io::Result<Arc<Engine>> {
    let engine = Arc::new(Engine::start()?);
    for started in 0..workers {
        let (worker_engine, worker_shared) = (Arc::clone(&engine), Arc::clone(shared));
        *shared.running.lock() += 1;
        let spawned = thread::Builder::new().name("worker".to_owned()).spawn(move || {
            while let Some(request) = worker_engine.receive() {
                worker_shared.work(request);
            }
            *worker_shared.running.lock() -= 1;
            worker_shared.ended.notify_all();
        });
        if let Err(error) = spawned {
            *shared.running.lock() -= 1;
            engine.stop(started);
            return Err(error);
        }
    }
    Ok(engine)
}

impl Backend for Workers {
    fn answer(&self, request: &Incoming, client: &str) -> Result<Answered, Refusal> {
        let (id, slot) = self.shared.enqueue()?;
        let deadline = Instant::now() + self.shared.limits.answer;
        let ticket = format!("{TICKET_FIELD}: {} {id:x} {client}\r\n\r\n", self.shared.secret);
        let engine = Arc::clone(&self.engine.read());
        let sent = engine.send(&[&request.head, ticket.as_bytes(), &request.body], deadline);
        if let Err(not_sent) = sent {
            self.shared.dequeue(id);
            if not_sent == NotSent::Broken {
                self.replace(&engine);
            }
            return Err(BUSY);
        }
        self.shared.metrics.in_flight.inc();
        let answer = slot.wait(deadline);
        self.shared.metrics.in_flight.dec();
        // An abandoned slot stays in the queue until a worker comes to it: so long it takes up room there.
        answer.unwrap_or(Err(NO_ANSWER))
    }
}

impl Shared {
    fn enqueue(&self) -> Result<(u64, Arc<Slot>), Refusal> {
        let mut queue = self.queue.lock();
        if queue.slots.len() >= self.limits.queue {
            return Err(BUSY);
        }
        queue.last_id += 1;
        let (id, slot) = (queue.last_id, Arc::new(Slot::default()));
        queue.slots.insert(id, Arc::clone(&slot));
        self.metrics.queue.set(queue.slots.len() as i64);
        Ok((id, slot))
    }

    /// The slot of a request that is a worker's turn; `None` when nobody waits for it.
    fn dequeue(&self, id: u64) -> Option<Arc<Slot>> {
        let mut queue = self.queue.lock();
        let slot = queue.slots.remove(&id);
        self.metrics.queue.set(queue.slots.len() as i64);
        slot.filter(|slot| Arc::strong_count(slot) > 1)
    }

    /// Handles one request. Nothing is written to tiny_http: its connections lead back to the gate, which
    /// gets the response by a shorter way.
    fn work(&self, mut incoming: tiny_http::Request) {
        let ticket = incoming.headers().last().filter(|field| field.field.as_str() == TICKET_FIELD);
        let ticket = ticket.and_then(|field| self.read_ticket(field.value.as_str()));
        let body = read_body(&mut incoming);
        let (id, client) = ticket.unwrap_or_default();
        let request = request_of(&incoming, client, body);
        // The link is free for the next request from here on, and no response is written to it.
        drop(incoming.into_writer());
        if (self.patient.may_wait)(&request) {
            self.take_turns(id, request);
        } else {
            self.handle(id, &request);
        }
    }

    /// Handles a request that may wait, and then those that were set aside meanwhile; or sets it aside.
    fn take_turns(&self, id: u64, request: Request) {
        {
            let mut turns = self.patient.turns.lock();
            if turns.running >= self.patient.running_max {
                turns.set_aside.push_back((id, request));
                return;
            }
            turns.running += 1;
        }
        let mut next = Some((id, request));
        while let Some((id, request)) = next {
            self.handle(id, &request);
            let mut turns = self.patient.turns.lock();
            next = turns.set_aside.pop_front();
            if next.is_none() {
                turns.running -= 1;
            }
        }
    }

    fn handle(&self, id: u64, request: &Request) {
        // No request has the id 0.
        let Some(slot) = self.dequeue(id) else { return };
        let begun = Instant::now();
        let response = catch_unwind(AssertUnwindSafe(|| (self.handler)(request)));
        let response = response.unwrap_or_else(|_| self.after_panic(request));
        slot.fill(Ok(Answered { response, handled_in: begun.elapsed() }));
    }

    #[cfg(test)]
    pub(super) fn set_aside(&self) -> usize {
        self.patient.turns.lock().set_aside.len()
    }

    fn read_ticket(&self, value: &str) -> Option<(u64, String)> {
        let (id, client) = value.strip_prefix(&self.secret)?.trim_start().split_once(' ')?;
        Some((u64::from_str_radix(id, 16).ok()?, client.to_owned()))
    }

    fn after_panic(&self, request: &Request) -> Response {
        self.metrics.panics.inc();
        if let Some(events) = self.panics.events() {
            error!(method = request.method, path = request.path, events; "a handler panicked");
        }
        Response {
            status: 500,
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
            body: b"500 Internal Server Error\n".to_vec().into(),
        }
    }
}

fn read_body(incoming: &mut tiny_http::Request) -> Vec<u8> {
    let mut body = Vec::with_capacity(incoming.body_length().unwrap_or(0).min(BODY_BYTES_MAX));
    // It is in this process already; what fails here is the engine, and then nobody waits for an answer.
    let _ = incoming.as_reader().take(BODY_BYTES_MAX as u64).read_to_end(&mut body);
    body
}

fn request_of(incoming: &tiny_http::Request, client: String, body: Vec<u8>) -> Request {
    let (path, query) = incoming.url().split_once('?').unwrap_or((incoming.url(), ""));
    let headers = incoming.headers().split_last().map_or(&[][..], |(_ticket, fields)| fields);
    Request {
        method: incoming.method().as_str().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers
            .iter()
            .map(|field| (field.field.as_str().as_str().to_ascii_lowercase(), unescape(field.value.as_str())))
            .collect(),
        body,
        client,
    }
}
