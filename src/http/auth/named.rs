//! Tokens with names, for some groups or all, as the server keeps them.

use super::token::{Role, Token};
use crate::registry::{GroupPattern, Scope};
use crate::tokens::{self, Groups};

/// A token with a name.
#[derive(Debug, Clone)]
pub struct KnownToken {
    /// Who has it, for the log and the list of changes.
    pub(super) name: String,
    /// What it is for.
    pub(super) role: Role,
    /// The groups that it is for.
    pub(super) scope: Scope,
    /// The secret's digest.
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
