//! The HTTP client of this program, over TCP, TLS or a Unix socket. It follows no redirects and uses no proxy.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, ring};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

use crate::endpoint::{Endpoint, unix_address};

/// Log targets of the client's libraries. From debug on, they show the bytes of requests, and so the token.
pub const WIRE_LOGS: &[&str] = &["ureq", "ureq_proto"];

/// The longest wait for the answer to a health check.
const HEALTHCHECK_WAIT_MAX: Duration = Duration::from_secs(4);

/// How much of such an answer is read, in bytes. A sentence is expected.
const SENTENCE_BYTES_MAX: u64 = 8 * 1024;

const NO_HTTP: &str = "the answer is not HTTP";

/// A placeholder for the address of a Unix socket.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How long a resolved address is used before the host is resolved again.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// The configuration of requests: each ends within `timeout`, and up to `idle_connections_max` connections are kept
/// open between them.
pub fn config(timeout: Duration, idle_connections_max: usize, tls: TlsConfig) -> Config {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(timeout))
        .max_idle_connections(idle_connections_max)
        .max_idle_connections_per_host(idle_connections_max)
        .user_agent(concat!("inventor/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
}

/// Makes requests to this Unix socket, whatever their URL says, or to the host of their URL.
pub fn agent(config: Config, socket: Option<&Path>) -> Agent {
    match socket {
        Some(path) => Agent::with_parts(config, UnixConnector(path.to_owned()), FixedResolver(vec![NO_ADDRESS])),
        None => Agent::with_parts(config, DefaultConnector::default(), RememberingResolver::default()),
    }
}

pub fn crypto() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Makes requests to learn whether something answers within `timeout`: at their URL, or at this endpoint on this
/// machine. Any certificate is accepted, since nothing secret is sent.
pub fn probe(endpoint: Option<&Endpoint>, timeout: Duration) -> Agent {
    let trusting = TlsConfig::builder().disable_verification(true).unversioned_rustls_crypto_provider(crypto());
    let config = config(timeout, 0, trusting.build());
    match endpoint {
        None => agent(config, None),
        Some(Endpoint::Unix(path)) => agent(config, Some(path)),
        Some(endpoint) => {
            Agent::with_parts(config, DefaultConnector::default(), FixedResolver(endpoint.local_addresses()))
        }
    }
}

/// Asks a server on this machine whether it is `ready` or `healthy`, through its public port as any client would: for
/// container engines, whose image has no curl, and for the watchdog of systemd.
pub fn healthcheck(endpoint: &Endpoint, question: &str) -> Result<(), String> {
    let scheme = if matches!(endpoint, Endpoint::Tls(_)) { "https" } else { "http" };
    let url = format!("{scheme}://localhost/-/{question}");
    let answer = probe(Some(endpoint), HEALTHCHECK_WAIT_MAX).get(&url).call().map_err(|error| match error {
        Error::Protocol(_) => NO_HTTP.to_owned(),
        Error::Io(e) if e.kind() == ErrorKind::UnexpectedEof => NO_HTTP.to_owned(),
        error => reason(&error),
    });
    let answer = answer.map_err(|why| format!("no answer from {endpoint}: {why}"))?;
    let status = answer.status().as_u16();
    if status == 200 {
        return Ok(());
    }
    let mut text = Vec::new();
    // As much of it as comes in time.
    let _ = answer.into_body().into_reader().take(SENTENCE_BYTES_MAX).read_to_end(&mut text);
    Err(format!("{status}: {}", String::from_utf8_lossy(&text).trim()))
}

/// The error in words for the person who has to correct it.
pub fn reason(error: &Error) -> String {
    match error {
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "no such host".to_owned(),
        Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(e) => tls_reason(e),
            None => e.to_string(),
        },
        Error::Rustls(e) => tls_reason(e),
        e => e.to_string(),
    }
}

fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => format!("TLS: {error}; --ca-file names whom to trust"),
        // A server that speaks plain HTTP sends such a message.
        rustls::Error::InvalidMessage(_) => format!("TLS: {error}; perhaps the server speaks http://"),
        e => format!("TLS: {e}"),
    }
}

#[derive(Debug)]
struct FixedResolver(Vec<SocketAddr>);

impl Resolver for FixedResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        self.0.iter().for_each(|address| addresses.push(*address));
        Ok(addresses)
    }
}

#[derive(Debug, Default)]
struct RememberingResolver {
    system: DefaultResolver,
    last: Mutex<Option<Addresses>>,
}

#[derive(Debug)]
struct Addresses {
    of: String,
    at: Instant,
    addresses: ResolvedSocketAddrs,
}

impl Resolver for RememberingResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let of = format!("{:?} {:?}", uri.scheme(), uri.authority());
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last.as_ref().filter(|last| last.of == of && last.at.elapsed() < BELIEVED_FOR) {
            return Ok(known.addresses.clone());
        }
        drop(last);
        let addresses = self.system.resolve(uri, config, timeout)?;
        let answer = Addresses { of, at: Instant::now(), addresses: addresses.clone() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        Ok(addresses)
    }
}

/// The least timeout of a read that continues after an interruption: zero would mean no limit.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Connects to the socket at this path, or at `@` and a name in the abstract namespace, whatever the URL says.
#[derive(Debug)]
struct UnixConnector(PathBuf);

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let stream = UnixStream::connect_addr(&unix_address(&self.0)?)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

#[derive(Debug)]
struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(timeout.not_zero().map(|timeout| *timeout))?;
        let written = self.stream.write_all(&self.buffers.output()[..amount]);
        written.map_err(|e| in_time(e, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let (begun, limit) = (Instant::now(), timeout.not_zero().map(|timeout| *timeout));
        let mut left = limit;
        let read = loop {
            self.stream.set_read_timeout(left)?;
            match self.stream.read(self.buffers.input_append_buf()) {
                // A signal was handled, or the process was stopped and continued.
                Err(e) if e.kind() == ErrorKind::Interrupted => {
                    left = limit.map(|limit| limit.saturating_sub(begun.elapsed()).max(SHORTEST_WAIT));
                }
                read => break read.map_err(|e| in_time(e, timeout))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // An open idle connection has nothing to read; a closed one has its end.
        let peek = |stream: &mut UnixStream| -> std::io::Result<usize> {
            stream.set_nonblocking(true)?;
            let read = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            read
        };
        matches!(peek(&mut self.stream), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
}

fn in_time(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
