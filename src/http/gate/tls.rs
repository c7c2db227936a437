//! What the server shows to clients that speak TLS, and whose certificates it trusts. It can be replaced while
//! connections are open; those keep what they began with.

pub(super) mod records;
mod validity;

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGauge, Registry};
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection};

use crate::metrics::{counters, gauge};
use crate::pem::{Authorities, Identity};

/// The only protocol that is spoken inside.
const ALPN: &[u8] = b"http/1.1";

/// A certificate with its key, and the authorities for clients. They fit each other.
#[derive(Debug)]
pub struct Credentials {
    config: Arc<ServerConfig>,
    /// Knows the certificates of clients, if they have to show some.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// When the first certificate of the chain expires, in Unix seconds.
    expires_at: i64,
}

impl Credentials {
    /// Puts them together.
    ///
    /// # Errors
    /// A sentence about the certificate, when it cannot be used.
    pub fn new(identity: Identity, client_ca: Option<Authorities>) -> Result<Credentials, String> {
        let Identity { chain, key, .. } = identity;
        let expires_at = chain.iter().map(|one| validity::not_after(one)).min().flatten();
        let expires_at = expires_at.ok_or_else(|| "holds what is no certificate".to_owned())?;
        let unusable = |e: &dyn fmt::Display| format!("cannot be used: {e}");
        let clients = client_ca.map(clients).transpose().map_err(|e| unusable(&e))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|e| unusable(&e))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Tickets are for this certificate and these authorities: others have others.
        config.ticketer = Ticketer::new().map_err(|e| unusable(&e))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Credentials { config: Arc::new(config), clients, expires_at })
    }

    /// When the first certificate of the chain expires, in Unix seconds.
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    pub(super) fn session(&self) -> io::Result<ServerConnection> {
        ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)
    }

    /// Whether the client has shown a certificate that is trusted now, if one is needed.
    pub(super) fn trust(&self, session: &ServerConnection) -> bool {
        let Some(clients) = &self.clients else { return true };
        match session.peer_certificates() {
            Some([own, others @ ..]) => clients.verify_client_cert(own, others, UnixTime::now()).is_ok(),
            _ => false,
        }
    }
}

/// Knows the certificates of these authorities. A client without one is let in as well: not every path needs one.
fn clients(authorities: Authorities) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let provider = Arc::new(default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.roots), provider).allow_unauthenticated().build()
}

/// What came of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Full,
    /// By a ticket of an earlier session.
    Resumed,
    Failed,
}

/// The credentials in use.
#[derive(Debug)]
pub struct Tls {
    current: Mutex<Arc<Credentials>>,
    handshakes: IntCounterVec,
    expiry: IntGauge,
}

impl Tls {
    /// Begins with these.
    pub fn new(credentials: Credentials, metrics: &Registry) -> Tls {
        let handshakes = counters(metrics, "inventor_tls_handshakes_total", "TLS handshakes by outcome.", &["outcome"]);
        // Series exist from the start, so that their first increase is seen.
        for outcome in ["full", "resumed", "failed"] {
            handshakes.with_label_values(&[outcome]);
        }
        let expiry = gauge(
            metrics,
            "inventor_tls_certificate_expiry_timestamp_seconds",
            "When the first certificate of the chain in TLS_CERT expires, in Unix seconds.",
        );
        expiry.set(credentials.expires_at);
        Tls { current: Mutex::new(Arc::new(credentials)), handshakes, expiry }
    }

    /// Shows these from now on.
    pub fn replace(&self, credentials: Credentials) {
        self.expiry.set(credentials.expires_at);
        *self.current.lock() = Arc::new(credentials);
    }

    /// When the first certificate of the chain expires that is shown now, in Unix seconds.
    pub fn expires_at(&self) -> i64 {
        self.current.lock().expires_at
    }

    pub(super) fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.lock())
    }

    /// How many handshakes have come to this.
    #[cfg(test)]
    pub fn handshakes(&self, outcome: &str) -> u64 {
        self.handshakes.with_label_values(&[outcome]).get()
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Full => "full",
            Outcome::Resumed => "resumed",
            Outcome::Failed => "failed",
        };
        self.handshakes.with_label_values(&[outcome]).inc();
    }
}
