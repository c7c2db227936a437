//! Tokens: who may write, who may read. Compared in constant time, replaced while running, never printed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;
use subtle::ConstantTimeEq;

use super::request::Request;

/// A secret, as bytes; printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// A token of these bytes; `None` when there are none, because an empty token would let everybody in.
    pub fn new(bytes: Vec<u8>) -> Option<Token> {
        (!bytes.is_empty()).then_some(Token(bytes))
    }

    fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

/// The tokens in force. Several of a kind are valid at once, so that one can be replaced without a gap.
#[derive(Debug)]
pub struct Tokens(RwLock<TokenSets>);

/// The tokens of each kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSets {
    /// For registrations; at least one.
    pub write: Vec<Token>,
    /// For polls; none means that everybody may poll.
    pub read: Vec<Token>,
}

impl Tokens {
    /// Puts tokens in force.
    pub fn new(sets: TokenSets) -> Tokens {
        Tokens(RwLock::new(sets))
    }

    /// Replaces all tokens; requests from now on need the new ones.
    pub fn replace(&self, sets: TokenSets) {
        *self.0.write() = sets;
    }

    /// `x-api-token`, or `Authorization: Bearer`.
    pub(super) fn may_write(&self, request: &Request) -> bool {
        let sets = self.0.read();
        let known = |given: &[u8]| sets.write.iter().any(|token| token.is(given));
        match (request.header("x-api-token"), request.header("authorization")) {
            (Some(given), _) => known(given),
            (None, Some(authorization)) => after_scheme(authorization, b"bearer").is_some_and(known),
            (None, None) => false,
        }
    }

    /// `x-sd-token`, or what each Prometheus can send: Bearer, Basic with the token as password, and the bare value
    /// (Prometheus before 2.48 sends `credentials` without a scheme when the configuration names no type).
    pub(super) fn may_read(&self, request: &Request) -> bool {
        let sets = self.0.read();
        if sets.read.is_empty() {
            return true;
        }
        let known = |given: &[u8]| sets.read.iter().any(|token| token.is(given));
        match (request.header("x-sd-token"), request.header("authorization")) {
            (Some(given), _) => known(given),
            (None, Some(authorization)) => {
                known(authorization)
                    || after_scheme(authorization, b"bearer").is_some_and(known)
                    || after_scheme(authorization, b"basic").and_then(password).is_some_and(|given| known(&given))
            }
            (None, None) => false,
        }
    }
}

/// The credentials after an authentication scheme, whose name matches in any case (RFC 9110, 11.1).
fn after_scheme<'a>(authorization: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (name, rest) = authorization.split_at_checked(scheme.len())?;
    let credentials = rest.trim_ascii_start();
    (name.eq_ignore_ascii_case(scheme) && credentials.len() < rest.len()).then_some(credentials)
}

/// The password of Basic credentials: what follows the first colon (RFC 7617, 2).
fn password(credentials: &[u8]) -> Option<Vec<u8>> {
    let decoded = STANDARD.decode(credentials).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}
