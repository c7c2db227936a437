//! Where the tokens come from: variables, or files that are read again while the server runs.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::ConfigError;
use super::secret_file::SecretFile;
use super::values::Values;
use super::variables::{API_TOKEN, API_TOKEN_FILE, SD_TOKEN, SD_TOKEN_FILE, TOKENS_FILE, Variable};
use crate::http::{KnownToken, Token, TokenSets};
use crate::tokens;

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
    File(SecretFile),
}

impl TokenSources {
    pub(super) fn new(values: &Values) -> Result<TokenSources, ConfigError> {
        let write = source(values, API_TOKEN, API_TOKEN_FILE)?;
        let named = SecretFile::of(values, TOKENS_FILE);
        if write.is_none() && named.is_none() {
            let reason = "not set; a token for registrations is needed, here, in API_TOKEN_FILE or in TOKENS_FILE";
            return Err(ConfigError::without_value(API_TOKEN, reason.to_owned()));
        }
        Ok(TokenSources { write, read: source(values, SD_TOKEN, SD_TOKEN_FILE)?, named })
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let unnamed = [&self.write, &self.read].into_iter().filter_map(|source| match source {
            Some(Source::File(file)) => Some(file),
            _ => None,
        });
        unnamed.chain(&self.named).map(SecretFile::path)
    }

    /// Reads the tokens.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read or holds no token, or when no token is for registrations.
    pub fn read(&self) -> Result<TokenSets, ConfigError> {
        let unnamed = |source: &Option<Source>| source.as_ref().map_or(Ok(Vec::new()), Source::read);
        let sets = TokenSets { write: unnamed(&self.write)?, read: unnamed(&self.read)?, named: self.read_named()? };
        if let Some(file) = self.named.as_ref().filter(|_| !sets.can_write()) {
            let reason = "holds no token for writing, and neither API_TOKEN nor API_TOKEN_FILE is set";
            return Err(file.wrong(reason.to_owned()));
        }
        Ok(sets)
    }

    fn read_named(&self) -> Result<Vec<KnownToken>, ConfigError> {
        let Some(file) = &self.named else { return Ok(Vec::new()) };
        let text = String::from_utf8(file.read()?).map_err(|_| file.wrong("is not UTF-8".to_owned()))?;
        let tokens = tokens::parse_file(&text).map_err(|reason| file.wrong(reason))?;
        Ok(tokens.into_iter().map(KnownToken::from).collect())
    }
}

fn source(values: &Values, variable: Variable, file: Variable) -> Result<Option<Source>, ConfigError> {
    match (values.raw(variable), SecretFile::of(values, file)) {
        (Some(_), Some(_)) => Err(ConfigError::together(variable, file)),
        (Some(value), None) => {
            let value = value.as_bytes();
            if value.trim_ascii() != value || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                let reason = "begins or ends with a blank, or contains a line break or another control character, \
                              which no client can send";
                return Err(ConfigError::without_value(variable, reason.to_owned()));
            }
            Ok(Token::new(value).map(Source::Value))
        }
        (None, file) => Ok(file.map(Source::File)),
    }
}

impl Source {
    fn read(&self) -> Result<Vec<Token>, ConfigError> {
        match self {
            Source::Value(token) => Ok(vec![token.clone()]),
            Source::File(file) => tokens_of(&file.read()?).map_err(|reason| file.wrong(reason)),
        }
    }
}

fn tokens_of(bytes: &[u8]) -> Result<Vec<Token>, String> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty());
    match lines.clone().count() {
        0 => Err("holds no token; expected one or more, one per line".to_owned()),
        n if n > TOKENS_MAX => Err(format!("contains {n} tokens; at most {TOKENS_MAX} are allowed")),
        _ => Ok(lines.filter_map(Token::new).collect()),
    }
}
