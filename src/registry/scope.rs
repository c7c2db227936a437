//! The groups that somebody may see or change. Pure.

/// All groups, or some by name or by the beginning of their names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every group, also those that do not exist yet.
    All,
    /// Those that one of these patterns names.
    Groups(Vec<Pattern>),
}

/// A name of a group, or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    name: String,
    is_prefix: bool,
}

impl Scope {
    /// Whether it has this group.
    pub fn has(&self, group: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Groups(patterns) => patterns.iter().any(|pattern| pattern.matches(group)),
        }
    }

    /// Reads `*`, or names joined by commas, each of which may end in `*`. `%` with two hexadecimal digits stands for a
    /// byte: for blanks, commas, `%` and `*`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Scope, String> {
        if text == "*" {
            return Ok(Scope::All);
        }
        text.split(',').map(Pattern::parse).collect::<Result<_, _>>().map(Scope::Groups)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
        if name.is_empty() || name.contains('*') {
            return Err(format!("{text:?} is no group: * stands alone or at the end of a name"));
        }
        let name =
            unescape(name).ok_or_else(|| format!("{text:?} is no group: after % come two hexadecimal digits"))?;
        Ok(Pattern { name, is_prefix })
    }

    fn matches(&self, group: &str) -> bool {
        if self.is_prefix { group.starts_with(&self.name) } else { group == self.name }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
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
            ("z%C3%BCrich*", &["zürich", "zürich-1"], &["zurich"]),
        ] {
            let scope = Scope::parse(text).unwrap();
            assert!(inside.iter().all(|group| scope.has(group)), "{text} has {inside:?}");
            assert!(!outside.iter().any(|group| scope.has(group)), "{text} has none of {outside:?}");
        }
    }

    #[test]
    fn what_names_no_group_is_refused() {
        for text in ["", ",", "a,", "**", "a*b", "*a", "*,a", "%", "%2", "%zz", "%+1", "%ff", "a,%C3"] {
            assert!(Scope::parse(text).is_err(), "{text}");
        }
    }
}
