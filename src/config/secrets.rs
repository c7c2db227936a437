//! The sources of tokens, certificates and passwords: variables, or files that are reread while the server runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::values::{ConfigError, Values};
use super::variables::{
    API_TOKEN, API_TOKEN_FILE, LISTEN_ADDR, SD_TOKEN, SD_TOKEN_FILE, TLS_CERT, TLS_CLIENT_CA, TLS_KEY, TOKENS_FILE,
    Variable,
};
use crate::files;
use crate::http::server::{Credentials, Listen};
use crate::pem::{Authorities, Identity, IdentityError};
use crate::tokens::{self, API, Role, SD, Token};

pub const TOKENS_MAX: usize = 100;

/// The source of a secret whose files are reread while the server runs.
pub trait Sources: Send + 'static {
    type Read;

    fn paths(&self) -> impl Iterator<Item = &Path>;

    /// # Errors
    /// [`ConfigError`] if a file cannot be read, holds nothing useful, or does not fit the others.
    fn read(&self) -> Result<Self::Read, ConfigError>;
}

pub struct TokenSources {
    write: Option<Source>,
    read: Option<Source>,
    named: Option<SecretFile>,
}

impl TokenSources {
    pub(super) fn new(values: &Values) -> Result<TokenSources, ConfigError> {
        let write = Source::of(values, API_TOKEN, API_TOKEN_FILE, check_token)?;
        let named = SecretFile::of(values, TOKENS_FILE);
        if write.is_none() && named.is_none() {
            let reason = "not set; a token for registrations is needed, here, in API_TOKEN_FILE or in TOKENS_FILE";
            return Err(ConfigError::without_value(API_TOKEN, reason.to_owned()));
        }
        Ok(TokenSources { write, read: Source::of(values, SD_TOKEN, SD_TOKEN_FILE, check_token)?, named })
    }

    fn read_named(&self) -> Result<Vec<Token>, ConfigError> {
        let Some(file) = &self.named else { return Ok(Vec::new()) };
        let text = String::from_utf8(file.read()?).map_err(|_| file.wrong("is not UTF-8".to_owned()))?;
        tokens::parse_file(&text).map_err(|reason| file.wrong(reason))
    }
}

impl Sources for TokenSources {
    type Read = Vec<Token>;

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let unnamed = [&self.write, &self.read].into_iter().flatten().filter_map(Source::file);
        unnamed.chain(&self.named).map(SecretFile::path)
    }

    /// If a secret occurs twice, the entry with more rights counts: it comes last.
    fn read(&self) -> Result<Vec<Token>, ConfigError> {
        let (write, read) = (unnamed(&self.write, API, Role::Write)?, unnamed(&self.read, SD, Role::Read)?);
        let named = self.read_named()?;
        let tokens = [named, read, write].concat();
        let can_write = tokens.iter().any(|token| token.role == Role::Write);
        if let Some(file) = self.named.as_ref().filter(|_| !can_write) {
            let reason = "holds no token for writing, and neither API_TOKEN nor API_TOKEN_FILE is set";
            return Err(file.wrong(reason.to_owned()));
        }
        Ok(tokens)
    }
}

/// Reads the tokens of a source, one per line.
fn unnamed(source: &Option<Source>, name: &str, role: Role) -> Result<Vec<Token>, ConfigError> {
    let (secrets, file) = match source {
        None => return Ok(Vec::new()),
        Some(Source::Value(secret)) => {
            return Ok(Token::for_all_groups(name, role, secret.as_bytes()).into_iter().collect());
        }
        Some(Source::File(file)) => (file.read()?, file),
    };
    let lines = secrets.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    match lines.clone().count() {
        0 => Err(file.wrong("holds no token; expected one or more, one per line".to_owned())),
        n if n > TOKENS_MAX => Err(file.wrong(format!("contains {n} tokens; at most {TOKENS_MAX} are allowed"))),
        _ => Ok(lines.filter_map(|secret| Token::for_all_groups(name, role, secret)).collect()),
    }
}

fn check_token(value: &OsStr) -> Result<(), &'static str> {
    let value = value.as_bytes();
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    match value.trim_ascii() != value || value.iter().any(is_control) {
        true => {
            Err("begins or ends with a blank, or contains a line break or another control character, which no client \
                     can send")
        }
        false => Ok(()),
    }
}

#[derive(Debug)]
pub struct TlsSources {
    identity: IdentityFiles,
    client_ca: Option<SecretFile>,
}

impl TlsSources {
    /// `None` if the server must speak HTTP alone.
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
}

impl Sources for TlsSources {
    type Read = Credentials;

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.identity.paths().into_iter().chain(self.client_ca.as_ref().map(SecretFile::path))
    }

    fn read(&self) -> Result<Credentials, ConfigError> {
        let client_ca = self.client_ca.as_ref().map(SecretFile::read_authorities).transpose()?;
        Credentials::new(self.identity.read()?, client_ca).map_err(|reason| self.identity.wrong(reason))
    }
}

/// A secret in a variable, or the file that holds it.
pub(super) enum Source {
    Value(OsString),
    File(SecretFile),
}

impl Source {
    pub(super) fn of(
        values: &Values,
        variable: Variable,
        file: Variable,
        check: impl FnOnce(&OsStr) -> Result<(), &'static str>,
    ) -> Result<Option<Source>, ConfigError> {
        match (values.raw(variable), SecretFile::of(values, file)) {
            (Some(_), Some(_)) => Err(ConfigError::together(variable, file)),
            (Some(value), None) => match check(value) {
                Ok(()) => Ok(Some(Source::Value(value.to_owned()))),
                Err(reason) => Err(ConfigError::without_value(variable, reason.to_owned())),
            },
            (None, file) => Ok(file.map(Source::File)),
        }
    }

    pub(super) fn of_text(values: &Values, variable: Variable, file: Variable) -> Result<Option<Source>, ConfigError> {
        Source::of(values, variable, file, |value| value.to_str().map(|_| ()).ok_or("expected UTF-8"))
    }

    pub(super) fn file(&self) -> Option<&SecretFile> {
        if let Source::File(file) = self { Some(file) } else { None }
    }

    /// The one secret in it.
    pub(super) fn text(&self) -> Result<String, ConfigError> {
        match self {
            Source::Value(text) => Ok(text.to_string_lossy().into_owned()),
            Source::File(file) => {
                let secret = files::secret(&file.path).map_err(|reason| file.wrong(reason))?;
                String::from_utf8(secret).map_err(|_| file.wrong("is not UTF-8".to_owned()))
            }
        }
    }
}

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

    pub(super) fn read_authorities(&self) -> Result<Authorities, ConfigError> {
        Authorities::new(self.read()?).map_err(|reason| self.wrong(reason))
    }
}

/// The files of a certificate and its key. Neither is of use without the other.
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
