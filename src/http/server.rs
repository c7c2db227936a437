//! The HTTP server: a gate on the public side, an unmodified tiny_http behind it, and a fixed pool of workers. The gate
//! does not know this module. Nothing else in the program knows how HTTP is transported.

mod workers;

use std::sync::Arc;

use log::warn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus::Registry;

use super::gate::limits::ARRIVALS_MAX;
pub use super::gate::limits::Limits;
pub use super::gate::tls::{Credentials, Tls};
pub use super::gate::{BindError, Listen, Running, ServerSettings, TrustedProxies};
use super::gate::{EdgeMetrics, Handler, Handling, Listener, Upstream};
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

/// A server that is bound to its addresses and does not accept yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    settings: ServerSettings,
    metrics: EdgeMetrics,
}

impl Server {
    /// Opens the public sockets and raises the limit of descriptors as far as the system permits.
    pub fn bind(mut settings: ServerSettings, metrics: &Registry) -> Result<Server, BindError> {
        let descriptors = usize::try_from(raise_descriptor_limit()).unwrap_or(usize::MAX);
        let workers = settings.workers.max(1);
        let for_clients = descriptors.saturating_sub(RESERVED_DESCRIPTORS + DESCRIPTORS_PER_WORKER * workers);
        let connections_max = settings.connections_max.min(for_clients).max(CONNECTIONS_MIN);
        if connections_max < settings.connections_max {
            warn!(wanted = settings.connections_max, allowed = connections_max, descriptors; "too few file descriptors for MAX_CONNECTIONS, allowing fewer connections");
        }
        (settings.workers, settings.connections_max) = (workers, connections_max);
        let listeners = settings.listen.drain(..).map(Listener::bind).collect::<Result<_, _>>()?;
        Ok(Server { listeners, settings, metrics: EdgeMetrics::new(metrics) })
    }

    /// Where it listens, in the order of the settings, with the port that the system chose.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoints = self.listeners.iter().map(|listener| listener.endpoint().clone());
        endpoints.map(|one| if self.settings.tls.is_some() { one.with_tls() } else { one }).collect()
    }

    /// Starts the workers and opens the gate.
    pub fn serve<H: Handler>(self, handler: Arc<H>) -> Result<Running<H>, BindError> {
        let Server { listeners, settings, metrics } = self;
        let handling = Arc::new(Handling::new(handler, metrics.clone()));
        let shared = Arc::clone(&handling);
        let open_lines = Box::new(move |count| workers::open(count, &shared));
        Upstream::open(settings.workers, open_lines, settings.limits.clone(), metrics.clone())
            .and_then(|upstream| Running::open(listeners, settings, metrics, handling, upstream))
            .map_err(BindError::Start)
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
