//! Where the tokens come from: variables, or files that are read again while the server runs.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::values::Values;
use super::variables::{API_TOKEN, API_TOKEN_FILE, SD_TOKEN, SD_TOKEN_FILE};
use super::{ConfigError, Variable};
use crate::http::{Token, TokenSets};

/// The most tokens that a file may hold.
pub const TOKENS_MAX: usize = 100;

/// Where tokens come from; files are read again while the server runs.
#[derive(Debug)]
pub struct TokenSources {
    write: Source,
    read: Option<Source>,
}

#[derive(Debug)]
enum Source {
    Value(Token),
    File(Variable, PathBuf),
}

impl TokenSources {
    pub(super) fn new(values: &Values) -> Result<TokenSources, ConfigError> {
        let Some(write) = source(values, API_TOKEN, API_TOKEN_FILE)? else {
            let reason = "not set; the token for registrations is needed, here or in API_TOKEN_FILE".to_owned();
            return Err(ConfigError::without_value(API_TOKEN, reason));
        };
        Ok(TokenSources { write, read: source(values, SD_TOKEN, SD_TOKEN_FILE)? })
    }

    /// Reads the tokens.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read or holds no token.
    pub fn read(&self) -> Result<TokenSets, ConfigError> {
        let read = self.read.as_ref().map(Source::read).transpose()?;
        Ok(TokenSets { write: self.write.read()?, read: read.unwrap_or_default() })
    }
}

fn source(values: &Values, variable: Variable, file: Variable) -> Result<Option<Source>, ConfigError> {
    match (values.raw(variable), values.raw(file)) {
        (Some(_), Some(_)) => Err(ConfigError::together(variable, file)),
        (Some(value), None) => {
            let value = value.as_bytes();
            if value.trim_ascii() != value || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                let reason = "begins or ends with a blank, or has a line end or another control character in it, \
                              which no client can send";
                return Err(ConfigError::without_value(variable, reason.to_owned()));
            }
            Ok(Token::new(value.to_vec()).map(Source::Value))
        }
        (None, Some(path)) => Ok(Some(Source::File(file, path.into()))),
        (None, None) => Ok(None),
    }
}

impl Source {
    fn read(&self) -> Result<Vec<Token>, ConfigError> {
        match self {
            Source::Value(token) => Ok(vec![token.clone()]),
            Source::File(variable, path) => {
                read_tokens(path).map_err(|reason| ConfigError::new(*variable, &path.to_string_lossy(), reason))
            }
        }
    }
}

fn read_tokens(path: &Path) -> Result<Vec<Token>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))?;
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let tokens: Vec<Token> = lines.filter_map(|line| Token::new(line.to_vec())).collect();
    match tokens.len() {
        0 => Err("holds no token; expected one or more, one per line".to_owned()),
        n if n > TOKENS_MAX => Err(format!("holds {n} tokens; at most {TOKENS_MAX} are allowed")),
        _ => Ok(tokens),
    }
}
