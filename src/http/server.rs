//! The only user of `tiny_http`: its accept loop, the worker pool, and the way of a response back to the client.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{BODY_BYTES_MAX, Body, Request, Response};

/// Answers requests.
pub type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// How the server listens and what it may use.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub listen: Listen,
    /// The number of worker threads.
    pub workers: usize,
    /// The largest number of connections.
    pub connections_max: usize,
}

/// A place to listen.
#[derive(Debug, Clone)]
pub enum Listen {
    /// A port of one address, or of all, IPv6 and IPv4.
    Tcp {
        /// `None` is all addresses.
        addr: Option<IpAddr>,
        /// 0 lets the system choose.
        port: u16,
    },
}

/// The server cannot listen.
#[derive(Debug)]
pub struct BindError(String);

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BindError {}

/// A server that listens and does not answer yet.
pub struct Server {
    inner: Arc<tiny_http::Server>,
    workers: usize,
}

/// A server at work.
pub struct Running {
    inner: Arc<tiny_http::Server>,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the listening socket.
    ///
    /// # Errors
    /// [`BindError`] when the address cannot be had.
    pub fn bind(settings: Settings, _metrics: &prometheus::Registry) -> Result<Server, BindError> {
        let Listen::Tcp { addr, port } = settings.listen;
        let addr = SocketAddr::new(addr.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), port);
        let inner = tiny_http::Server::http(addr).map_err(|e| BindError(format!("cannot listen on {addr}: {e}")))?;
        Ok(Server { inner: Arc::new(inner), workers: settings.workers })
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> Vec<String> {
        vec![self.inner.server_addr().to_string()]
    }

    /// Starts to answer.
    pub fn serve(self, handler: Arc<Handler>) -> Running {
        let workers = (0..self.workers)
            .map(|_| {
                let (inner, handler) = (self.inner.clone(), handler.clone());
                std::thread::spawn(move || {
                    while let Ok(request) = inner.recv() {
                        let _ = answer(request, &*handler);
                    }
                })
            })
            .collect();
        Running { inner: self.inner, workers }
    }
}

impl Running {
    /// Ends the server within about `limit`.
    pub fn drain(self, _limit: Duration) {
        for _ in &self.workers {
            self.inner.unblock();
        }
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}

fn answer(mut raw: tiny_http::Request, handler: &Handler) -> io::Result<()> {
    let mut body = Vec::new();
    raw.as_reader().take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body)?;
    let (path, query) = raw.url().split_once('?').unwrap_or((raw.url(), ""));
    let request = Request {
        method: raw.method().as_str().to_ascii_uppercase(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: raw
            .headers()
            .iter()
            .map(|h| (h.field.as_str().as_str().to_ascii_lowercase(), h.value.as_str().trim().as_bytes().to_vec()))
            .collect(),
        body,
        client: raw.remote_addr().map_or("unix".into(), |a| a.to_string()),
    };
    let head = request.method == "HEAD";
    let response = if request.body.len() > BODY_BYTES_MAX {
        Response { status: 413, content_type: "text/plain", headers: vec![], body: Body::default() }
    } else {
        catch_unwind(AssertUnwindSafe(|| handler(&request))).unwrap_or(Response {
            status: 500,
            content_type: "text/plain",
            headers: vec![],
            body: Body::default(),
        })
    };
    let mut out = format!(
        "HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
        response.status,
        response.content_type,
        response.body.len()
    );
    for (name, value) in &response.headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    let mut bytes = out.into_bytes();
    if !head {
        for part in response.body.parts() {
            bytes.extend_from_slice(part);
        }
    }
    let mut writer = raw.into_writer();
    writer.write_all(&bytes)?;
    writer.flush()
}
