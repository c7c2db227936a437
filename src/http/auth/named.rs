//! Tokens with names, for some groups or all: a line of `TOKENS_FILE` each, `name role groups sha256:HEX`.

use super::token::{Role, Token};
use crate::http::query::percent_decode;
use crate::registry::{GroupPattern, Scope};

/// The longest name, in characters: it stands in log lines and answers.
const NAME_CHARS_MAX: usize = 64;

/// The names that `API_TOKEN` and `SD_TOKEN` have.
const RESERVED: &[&str] = &["api", "sd"];

/// A token with a name.
#[derive(Debug, Clone)]
pub struct NamedToken {
    /// Who has it, for the log and the list of changes.
    pub(super) name: String,
    /// What it is for.
    pub(super) role: Role,
    /// The groups that it is for.
    pub(super) scope: Scope,
    /// The secret's digest.
    pub(super) token: Token,
}

impl NamedToken {
    /// Reads the lines of a file. Empty ones and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// A sentence with the number of the line and what is wrong in it; never the secret's digest.
    pub fn parse_file(text: &str) -> Result<Vec<NamedToken>, String> {
        let mut tokens: Vec<NamedToken> = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = NamedToken::parse(line).map_err(|reason| format!("line {number}: {reason}"))?;
            if let Some(first) = tokens.iter().find(|known| known.name == token.name || known.token == token.token) {
                let what = if first.name == token.name { "name" } else { "secret" };
                return Err(format!("line {number}: the {what} of {} stands here again", first.name));
            }
            tokens.push(token);
        }
        Ok(tokens)
    }

    fn parse(line: &str) -> Result<NamedToken, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, role, groups, secret] = words[..] else {
            return Err("expected name role groups sha256:HEX".to_owned());
        };
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.len() > NAME_CHARS_MAX || !name.chars().all(is_part) {
            return Err(format!("{name:?} is no name: expected at most {NAME_CHARS_MAX} of letters, digits, - _ ."));
        }
        if RESERVED.contains(&name) {
            return Err(format!("{name:?} is the name of the token in API_TOKEN or SD_TOKEN"));
        }
        let role = match role {
            "read" => Role::Read,
            "write" => Role::Write,
            _ => return Err(format!("{role:?} is no role: expected read or write")),
        };
        let token = secret.strip_prefix("sha256:").and_then(from_hex).map(Token);
        let token = token.ok_or("expected sha256: and 64 hexadecimal digits as the fourth word")?;
        Ok(NamedToken { name: name.to_owned(), role, scope: scope(groups)?, token })
    }
}

/// Reads `*`, or names joined by commas, each of which may end in `*`. Blanks, commas, `%` and `*` in names are
/// percent-encoded.
fn scope(text: &str) -> Result<Scope, String> {
    if text == "*" {
        return Ok(Scope::All);
    }
    text.split(',').map(pattern).collect::<Result<_, _>>().map(Scope::Groups)
}

fn pattern(text: &str) -> Result<GroupPattern, String> {
    let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
    if name.is_empty() || name.contains('*') {
        return Err(format!("{text:?} is no group: * stands alone or at the end of a name"));
    }
    let name = percent_decode(name).ok_or_else(|| format!("{text:?} is no group: it is not percent-encoded UTF-8"))?;
    Ok(if is_prefix { GroupPattern::Prefix(name) } else { GroupPattern::Name(name) })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "secret" and "other".
    const SECRET: &str = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    const OTHER: &str = "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

    #[test]
    fn a_line_is_a_token() {
        let text = format!("# name role groups secret\n\n ops write * {SECRET}\r\nteam-a.ro\tread  a,b*  {OTHER}\n");
        let tokens = NamedToken::parse_file(&text).unwrap();
        let names: Vec<(&str, Role)> = tokens.iter().map(|token| (token.name.as_str(), token.role)).collect();
        assert_eq!(names, [("ops", Role::Write), ("team-a.ro", Role::Read)]);
        assert_eq!(tokens[0].token, Token::of(b"secret"));
        assert_eq!(tokens[0].scope, Scope::All);
        assert!(tokens[1].scope.has("bc") && !tokens[1].scope.has("ab"));
    }

    #[test]
    fn a_scope_has_what_its_patterns_name() {
        for (text, inside, outside) in [
            ("*", &["", "a", "a b"][..], &[][..]),
            ("a", &["a"], &["", "A", "ab"]),
            ("a,b*", &["a", "b", "bc"], &["c", "ab"]),
            ("a%20b%2Cc%25%2a", &["a b,c%*"], &["a%20b", "a b,c%*d"]),
            ("z%C3%BCrich*", &["z\u{fc}rich", "z\u{fc}rich-1"], &["zurich"]),
        ] {
            let scope = scope(text).unwrap();
            assert!(inside.iter().all(|group| scope.has(group)), "{text} has {inside:?}");
            assert!(!outside.iter().any(|group| scope.has(group)), "{text} has none of {outside:?}");
        }
        for text in ["", ",", "a,", "**", "a*b", "*a", "*,a", "%", "%2", "%zz", "%+1", "%ff", "a,%C3"] {
            assert!(scope(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_line_is_refused_by_its_number() {
        for (line, word) in [
            ("ops write *".to_owned(), "expected name"),
            (format!("ops write * {SECRET} more"), "expected name"),
            (format!("api write * {SECRET}"), "API_TOKEN"),
            (format!("sd read * {SECRET}"), "SD_TOKEN"),
            (format!("ops admin * {SECRET}"), "admin"),
            (format!("o/ps write * {SECRET}"), "o/ps"),
            (format!("ops write a,,b {SECRET}"), "no group"),
            ("ops write * secret".to_owned(), "sha256:"),
            (format!("ops write * {}", &SECRET[..70]), "sha256:"),
            (format!("first read * {OTHER}"), "name of first"),
            (format!("ops read * {SECRET}"), "secret of first"),
        ] {
            let text = format!("first write * {SECRET}\n{line}");
            let reason = NamedToken::parse_file(&text).expect_err(&line);
            assert!(reason.starts_with("line 2: ") && reason.contains(word), "{line}: {reason}");
        }
    }
}
