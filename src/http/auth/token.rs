//! A token as the server keeps it.

use std::fmt;

use ring::digest::{SHA256, digest};

pub(super) use crate::tokens::Role;

/// A secret, as its SHA-256: what is looked up depends on no byte of it, so that how long that takes tells nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(pub(super) [u8; 32]);

impl Token {
    /// The token with these bytes; `None` when there are none, because an empty token would let everybody in.
    pub fn new(secret: &[u8]) -> Option<Token> {
        (!secret.is_empty()).then(|| Token::of(secret))
    }

    pub(super) fn of(secret: &[u8]) -> Token {
        // The digest has as many bytes as it says.
        Token(digest(&SHA256, secret).as_ref().try_into().unwrap_or_default())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}
