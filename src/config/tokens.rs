//! Where the tokens come from: variables, or files that are read again while the server runs.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::ConfigError;
use super::secret_file::SecretFile;
use super::values::Values;
use super::variables::{API_TOKEN, API_TOKEN_FILE, SD_TOKEN, SD_TOKEN_FILE, TOKENS_FILE, Variable};
use crate::tokens::{self, API, Role, SD, Token};

pub const TOKENS_MAX: usize = 100;

/// Where tokens come from; files are read again while the server runs.
#[derive(Debug)]
pub struct TokenSources {
    write: Option<Source>,
    read: Option<Source>,
    named: Option<SecretFile>,
}

#[derive(Debug)]
enum Source {
    Value(Token),
    /// A secret in each line.
    File {
        file: SecretFile,
        name: &'static str,
        role: Role,
    },
}

impl TokenSources {
    pub(super) fn new(values: &Values) -> Result<TokenSources, ConfigError> {
        let write = Source::new(values, API_TOKEN, API_TOKEN_FILE, (API, Role::Write))?;
        let named = SecretFile::of(values, TOKENS_FILE);
        if write.is_none() && named.is_none() {
            let reason = "not set; a token for registrations is needed, here, in API_TOKEN_FILE or in TOKENS_FILE";
            return Err(ConfigError::without_value(API_TOKEN, reason.to_owned()));
        }
        Ok(TokenSources { write, read: Source::new(values, SD_TOKEN, SD_TOKEN_FILE, (SD, Role::Read))?, named })
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let unnamed = [&self.write, &self.read].into_iter().filter_map(|source| match source {
            Some(Source::File { file, .. }) => Some(file),
            _ => None,
        });
        unnamed.chain(&self.named).map(SecretFile::path)
    }

    /// Reads the tokens. Where a secret has two meanings, the one that may do more counts: it comes last.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read or holds no token, or when no token is for registrations.
    pub fn read(&self) -> Result<Vec<Token>, ConfigError> {
        let unnamed = |source: &Option<Source>| source.as_ref().map_or(Ok(Vec::new()), Source::read);
        let (write, read, named) = (unnamed(&self.write)?, unnamed(&self.read)?, self.read_named()?);
        let tokens = [named, read, write].concat();
        let can_write = tokens.iter().any(|token| token.role == Role::Write);
        if let Some(file) = self.named.as_ref().filter(|_| !can_write) {
            let reason = "holds no token for writing, and neither API_TOKEN nor API_TOKEN_FILE is set";
            return Err(file.wrong(reason.to_owned()));
        }
        Ok(tokens)
    }

    fn read_named(&self) -> Result<Vec<Token>, ConfigError> {
        let Some(file) = &self.named else { return Ok(Vec::new()) };
        let text = String::from_utf8(file.read()?).map_err(|_| file.wrong("is not UTF-8".to_owned()))?;
        tokens::parse_file(&text).map_err(|reason| file.wrong(reason))
    }
}

impl Source {
    fn new(
        values: &Values,
        variable: Variable,
        file: Variable,
        (name, role): (&'static str, Role),
    ) -> Result<Option<Source>, ConfigError> {
        match (values.raw(variable), SecretFile::of(values, file)) {
            (Some(_), Some(_)) => Err(ConfigError::together(variable, file)),
            (Some(value), None) => {
                let value = value.as_bytes();
                if value.trim_ascii() != value || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                    let reason = "begins or ends with a blank, or contains a line break or another control character, \
                                  which no client can send";
                    return Err(ConfigError::without_value(variable, reason.to_owned()));
                }
                Ok(Token::for_all_groups(name, role, value).map(Source::Value))
            }
            (None, file) => Ok(file.map(|file| Source::File { file, name, role })),
        }
    }

    fn read(&self) -> Result<Vec<Token>, ConfigError> {
        let (file, name, role) = match self {
            Source::Value(token) => return Ok(vec![token.clone()]),
            Source::File { file, name, role } => (file, name, *role),
        };
        let bytes = file.read()?;
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        match lines.clone().count() {
            0 => Err(file.wrong("holds no token; expected one or more, one per line".to_owned())),
            n if n > TOKENS_MAX => Err(file.wrong(format!("contains {n} tokens; at most {TOKENS_MAX} are allowed"))),
            _ => Ok(lines.filter_map(|secret| Token::for_all_groups(name, role, secret)).collect()),
        }
    }
}
