//! The worker pool: takes requests in the order in which tiny_http passes them on, has them handled, and leaves each
//! response where the thread of the client's connection waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use log::error;
use parking_lot::{Condvar, Mutex, RwLock};

use super::engine::{Engine, NotSent};
use super::queue::{Pending, Queue, RequestId};
use crate::http::gate::limits::Limits;
use crate::http::gate::{Answered, EdgeMetrics, PANICKED, Permit, Pool, Refusal};
use crate::http::handler::Handler;
use crate::http::problem::Errors;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::logging::Throttle;

/// The workers and what they share with the threads of the connections.
pub(super) struct Workers<H> {
    pub(super) engine: RwLock<Arc<Engine>>,
    count: usize,
    shared: Arc<Shared<H>>,
}

struct Shared<H> {
    handler: Arc<H>,
    limits: Limits,
    metrics: EdgeMetrics,
    queue: Queue,
    /// How many worker threads there are.
    running: Mutex<usize>,
    ended: Condvar,
    panics: Throttle,
}

const BUSY: Refusal = Refusal { status: 503, reason: "the server is busy" };
const NO_ANSWER: Refusal = Refusal { status: 503, reason: "the server did not answer in time" };

impl<H: Handler> Workers<H> {
    pub(super) fn start(count: usize, handler: Arc<H>, limits: Limits, metrics: EdgeMetrics) -> io::Result<Workers<H>> {
        let shared = Arc::new(Shared {
            handler,
            queue: Queue::new(limits.queue, metrics.queue.clone()),
            limits,
            metrics,
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
    pub(super) fn replace(&self, broken: &Arc<Engine>) {
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

fn start_engine<H: Handler>(workers: usize, shared: &Arc<Shared<H>>) -> io::Result<Arc<Engine>> {
    let engine = Arc::new(Engine::start()?);
    for started in 0..workers {
        let (worker_engine, worker_shared) = (Arc::clone(&engine), Arc::clone(shared));
        *shared.running.lock() += 1;
        let spawned = thread::Builder::new().name("worker".to_owned()).spawn(move || {
            while let Some(id) = worker_engine.receive() {
                worker_shared.handle(id);
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

impl<H: Handler> Pool for Workers<H> {
    fn answer(&self, request: Request, permit: Option<Permit>) -> Result<Answered, Refusal> {
        let deadline = Instant::now() + self.shared.limits.answer;
        let (id, outcome) = self.shared.queue.push(request, permit).ok_or(BUSY)?;
        let engine = Arc::clone(&self.engine.read());
        if let Err(not_sent) = engine.send(id, deadline) {
            self.shared.queue.take(id);
            if not_sent == NotSent::Broken {
                self.replace(&engine);
            }
            return Err(BUSY);
        }
        // A request that is given up stays in the queue until a worker comes to it: so long it takes up room there.
        outcome.wait(deadline).unwrap_or(Err(NO_ANSWER))
    }
}

impl<H: Handler> Shared<H> {
    fn handle(&self, id: RequestId) {
        let Some(Pending { request, permit, reply, .. }) = self.queue.take(id) else { return };
        let begun = Instant::now();
        let found = self.handler.find(&request);
        let response = catch_unwind(AssertUnwindSafe(|| self.handler.handle(found.route, &request)));
        let response = response.unwrap_or_else(|_| self.after_panic(found.errors, &request));
        let handled_in = begun.elapsed();
        drop((request, permit));
        reply.send(Ok(Answered { response, handled_in }));
    }

    fn after_panic(&self, errors: Errors, request: &Request) -> Response {
        self.metrics.panics.inc();
        if let Some(events) = self.panics.admit() {
            error!(method = request.method, path = request.path, events; "a handler panicked");
        }
        PANICKED.answer(errors)
    }
}
