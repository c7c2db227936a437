//! Who asks, and what they may. Tokens are known by their SHA-256 alone, replaced while running, and never printed.

pub(super) use crate::tokens::Role;
use crate::tokens::{self, Groups};
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;

use super::request::Request;
use crate::registry::{GroupPattern, Scope};

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

/// A token with a name.
#[derive(Debug, Clone)]
pub struct KnownToken {
    /// Who has it, for the log and the list of changes.
    pub(super) name: String,
    pub(super) role: Role,
    /// The groups that it is for.
    pub(super) scope: Scope,
    pub(super) token: Token,
}

impl From<tokens::NamedToken> for KnownToken {
    fn from(tokens::NamedToken { name, role, groups, digest }: tokens::NamedToken) -> KnownToken {
        let scope = match groups {
            Groups::All => Scope::All,
            Groups::Some(patterns) => Scope::Groups(patterns.into_iter().map(pattern).collect()),
        };
        KnownToken { name, role, scope, token: Token(digest) }
    }
}

fn pattern(tokens::Pattern { name, is_prefix }: tokens::Pattern) -> GroupPattern {
    if is_prefix { GroupPattern::Prefix(name) } else { GroupPattern::Name(name) }
}

fn written(pattern: &GroupPattern) -> String {
    match pattern {
        GroupPattern::Name(name) => tokens::written(name, false),
        GroupPattern::Prefix(name) => tokens::written(name, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_what_its_patterns_name() {
        for (text, inside, outside) in [
            ("*", &["", "a", "a b"][..], &[][..]),
            ("a", &["a"], &["", "A", "ab"]),
            ("a,b*", &["a", "b", "bc"], &["c", "ab"]),
            ("a%20b%2Cc%25%2a", &["a b,c%*"], &["a%20b", "a b,c%*d"]),
        ] {
            let line = tokens::line("ops", "write", text, &[0; 32]).unwrap();
            let KnownToken { scope, .. } = tokens::parse_file(&line).unwrap().remove(0).into();
            assert!(inside.iter().all(|group| scope.has(group)), "{text} has {inside:?}");
            assert!(!outside.iter().any(|group| scope.has(group)), "{text} has none of {outside:?}");
        }
    }
}

/// The tokens of each kind.
#[derive(Debug, Clone)]
pub struct TokenSets {
    /// For registrations, called `api` in the log.
    pub write: Vec<Token>,
    /// For polls, called `sd`. None of these, and no named one for reading, means that everybody may read.
    pub read: Vec<Token>,
    /// Those with names, for some groups or all.
    pub named: Vec<KnownToken>,
}

impl TokenSets {
    pub fn can_write(&self) -> bool {
        !self.write.is_empty() || self.named.iter().any(|token| token.role == Role::Write)
    }
}

/// The tokens in force. Several of a kind are valid at once, so that one can be replaced without a gap.
pub struct Tokens(RwLock<Arc<Holders>>);

struct Holders {
    by_token: HashMap<Token, Arc<Holder>>,
    reading_is_open: bool,
}

/// Whoever has a token.
struct Holder {
    name: String,
    role: Role,
    scope: Scope,
}

/// Who sent a request.
pub(super) struct Caller {
    holder: Option<Arc<Holder>>,
    reading_is_open: bool,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// A token is needed and there is none, or none that is known.
    Unknown,
    /// The token is known and has not the right.
    Forbidden,
}

impl Tokens {
    /// Puts tokens in force.
    pub fn new(sets: TokenSets) -> Tokens {
        Tokens(RwLock::new(Arc::new(Holders::new(sets))))
    }

    /// Replaces all tokens; requests from now on need the new ones.
    pub fn replace(&self, sets: TokenSets) {
        *self.0.write() = Arc::new(Holders::new(sets));
    }

    /// Somebody who needs no token.
    pub(super) fn anybody(&self) -> Caller {
        Caller { holder: None, reading_is_open: self.0.read().reading_is_open }
    }

    /// Whether reading needs a token; writing always does.
    pub(super) fn reading_needs_one(&self) -> bool {
        !self.0.read().reading_is_open
    }

    /// Who writes: `x-api-token`, or else `Authorization`.
    pub(super) fn writer(&self, request: &Request) -> Result<Caller, Denied> {
        let holders = self.0.read().clone();
        let holder = match request.header("x-api-token") {
            Some(secret) => holders.writer(secret),
            None => holders.by_authorization(request),
        };
        let holder = holder.ok_or(Denied::Unknown)?;
        match holder.role {
            Role::Write => Ok(Caller { holder: Some(holder), reading_is_open: holders.reading_is_open }),
            Role::Read => Err(Denied::Forbidden),
        }
    }

    /// Who reads: `x-sd-token`, or else `Authorization`; where `x-api-token` may name a reader as well, that first.
    pub(super) fn reader(&self, request: &Request, by_api_token: bool) -> Result<Caller, Denied> {
        let holders = self.0.read().clone();
        let api_token = request.header("x-api-token").filter(|_| by_api_token);
        let holder = match (api_token, request.header("x-sd-token")) {
            (Some(secret), _) => holders.writer(secret),
            (None, Some(secret)) => holders.find(secret),
            (None, None) => holders.by_authorization(request),
        };
        let reading_is_open = holders.reading_is_open;
        if holder.is_none() && !reading_is_open {
            return Err(Denied::Unknown);
        }
        Ok(Caller { holder, reading_is_open })
    }

    /// Who reads what names everything: somebody with a token for everything, whether reading lists needs one or not.
    pub(super) fn reader_of_all(&self, request: &Request) -> Result<Caller, Denied> {
        let caller = self.reader(request, true)?;
        match caller.holder.as_ref().map(|holder| &holder.scope) {
            Some(Scope::All) => Ok(caller),
            Some(_) => Err(Denied::Forbidden),
            None => Err(Denied::Unknown),
        }
    }
}

impl Holders {
    fn new(sets: TokenSets) -> Holders {
        let reads = |token: &KnownToken| token.role == Role::Read;
        let reading_is_open = sets.read.is_empty() && !sets.named.iter().any(reads);
        let unnamed = |tokens: Vec<Token>, name: &'static str, role| {
            tokens.into_iter().map(move |token| (token, Holder { name: name.to_owned(), role, scope: Scope::All }))
        };
        let named =
            sets.named.into_iter().map(|KnownToken { name, role, scope, token }| (token, Holder { name, role, scope }));
        // Where a secret has two meanings, the one that may do more counts: it comes last.
        let all = named.chain(unnamed(sets.read, "sd", Role::Read)).chain(unnamed(sets.write, "api", Role::Write));
        Holders { by_token: all.map(|(token, holder)| (token, Arc::new(holder))).collect(), reading_is_open }
    }

    fn find(&self, secret: &[u8]) -> Option<Arc<Holder>> {
        self.by_token.get(&Token::of(secret)).cloned()
    }

    /// The holder of a token, if the token is for registrations.
    fn writer(&self, secret: &[u8]) -> Option<Arc<Holder>> {
        self.find(secret).filter(|holder| holder.role == Role::Write)
    }

    /// What each client can send: Bearer, Basic with the token as password, and the bare value (Prometheus before 2.48
    /// sends `credentials` without a scheme when the configuration names no type).
    fn by_authorization(&self, request: &Request) -> Option<Arc<Holder>> {
        let authorization = request.header("authorization")?;
        let bearer = || after_scheme(authorization, b"bearer").and_then(|secret| self.find(secret));
        let basic = || after_scheme(authorization, b"basic").and_then(password).and_then(|secret| self.find(&secret));
        self.find(authorization).or_else(bearer).or_else(basic)
    }
}

impl Caller {
    /// The name of the token, if there is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.holder.as_ref().map(|holder| holder.name.as_str())
    }

    /// What the token is for, and the groups as the file of tokens names them; `None` where there is no token.
    pub(super) fn rights(&self) -> Option<(Role, Vec<String>)> {
        let Holder { role, scope, .. } = self.holder.as_deref()?;
        let groups = match scope {
            Scope::All => vec!["*".to_owned()],
            Scope::Groups(patterns) => patterns.iter().map(written).collect(),
        };
        Some((*role, groups))
    }

    /// The groups that may be seen. Who has a token sees no less than who has none.
    pub(super) fn reads(&self) -> &Scope {
        match &self.holder {
            Some(holder) if !self.reading_is_open => &holder.scope,
            _ => &Scope::All,
        }
    }

    /// The groups whose registrations may be made, changed and removed.
    pub(super) fn writes(&self) -> Scope {
        let holder = self.holder.as_ref().filter(|holder| holder.role == Role::Write);
        holder.map_or_else(|| Scope::Groups(Vec::new()), |holder| holder.scope.clone())
    }

    /// Whether registrations of this group may be made, changed and removed.
    pub(super) fn may_write(&self, group: &str) -> bool {
        self.writes().has(group)
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
