//! HTTP as a client: the rules by which all requests of this program are made, over TCP, TLS or a Unix socket. They follow
//! no redirect and know no proxy.

mod unix;

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, ring};
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Error};

use crate::endpoint::Endpoint;
use unix::UnixConnector;

/// The logs of what speaks to servers: from debug on, these are the bytes of requests, and so the token.
pub const WIRE_LOGS: &[&str] = &["ureq", "ureq_proto"];

/// How much of the answer to a [`ProbeClient`] is read, in bytes: a sentence is expected.
const PROBE_BYTES_MAX: u64 = 8 * 1024;

const NO_HTTP: &str = "what it says is not HTTP";

/// What stands for the address where a path is all that is needed.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How long an address is believed; then it may have moved.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// How requests are made, each within `timeout`; so many connections are kept open between them.
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

/// Makes requests: to this Unix socket, whatever their URL says, or to where the system finds the host of their URL.
pub fn agent(config: Config, socket: Option<&Path>) -> Agent {
    match socket {
        Some(path) => Agent::with_parts(config, UnixConnector(path.to_owned()), FixedResolver(vec![NO_ADDRESS])),
        None => Agent::with_parts(config, DefaultConnector::default(), RememberingResolver::default()),
    }
}

/// What encrypts.
pub fn crypto() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Asks whether something answers. It may show any certificate: nothing secret is sent.
#[derive(Debug)]
pub struct ProbeClient(Agent);

/// An answer to a [`ProbeClient`].
#[derive(Debug)]
pub struct ProbeAnswer(Response<Body>);

impl ProbeClient {
    /// Asks whatever a URL leads to, and waits so long at most.
    pub fn of_urls(wait: Duration) -> ProbeClient {
        ProbeClient(agent(ProbeClient::config(wait), None))
    }

    /// Asks the server that listens here on this machine, whatever the host of a URL is.
    pub fn of_endpoint(endpoint: &Endpoint, wait: Duration) -> ProbeClient {
        let config = ProbeClient::config(wait);
        ProbeClient(match endpoint {
            Endpoint::Unix(path) => agent(config, Some(path)),
            _ => Agent::with_parts(config, DefaultConnector::default(), FixedResolver(endpoint.local_addresses())),
        })
    }

    fn config(wait: Duration) -> Config {
        let trusting = TlsConfig::builder().disable_verification(true).unversioned_rustls_crypto_provider(crypto());
        config(wait, 0, trusting.build())
    }

    /// Asks; or says why there is no answer.
    pub fn get(&self, url: &str) -> Result<ProbeAnswer, String> {
        self.0.get(url).call().map(ProbeAnswer).map_err(|error| match error {
            Error::Protocol(_) => NO_HTTP.to_owned(),
            Error::Io(e) if e.kind() == ErrorKind::UnexpectedEof => NO_HTTP.to_owned(),
            error => reason(&error),
        })
    }
}

impl ProbeAnswer {
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// What it says, as far as it is short and comes in time.
    pub fn text(self) -> String {
        let mut text = Vec::new();
        let _ = self.0.into_body().into_reader().take(PROBE_BYTES_MAX).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The error in words for whoever has to mend it.
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
        // What begins so is an answer of HTTP, not of TLS.
        rustls::Error::InvalidMessage(_) => format!("TLS: {error}; perhaps it is http:// there"),
        e => format!("TLS: {e}"),
    }
}

/// Knows the addresses already.
#[derive(Debug)]
struct FixedResolver(Vec<SocketAddr>);

impl Resolver for FixedResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        self.0.iter().for_each(|address| addresses.push(*address));
        Ok(addresses)
    }
}

/// Remembers the last answer of the system.
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
