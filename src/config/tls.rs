//! Where the certificate, its key and the authorities for clients come from: files that are read again while the server
//! runs.

use std::path::Path;

use super::error::ConfigError;
use super::secret_file::{IdentityFiles, SecretFile};
use super::values::Values;
use super::variables::{LISTEN_ADDR, TLS_CERT, TLS_CLIENT_CA, TLS_KEY};
use crate::http::server::{Credentials, Listen};

/// The files of a server that speaks TLS.
#[derive(Debug)]
pub struct TlsSources {
    identity: IdentityFiles,
    client_ca: Option<SecretFile>,
}

impl TlsSources {
    /// `None` when the server is to speak HTTP alone.
    pub(super) fn new(values: &Values, listen: &Listen) -> Result<Option<TlsSources>, ConfigError> {
        let client_ca = SecretFile::of(values, TLS_CLIENT_CA);
        let Some(identity) = IdentityFiles::of(values, TLS_CERT, TLS_KEY)? else {
            return client_ca.map_or(Ok(None), |_| Err(ConfigError::missing(TLS_CERT, TLS_CLIENT_CA)));
        };
        if let Listen::Unix(path) = listen {
            let reason = "a Unix socket does not speak TLS; take TLS_CERT away, or listen on a port".to_owned();
            return Err(ConfigError::new(LISTEN_ADDR, &format!("unix:{}", path.display()), reason));
        }
        Ok(Some(TlsSources { identity, client_ca }))
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.identity.paths().into_iter().chain(self.client_ca.as_ref().map(SecretFile::path))
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read, or does not fit the others.
    pub fn read(&self) -> Result<Credentials, ConfigError> {
        let client_ca = self.client_ca.as_ref().map(SecretFile::read_authorities).transpose()?;
        Credentials::new(self.identity.read()?, client_ca).map_err(|reason| self.identity.wrong(reason))
    }
}
