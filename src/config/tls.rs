//! Where the certificate, its key and the authorities for clients come from: files that are read again while the server
//! runs.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::values::Values;
use super::variables::{LISTEN_ADDR, TLS_CERT, TLS_CLIENT_CA, TLS_KEY, Variable};
use crate::files;
use crate::http::server::{Credentials, CredentialsError, Listen, Pem};

/// The files of a server that speaks TLS.
#[derive(Debug)]
pub struct TlsSources {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl TlsSources {
    /// `None` when the server is to speak HTTP alone.
    pub(super) fn new(values: &Values, listen: &Listen) -> Result<Option<TlsSources>, ConfigError> {
        let lacks = |variable, other: Variable| {
            Err(ConfigError::without_value(variable, format!("not set; {} needs it", other.name)))
        };
        let (cert, key) = match (values.path(TLS_CERT), values.path(TLS_KEY)) {
            (Some(cert), Some(key)) => (cert, key),
            (Some(_), None) => return lacks(TLS_KEY, TLS_CERT),
            (None, Some(_)) => return lacks(TLS_CERT, TLS_KEY),
            (None, None) if values.is_given(TLS_CLIENT_CA) => return lacks(TLS_CERT, TLS_CLIENT_CA),
            (None, None) => return Ok(None),
        };
        if let Listen::Unix(path) = listen {
            let reason = "a Unix socket does not speak TLS; take TLS_CERT away, or listen on a port".to_owned();
            return Err(ConfigError::new(LISTEN_ADDR, &format!("unix:{}", path.display()), reason));
        }
        Ok(Some(TlsSources { cert, key, client_ca: values.path(TLS_CLIENT_CA) }))
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read, or does not fit the others.
    pub fn read(&self) -> Result<Credentials, ConfigError> {
        let wrong = |variable, path: &Path, reason| ConfigError::new(variable, &path.to_string_lossy(), reason);
        let read = |variable, path: &Path| files::secrets(path).map_err(|reason| wrong(variable, path, reason));
        let client_ca = self.client_ca.as_deref().map(|path| read(TLS_CLIENT_CA, path)).transpose()?;
        let pem = Pem { cert: read(TLS_CERT, &self.cert)?, key: read(TLS_KEY, &self.key)?, client_ca };
        Credentials::new(&pem).map_err(|error| {
            let reason = error.to_string();
            match error {
                CredentialsError::Cert(_) => wrong(TLS_CERT, &self.cert, reason),
                CredentialsError::Key(_) => wrong(TLS_KEY, &self.key, reason),
                CredentialsError::ClientCa(_) => {
                    wrong(TLS_CLIENT_CA, self.client_ca.as_deref().unwrap_or(Path::new("")), reason)
                }
            }
        })
    }
}
