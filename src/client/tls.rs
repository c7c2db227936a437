//! Whom the client trusts, and which certificate it shows.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::Failure;
use crate::config::commands::Access;
use crate::files;
use crate::http_client::crypto;
use crate::pem::{Authorities, Identity, IdentityError};

/// The flags that name the files.
const CA_FILE: &str = "--ca-file";
const CERT: &str = "--cert";
const KEY: &str = "--key";

/// The settings for connections to the server. The system's certificates are read only if they are needed.
pub(super) fn settings(access: &Access, needed: bool) -> Result<TlsConfig, Failure> {
    let [ca_file, cert, key] = [&access.ca_file, &access.cert, &access.key]
        .map(|path| path.as_deref().filter(|path| !path.as_os_str().is_empty()));
    let roots = match ca_file {
        Some(path) => authorities(path)?,
        None if needed => certificates(&rustls_native_certs::load_native_certs().certs),
        None => Vec::new(),
    };
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(identity(cert, key)?),
        (None, None) => None,
        (Some(_), None) => return Err(Failure::Usage("--cert needs --key, the key of that certificate".to_owned())),
        (None, Some(_)) => return Err(Failure::Usage("--key needs --cert, the certificate for it".to_owned())),
    };
    let builder = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(identity);
    Ok(builder.unversioned_rustls_crypto_provider(crypto()).build())
}

fn wrong(flag: &str, path: &Path, reason: &str) -> Failure {
    Failure::Usage(format!("{flag} {}: {reason}", path.display()))
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    files::secrets(path).map_err(|reason| wrong(flag, path, &reason))
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let authorities = Authorities::new(read(CA_FILE, path)?).map_err(|reason| wrong(CA_FILE, path, &reason))?;
    Ok(certificates(&authorities.certificates))
}

fn identity(cert: &Path, key: &Path) -> Result<ClientCert, Failure> {
    let identity = Identity::new([read(CERT, cert)?, read(KEY, key)?]).map_err(|error| match error {
        IdentityError::Chain(reason) => wrong(CERT, cert, &reason),
        IdentityError::Key(reason) => wrong(KEY, key, &reason),
    })?;
    let key = PrivateKey::from_pem(&identity.pem[1]).map_err(|e| wrong(KEY, key, &e.to_string()))?;
    Ok(ClientCert::new_with_certs(&certificates(&identity.chain), key))
}

fn certificates(der: &[CertificateDer<'_>]) -> Vec<Certificate<'static>> {
    der.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

/// The files of certificates and keys.
pub(super) fn files(access: &Access) -> impl Iterator<Item = &Path> {
    let files = [&access.ca_file, &access.cert, &access.key].into_iter().filter_map(|file| file.as_deref());
    files.filter(|file| !file.as_os_str().is_empty())
}
