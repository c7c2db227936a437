//! Files of secrets that variables name, to be read again while the server runs.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::values::Values;
use super::variables::Variable;
use crate::files;
use crate::pem::{Authorities, Identity, IdentityError};

/// A file and the variable that names it.
#[derive(Debug)]
pub(super) struct SecretFile {
    variable: Variable,
    path: PathBuf,
}

impl SecretFile {
    pub(super) fn of(values: &Values, variable: Variable) -> Option<SecretFile> {
        values.path(variable).map(|path| SecretFile { variable, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error that names the file.
    pub(super) fn wrong(&self, reason: String) -> ConfigError {
        ConfigError::new(self.variable, &self.path.to_string_lossy(), reason)
    }

    pub(super) fn read(&self) -> Result<Vec<u8>, ConfigError> {
        files::secrets(&self.path).map_err(|reason| self.wrong(reason))
    }

    /// The one secret in it, as text.
    pub(super) fn read_secret(&self) -> Result<String, ConfigError> {
        let secret = files::secret(&self.path).map_err(|reason| self.wrong(reason))?;
        String::from_utf8(secret).map_err(|_| self.wrong("is not UTF-8".to_owned()))
    }

    pub(super) fn read_authorities(&self) -> Result<Authorities, ConfigError> {
        Authorities::new(self.read()?).map_err(|reason| self.wrong(reason))
    }
}

/// The files of a certificate and its key, of which one is nothing without the other.
#[derive(Debug)]
pub(super) struct IdentityFiles {
    cert: SecretFile,
    key: SecretFile,
}

impl IdentityFiles {
    pub(super) fn of(values: &Values, cert: Variable, key: Variable) -> Result<Option<IdentityFiles>, ConfigError> {
        match (SecretFile::of(values, cert), SecretFile::of(values, key)) {
            (Some(cert), Some(key)) => Ok(Some(IdentityFiles { cert, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError::missing(key, cert)),
            (None, Some(_)) => Err(ConfigError::missing(cert, key)),
        }
    }

    pub(super) fn paths(&self) -> [&Path; 2] {
        [self.cert.path(), self.key.path()]
    }

    /// An error that names the file of the certificate.
    pub(super) fn wrong(&self, reason: String) -> ConfigError {
        self.cert.wrong(reason)
    }

    pub(super) fn read(&self) -> Result<Identity, ConfigError> {
        Identity::new([self.cert.read()?, self.key.read()?]).map_err(|error| match error {
            IdentityError::Chain(reason) => self.cert.wrong(reason),
            IdentityError::Key(reason) => self.key.wrong(reason),
        })
    }
}
