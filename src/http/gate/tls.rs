//! The certificate that the server shows, and the authorities for its clients' certificates. They can be replaced while
//! connections are open; open connections keep theirs.

use std::fmt;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGauge, Registry};
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection};

use crate::metrics::{counters_by, gauge};
use crate::pem::{Authorities, Identity};

/// The only protocol that is spoken inside.
const ALPN: &[u8] = b"http/1.1";

/// The tags of DER that are read (X.690, 8.1.2).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// A certificate with its matching key, and the authorities for clients.
#[derive(Debug)]
pub struct Credentials {
    config: Arc<ServerConfig>,
    /// Checks the certificates of clients, if they need one.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// When the first certificate of the chain expires, in Unix seconds.
    expires_at: i64,
}

impl Credentials {
    /// The error is a sentence about the certificate.
    pub fn new(identity: Identity, client_ca: Option<Authorities>) -> Result<Credentials, String> {
        let Identity { chain, key, .. } = identity;
        let expires_at = chain.iter().map(|one| not_after(one)).min().flatten();
        let expires_at = expires_at.ok_or_else(|| "holds something that is not a certificate".to_owned())?;
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
        // Tickets are valid only for this certificate and these authorities.
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

/// Trusts certificates of these authorities. Clients without one may connect: not every path needs one.
fn clients(authorities: Authorities) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let provider = Arc::new(default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.roots), provider).allow_unauthenticated().build()
}

#[derive(Debug)]
pub struct Tls {
    current: Mutex<Arc<Credentials>>,
    /// `full`, `resumed` by a ticket of an earlier session, or `failed`.
    pub(in crate::http) handshakes: IntCounterVec,
    expiry: IntGauge,
}

impl Tls {
    pub fn new(credentials: Credentials, metrics: &Registry) -> Tls {
        let (name, outcomes) = ("inventor_tls_handshakes_total", ["full", "resumed", "failed"]);
        let handshakes = counters_by(metrics, name, "TLS handshakes by outcome.", "outcome", &outcomes);
        let expiry = gauge(
            metrics,
            "inventor_tls_certificate_expiry_timestamp_seconds",
            "When the first certificate of the chain in TLS_CERT expires, in Unix seconds.",
        );
        expiry.set(credentials.expires_at);
        Tls { current: Mutex::new(Arc::new(credentials)), handshakes, expiry }
    }

    pub fn replace(&self, credentials: Credentials) {
        self.expiry.set(credentials.expires_at);
        *self.current.lock() = Arc::new(credentials);
    }

    /// When the first certificate of the present chain expires, in Unix seconds.
    pub fn expires_at(&self) -> i64 {
        self.current.lock().expires_at
    }

    pub(super) fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.lock())
    }
}

/// When a certificate expires, in Unix seconds; `None` if it is not one (RFC 5280, 4.1). Reads no more of X.509 than
/// that.
fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (fields, _) = take(certificate, SEQUENCE)?;
    let fields = take(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_serial, rest) = take(fields, INTEGER)?;
    let (_algorithm, rest) = take(rest, SEQUENCE)?;
    let (_issuer, rest) = take(rest, SEQUENCE)?;
    let (validity, _) = take(rest, SEQUENCE)?;
    let (_, not_before, rest) = element(validity)?;
    time(UTC_TIME, not_before).or_else(|| time(GENERALIZED_TIME, not_before))?;
    let (tag, not_after, _) = element(rest)?;
    time(tag, not_after)
}

/// The content of the first element, if it has this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        // This many bytes of length follow.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A time as certificates write it: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` after.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let century = match (tag, text.as_bytes().first()?) {
        (UTC_TIME, b'5'..) => "19",
        (UTC_TIME, _) => "20",
        (GENERALIZED_TIME, _) => "",
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", format!("{century}{text}")).ok()?;
    // The last possible time, 99991231235959Z, means never. It is beyond the range of the library.
    Some(time.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |time| time.timestamp()).as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000001Z", Some(1)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(Timestamp::MAX.as_second())),
            (GENERALIZED_TIME, "20500101000000", None),
            (UTC_TIME, "501301000000Z", None),
            (INTEGER, "500101000000Z", None),
            (UTC_TIME, "", None),
        ] {
            assert_eq!(time(tag, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let tags = [SEQUENCE, VERSION, INTEGER, UTC_TIME, 0x82, 0x84, 0xff, 0, 1, 2, 5, 13];
            let bytes: Vec<u8> = (0..random.usize(..40)).map(|_| tags[random.usize(..tags.len())]).collect();
            assert_eq!(not_after(&bytes), None, "{bytes:x?}");
        }
    }
}
