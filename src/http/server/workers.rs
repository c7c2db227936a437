//! The worker pool: takes requests from tiny_http, has them handled, and leaves each response where the thread
//! of the client's connection waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use log::error;
use parking_lot::{Condvar, Mutex, RwLock};

use super::engine::{Engine, NotSent, secret};
use super::handler::Handler;
use super::lane::Lane;
use super::queue::{Pending, Queue, RequestId};
use crate::http::gate::limits::Limits;
use crate::http::gate::request::Incoming;
use crate::http::gate::{Answered, Backend, BodyLimit, EdgeMetrics, Permit, Refusal, unescape};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::logging::Throttle;

/// The field in which the gate tells the workers which request this is, and whose. Always the last one, so what a
/// client writes under this name means nothing.
const REQUEST_ID_FIELD: &str = "x-inventor-request-id";

/// The workers and what they share with the threads of the connections.
pub(super) struct Workers {
    engine: RwLock<Arc<Engine>>,
    count: usize,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Arc<dyn Handler>,
    /// For the requests that may wait for the store.
    lane: Lane<(RequestId, Request)>,
    limits: Limits,
    metrics: EdgeMetrics,
    /// Proves to a worker that a request comes from the gate.
    secret: String,
    queue: Queue,
    /// How many worker threads there are.
    running: Mutex<usize>,
    ended: Condvar,
    panics: Throttle,
}

const BUSY: Refusal = Refusal { status: 503, reason: "the server is busy" };
const NO_ANSWER: Refusal = Refusal { status: 503, reason: "the server did not answer in time" };

impl Workers {
    pub(super) fn start(
        count: usize,
        handler: Arc<dyn Handler>,
        limits: Limits,
        metrics: EdgeMetrics,
    ) -> io::Result<Workers> {
        let shared = Arc::new(Shared {
            handler,
            lane: Lane::of_workers(count),
            queue: Queue::new(limits.queue, metrics.queue.clone()),
            limits,
            metrics,
            secret: secret(),
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
        error!("a connection to tiny_http failed; opening new ones");
        self.shared.queue.clear();
        match start_engine(self.count, &self.shared) {
            Ok(new) => {
                *engine = new;
                broken.stop(self.count);
            }
            Err(error) => error!(error:%; "cannot connect to tiny_http; the next request tries again"),
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
    fn body_limit(&self, request: &Request) -> BodyLimit {
        self.shared.handler.body_limit(request)
    }

    fn answer(&self, request: Incoming, permit: Option<Permit>, client: &str) -> Result<Answered, Refusal> {
        let deadline = Instant::now() + self.shared.limits.answer;
        let (id, outcome) = self.shared.queue.push(request.body, permit).ok_or(BUSY)?;
        let id_field = format!("{REQUEST_ID_FIELD}: {} {id:x} {client}\r\n\r\n", self.shared.secret);
        let engine = Arc::clone(&self.engine.read());
        if let Err(not_sent) = engine.send(&[&request.head, id_field.as_bytes()], deadline) {
            self.shared.queue.take(id);
            if not_sent == NotSent::Broken {
                self.replace(&engine);
            }
            return Err(BUSY);
        }
        self.shared.metrics.in_flight.inc();
        let outcome = outcome.wait(deadline);
        self.shared.metrics.in_flight.dec();
        // A request that is given up stays in the queue until a worker comes to it: so long it takes up room there.
        outcome.unwrap_or(Err(NO_ANSWER))
    }
}

impl Shared {
    /// Handles one request. Nothing is written to tiny_http: its connections lead back to the gate, which
    /// gets the response by a shorter way.
    fn work(&self, incoming: tiny_http::Request) {
        let id_field = incoming.headers().last().filter(|field| field.field.as_str() == REQUEST_ID_FIELD);
        let of_gate = id_field.and_then(|field| self.read_id(field.value.as_str()));
        let Some((id, client)) = of_gate else { return drop(incoming.into_writer()) };
        let request = request_of(&incoming, client);
        // The pipe is free for the next request from here on, and no response is written to it.
        drop(incoming.into_writer());
        if !self.handler.may_wait(&request) {
            return self.handle(id, request);
        }
        let mut next = self.lane.enter((id, request));
        while let Some((id, request)) = next {
            self.handle(id, request);
            next = self.lane.leave();
        }
    }

    fn handle(&self, id: RequestId, mut request: Request) {
        let Some(Pending { body, permit, reply }) = self.queue.take(id) else { return };
        request.body = body;
        let begun = Instant::now();
        let response = catch_unwind(AssertUnwindSafe(|| self.handler.handle(&request)));
        let response = response.unwrap_or_else(|_| self.after_panic(&request));
        let handled_in = begun.elapsed();
        drop((request, permit));
        reply.send(Ok(Answered { response, handled_in }));
    }

    fn read_id(&self, value: &str) -> Option<(RequestId, String)> {
        let (id, client) = value.strip_prefix(&self.secret)?.trim_start().split_once(' ')?;
        Some((RequestId::from_str_radix(id, 16).ok()?, client.to_owned()))
    }

    fn after_panic(&self, request: &Request) -> Response {
        self.metrics.panics.inc();
        if let Some(events) = self.panics.admit() {
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

/// The request as far as tiny_http knows it.
fn request_of(incoming: &tiny_http::Request, client: String) -> Request {
    let (path, query) = incoming.url().split_once('?').unwrap_or((incoming.url(), ""));
    let headers = incoming.headers().split_last().map_or(&[][..], |(_request_id, fields)| fields);
    Request {
        method: incoming.method().as_str().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers
            .iter()
            .map(|field| (field.field.as_str().as_str().to_ascii_lowercase(), unescape(field.value.as_str())))
            .collect(),
        body: Vec::new(),
        client,
    }
}
