//! The HTTP server: a gate on the public side, an unmodified tiny_http behind it, and a fixed pool of workers. The gate
//! does not know this module. Nothing else in the program knows how HTTP is transported.

mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus::Registry;

use super::gate::limits::ARRIVALS_MAX;
pub use super::gate::limits::Limits;
pub use super::gate::tls::{Credentials, Tls};
pub use super::gate::{BindError, Listen, TrustedProxies};
use super::gate::{EdgeMetrics, GateSettings, Handling, Listener, OpenGate, Upstream};
use super::handler::Handler;
use crate::endpoint::Endpoint;

/// The log targets of libraries. The only error that tiny_http logs is that it accepts no more connections, which is
/// intended; rustls logs each step of each handshake.
pub const ENGINE_LOGS: &[&str] = &["tiny_http", "rustls"];

/// The descriptors reserved for everything but served clients: for arriving clients, the store and the log.
const RESERVED_DESCRIPTORS: usize = 64 + ARRIVALS_MAX;

/// The descriptors of a private connection: one of the gate and two of tiny_http.
const DESCRIPTORS_PER_WORKER: usize = 3;

/// The connections that are allowed no matter how few descriptors there are.
const CONNECTIONS_MIN: usize = 16;

#[derive(Debug)]
pub struct ServerSettings {
    pub listen: Vec<Listen>,
    /// How many requests call the store at the same time; at least one.
    pub workers: usize,
    /// The most clients connected at a time; fewer if the system allows too few descriptors.
    pub connections_max: usize,
    /// The proxies that are believed when they name the client of a request.
    pub proxies: TrustedProxies,
    pub limits: Limits,
    /// Set if TCP clients have to speak TLS.
    pub tls: Option<Arc<Tls>>,
}

/// A server that is bound to its addresses and does not accept yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    workers: usize,
    gate: GateSettings,
    metrics: EdgeMetrics,
}

pub struct Running<H> {
    gate: OpenGate<H>,
}

impl Server {
    /// Opens the public sockets and raises the limit of descriptors as far as the system permits.
    pub fn bind(settings: ServerSettings, metrics: &Registry) -> Result<Server, BindError> {
        let descriptors = usize::try_from(raise_descriptor_limit()).unwrap_or(usize::MAX);
        let workers = settings.workers.max(1);
        let for_clients = descriptors.saturating_sub(RESERVED_DESCRIPTORS + DESCRIPTORS_PER_WORKER * workers);
        let connections_max = settings.connections_max.min(for_clients).max(CONNECTIONS_MIN);
        if connections_max < settings.connections_max {
            warn!(wanted = settings.connections_max, allowed = connections_max, descriptors; "too few file descriptors for MAX_CONNECTIONS, allowing fewer connections");
        }
        Ok(Server {
            listeners: settings.listen.into_iter().map(Listener::bind).collect::<Result<_, _>>()?,
            workers,
            gate: GateSettings {
                connections_max,
                proxies: settings.proxies,
                limits: settings.limits,
                tls: settings.tls,
            },
            metrics: EdgeMetrics::new(metrics),
        })
    }

    /// Where it listens, in the order of the settings, with the port that the system chose.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoints = self.listeners.iter().map(|listener| listener.endpoint().clone());
        endpoints.map(|one| if self.gate.tls.is_some() { one.with_tls() } else { one }).collect()
    }

    /// Starts the workers and opens the gate.
    pub fn serve<H: Handler>(self, handler: Arc<H>) -> Result<Running<H>, BindError> {
        let Server { listeners, workers, gate: settings, metrics } = self;
        let handling = Arc::new(Handling::new(handler, metrics.clone()));
        let shared = Arc::clone(&handling);
        let open_lines = Box::new(move |count| workers::open(count, &shared));
        let gate = Upstream::open(workers, open_lines, settings.limits.clone(), metrics.clone())
            .and_then(|upstream| OpenGate::open(listeners, settings, metrics, handling, upstream));
        Ok(Running { gate: gate.map_err(BindError::Start)? })
    }
}

impl<H: Handler> Running<H> {
    /// Shuts down: accepts no new connections, finishes the requests under way, closes idle connections and ends all
    /// threads. After `limit`, cuts off the rest.
    pub fn drain(self, limit: Duration) {
        self.gate.close(Instant::now() + limit);
    }
}

/// The number of descriptors that this process may have, after raising its soft limit to the hard one.
fn raise_descriptor_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests;
