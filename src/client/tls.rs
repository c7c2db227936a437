//! Whom the client trusts, and which certificate it shows.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::Failure;
use crate::config::commands::Access;

/// The settings for connections to the server. The system's certificates are read only if they are needed.
pub(super) fn settings(access: &Access, needed: bool) -> Result<TlsConfig, Failure> {
    let [ca_file, cert, key] = [&access.ca_file, &access.cert, &access.key]
        .map(|path| path.as_deref().filter(|path| !path.as_os_str().is_empty()));
    let roots = match ca_file {
        Some(path) => certificates("--ca-file", path)?,
        None if needed => system_certificates(),
        None => Vec::new(),
    };
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(identity(cert, key)?),
        (None, None) => None,
        (Some(_), None) => return Err(Failure::Usage("--cert needs --key, the key of that certificate".to_owned())),
        (None, Some(_)) => return Err(Failure::Usage("--key needs --cert, the certificate for it".to_owned())),
    };
    let builder = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(identity);
    Ok(builder.unversioned_rustls_crypto_provider(provider()).build())
}

/// The settings for asking whether something answers at all; nothing secret is sent there.
pub(super) fn trusting() -> TlsConfig {
    TlsConfig::builder().disable_verification(true).unversioned_rustls_crypto_provider(provider()).build()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn system_certificates() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::Usage(format!("{flag} {}: cannot be read: {e}", path.display())))
}

fn certificates(flag: &str, path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let pem = read(flag, path)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Failure::Usage(format!("{flag} {}: holds no PEM certificate", path.display())));
    }
    Ok(certificates)
}

fn identity(cert: &Path, key: &Path) -> Result<ClientCert, Failure> {
    let chain = certificates("--cert", cert)?;
    let wrong = |reason: &str| Failure::Usage(format!("--key {}: {reason}", key.display()));
    let private = PrivateKey::from_pem(&read("--key", key)?).map_err(|_| wrong("holds no PEM key"))?;
    // ureq panics when the two do not fit, so they are tried on here.
    let der = rustls::pki_types::PrivateKeyDer::try_from(private.der().to_vec()).map_err(wrong)?;
    let chain_der = chain.iter().map(|certificate| certificate.der().to_vec().into()).collect();
    rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(rustls::RootCertStore::empty()))
        .and_then(|builder| builder.with_client_auth_cert(chain_der, der))
        .map_err(|e| wrong(&format!("does not fit --cert: {e}")))?;
    Ok(ClientCert::new_with_certs(&chain, private))
}

/// The files of certificates and keys.
pub(super) fn files(access: &Access) -> impl Iterator<Item = &Path> {
    let files = [&access.ca_file, &access.cert, &access.key].into_iter().filter_map(|file| file.as_deref());
    files.filter(|file| !file.as_os_str().is_empty())
}
