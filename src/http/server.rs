//! The HTTP server: a gate on the public side, an unmodified tiny_http behind it, and a fixed pool of workers.
//! It knows the gate and is not known to it. Nothing else in the program knows how HTTP travels.

mod engine;
mod queue;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus::Registry;

use super::gate::limits::ARRIVALS_MAX;
use super::gate::{EdgeMetrics, Listener, OpenGate};
use super::handler::Handler;
use workers::Workers;

pub use super::gate::limits::Limits;
pub use super::gate::{BindError, Listen};

/// Where the engine logs. Its only line at the level of errors says that it accepts no more connections, which is
/// as it should be, so it is better not shown.
pub const ENGINE_LOG: &str = "tiny_http";

/// The descriptors that are left to everything but the clients that are served: to those that arrive, the store,
/// the log and the private connections.
const RESERVED_DESCRIPTORS: u64 = 64 + ARRIVALS_MAX as u64;

/// The connections that are allowed however few descriptors there are.
const CONNECTIONS_MIN: usize = 16;

/// How the server is set up.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: Vec<Listen>,
    /// How many requests call the store at the same time; at least one.
    pub workers: usize,
    /// How many clients may be connected; fewer when the system allows too few descriptors.
    pub connections_max: usize,
    /// What one client may take.
    pub limits: Limits,
}

/// A server that is bound to its addresses and does not accept yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    workers: usize,
    connections_max: usize,
    limits: Limits,
    metrics: EdgeMetrics,
}

/// A server at work.
pub struct Running<H> {
    gate: OpenGate<H>,
    workers: Arc<Workers<H>>,
}

impl Server {
    /// Opens the public sockets and raises the limit of descriptors as far as it goes.
    ///
    /// # Errors
    /// [`BindError`] says which address cannot be had, and why.
    pub fn bind(settings: Settings, metrics: &Registry) -> Result<Server, BindError> {
        let descriptors = raise_descriptor_limit();
        let for_clients = descriptors.saturating_sub(RESERVED_DESCRIPTORS);
        let for_clients = usize::try_from(for_clients).unwrap_or(usize::MAX);
        let connections_max = settings.connections_max.min(for_clients).max(CONNECTIONS_MIN);
        if connections_max < settings.connections_max {
            warn!(wanted = settings.connections_max, allowed = connections_max, descriptors; "too few file descriptors for MAX_CONNECTIONS, allowing fewer connections");
        }
        Ok(Server {
            listeners: settings.listen.into_iter().map(Listener::bind).collect::<Result<_, _>>()?,
            workers: settings.workers.max(1),
            connections_max,
            limits: settings.limits,
            metrics: EdgeMetrics::new(metrics),
        })
    }

    /// The addresses in use, in the order of the settings, with the port that the system chose.
    pub fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(|listener| listener.address().to_owned()).collect()
    }

    /// Starts the workers and opens the gate.
    ///
    /// # Errors
    /// [`BindError::Start`] when the system has no threads or descriptors for it.
    pub fn serve<H: Handler>(self, handler: Arc<H>) -> Result<Running<H>, BindError> {
        let Server { listeners, workers, connections_max, limits, metrics } = self;
        let workers = Workers::start(workers, Arc::clone(&handler), limits.clone(), metrics.clone());
        let workers = Arc::new(workers.map_err(BindError::Start)?);
        let pool = Arc::clone(&workers) as _;
        let gate = OpenGate::open(listeners, connections_max, limits, metrics, handler, pool);
        let gate = gate.map_err(BindError::Start)?;
        Ok(Running { gate, workers })
    }
}

impl<H: Handler> Running<H> {
    /// Shuts down: accepts no new connection, has every request under way answered, closes the idle connections
    /// and ends all threads. What is not done after `limit` is cut off.
    pub fn drain(self, limit: Duration) {
        let deadline = Instant::now() + limit;
        self.gate.close(deadline);
        self.workers.stop(deadline);
    }
}

/// The number of descriptors this process may have, after its soft limit has been raised to the hard one.
fn raise_descriptor_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests;
