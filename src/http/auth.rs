//! Who sends a request, and what they may do. Tokens are replaced while the server runs.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;

use super::request::Request;
use crate::tokens::{Digest, GroupPattern, Role, Scope, Token, digest_of};

const NO_GROUPS: &Scope = &Scope::Groups(Vec::new());

/// The tokens in force. Several of a kind are valid at the same time, so that one can be replaced without a gap.
pub struct Tokens(RwLock<Arc<InForce>>);

struct InForce {
    by_digest: HashMap<Digest, Arc<Token>>,
    /// Without a token for reading, everybody may read.
    reading_is_open: bool,
}

pub(super) struct Caller {
    token: Option<Arc<Token>>,
    reading_is_open: bool,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// A token is needed, but there is none or an unknown one.
    Unknown,
    /// The token is known but lacks the right.
    Forbidden,
}

impl Tokens {
    /// Puts tokens in force. If a secret is given twice, the last one counts.
    pub fn new(tokens: Vec<Token>) -> Tokens {
        Tokens(RwLock::new(Arc::new(InForce::new(tokens))))
    }

    /// Replaces all tokens; requests from now on need the new ones.
    pub fn replace(&self, tokens: Vec<Token>) {
        *self.0.write() = Arc::new(InForce::new(tokens));
    }

    /// The caller of a path that needs no token.
    pub(super) fn anybody(&self) -> Caller {
        Caller { token: None, reading_is_open: self.0.read().reading_is_open }
    }

    /// Whether reading needs a token; writing always does.
    pub(super) fn reading_needs_one(&self) -> bool {
        !self.0.read().reading_is_open
    }

    /// The caller of a write: by `x-api-token`, or else `Authorization`.
    pub(super) fn writer(&self, request: &Request) -> Result<Caller, Denied> {
        let in_force = self.0.read().clone();
        let token = match request.header("x-api-token") {
            Some(secret) => in_force.writer(secret),
            None => in_force.by_authorization(request),
        };
        let token = token.ok_or(Denied::Unknown)?;
        match token.role {
            Role::Write => Ok(Caller { token: Some(token), reading_is_open: in_force.reading_is_open }),
            Role::Read => Err(Denied::Forbidden),
        }
    }

    /// The caller of a read: by `x-sd-token`, or else `Authorization`. With `by_api_token`, `x-api-token` comes first.
    pub(super) fn reader(&self, request: &Request, by_api_token: bool) -> Result<Caller, Denied> {
        let in_force = self.0.read().clone();
        let api_token = request.header("x-api-token").filter(|_| by_api_token);
        let token = match (api_token, request.header("x-sd-token")) {
            (Some(secret), _) => in_force.writer(secret),
            (None, Some(secret)) => in_force.find(secret),
            (None, None) => in_force.by_authorization(request),
        };
        let reading_is_open = in_force.reading_is_open;
        if token.is_none() && !reading_is_open {
            return Err(Denied::Unknown);
        }
        Ok(Caller { token, reading_is_open })
    }

    /// The caller of a read that shows everything: a token for everything, even if reading lists needs none.
    pub(super) fn reader_of_all(&self, request: &Request) -> Result<Caller, Denied> {
        let caller = self.reader(request, true)?;
        match caller.token.as_ref().map(|token| &token.groups) {
            Some(Scope::All) => Ok(caller),
            Some(_) => Err(Denied::Forbidden),
            None => Err(Denied::Unknown),
        }
    }
}

impl InForce {
    fn new(tokens: Vec<Token>) -> InForce {
        let reading_is_open = !tokens.iter().any(|token| token.role == Role::Read);
        let by_digest = tokens.into_iter().map(|token| (token.digest, Arc::new(token))).collect();
        InForce { by_digest, reading_is_open }
    }

    fn find(&self, secret: &[u8]) -> Option<Arc<Token>> {
        self.by_digest.get(&digest_of(secret)).cloned()
    }

    /// A token for registrations.
    fn writer(&self, secret: &[u8]) -> Option<Arc<Token>> {
        self.find(secret).filter(|token| token.role == Role::Write)
    }

    /// Finds a token in every form that clients send: Bearer, Basic with the token as password, and the bare value
    /// (Prometheus before 2.48 sends `credentials` without a scheme if the configuration names no type).
    fn by_authorization(&self, request: &Request) -> Option<Arc<Token>> {
        let authorization = request.header("authorization")?;
        let bearer = || after_scheme(authorization, b"bearer").and_then(|secret| self.find(secret));
        let basic = || after_scheme(authorization, b"basic").and_then(password).and_then(|secret| self.find(&secret));
        self.find(authorization).or_else(bearer).or_else(basic)
    }
}

impl Caller {
    /// The name of the token, if there is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.name.as_str())
    }

    /// The role of the token, and its groups as in the file of tokens; `None` without a token.
    pub(super) fn rights(&self) -> Option<(Role, Vec<String>)> {
        let Token { role, groups, .. } = self.token.as_deref()?;
        let groups = match groups {
            Scope::All => vec!["*".to_owned()],
            Scope::Groups(patterns) => patterns.iter().map(GroupPattern::to_string).collect(),
        };
        Some((*role, groups))
    }

    /// The groups that may be seen. A caller with a token sees no less than one without.
    pub(super) fn reads(&self) -> &Scope {
        match &self.token {
            Some(token) if !self.reading_is_open => &token.groups,
            _ => &Scope::All,
        }
    }

    /// The groups in which registrations may be made, changed and removed.
    pub(super) fn writes(&self) -> &Scope {
        let token = self.token.as_ref().filter(|token| token.role == Role::Write);
        token.map_or(NO_GROUPS, |token| &token.groups)
    }
}

/// The credentials after an authentication scheme, whose name matches in any case (RFC 9110, 11.1).
fn after_scheme<'a>(authorization: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (name, rest) = authorization.split_at_checked(scheme.len())?;
    let credentials = rest.trim_ascii_start();
    (name.eq_ignore_ascii_case(scheme) && credentials.len() < rest.len()).then_some(credentials)
}

/// The password of Basic credentials: the text after the first colon (RFC 7617, 2).
fn password(credentials: &[u8]) -> Option<Vec<u8>> {
    let decoded = STANDARD.decode(credentials).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}
