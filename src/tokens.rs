//! Who may do what: tokens, each for some groups or for all, and `TOKENS_FILE`, the file of tokens with names. It has
//! one line for each token: `name role groups sha256:HEX`. The command that writes such a line checks it by the
//! server's rules.

use std::collections::HashMap;
use std::fmt;

use ring::digest::{SHA256, digest};

pub const TOKENS_MAX: usize = 10_000;

/// The longest name, in characters: it appears in log lines and answers.
const NAME_CHARS_MAX: usize = 64;

/// The names of the tokens in `API_TOKEN` and `SD_TOKEN`.
pub const API: &str = "api";
pub const SD: &str = "sd";

/// A token, known only by the digest of its secret, and never printed.
#[derive(Clone)]
pub struct Token {
    /// For the log and the list of changes.
    pub name: String,
    pub role: Role,
    pub groups: Scope,
    pub digest: Digest,
}

/// The SHA-256 of a secret. Tokens are looked up by it, so that the time of a lookup reveals nothing about a secret.
pub type Digest = [u8; 32];

/// What a token permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Polling and looking up.
    Read,
    /// The same, and registering and removing.
    Write,
}

/// The groups for which a token is valid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every group, including those that do not exist yet.
    All,
    /// The groups that match one of these patterns.
    Groups(Vec<GroupPattern>),
}

/// One group by its name, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupPattern {
    Name(String),
    Prefix(String),
}

impl Token {
    /// A token given by its secret alone; `None` if the secret is empty, because an empty token would let everybody in.
    pub fn for_all_groups(name: &str, role: Role, secret: &[u8]) -> Option<Token> {
        let token = || Token { name: name.to_owned(), role, groups: Scope::All, digest: digest_of(secret) };
        (!secret.is_empty()).then(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

pub fn digest_of(secret: &[u8]) -> Digest {
    // A SHA-256 digest always has this length.
    digest(&SHA256, secret).as_ref().try_into().unwrap_or_default()
}

impl Scope {
    pub fn has(&self, group: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Groups(patterns) => patterns.iter().any(|pattern| match pattern {
                GroupPattern::Name(name) => group == name,
                GroupPattern::Prefix(beginning) => group.starts_with(beginning.as_str()),
            }),
        }
    }
}

/// As in a line of the file.
impl fmt::Display for GroupPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (GroupPattern::Name(name) | GroupPattern::Prefix(name)) = self;
        let is_special = |c: char| c.is_whitespace() || c.is_control() || ",%*".contains(c);
        for c in name.chars() {
            f.write_str(&if is_special(c) { escaped(c) } else { c.to_string() })?;
        }
        f.write_str(if matches!(self, GroupPattern::Prefix(_)) { "*" } else { "" })
    }
}

/// Parses the lines of a file, except empty ones and those that begin with `#`.
///
/// # Errors
/// A sentence that names the line and says what is wrong with it, without the digest.
pub fn parse_file(text: &str) -> Result<Vec<Token>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines: Vec<(usize, &str)> = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
    if lines.len() > TOKENS_MAX {
        return Err(format!("holds {} tokens; at most {TOKENS_MAX} are allowed", lines.len()));
    }
    let mut tokens: Vec<Token> = Vec::with_capacity(lines.len());
    let mut names = HashMap::with_capacity(lines.len());
    let mut secrets = HashMap::with_capacity(lines.len());
    for (at, (number, line)) in lines.into_iter().enumerate() {
        let token = parse(line).map_err(|reason| format!("line {number}: {reason}"))?;
        let known_name = names.insert(token.name.clone(), at).map(|first| ("name", first));
        let known = known_name.or_else(|| secrets.insert(token.digest, at).map(|first| ("secret", first)));
        if let Some((what, first)) = known {
            return Err(format!("line {number}: repeats the {what} of {}", tokens[first].name));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// The line for this token, checked by the server's rules. Blanks in `groups` are escaped for the caller.
pub fn line(name: &str, role: &str, groups: &str, digest: &Digest) -> Result<String, String> {
    check_name(name)?;
    let escape = |c: char| if c.is_whitespace() || c.is_control() { escaped(c) } else { c.to_string() };
    let groups: String = groups.chars().map(escape).collect();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{name} {role} {groups} sha256:{digest}");
    parse_file(&line).map(|_| line)
}

fn check_name(name: &str) -> Result<(), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_part) {
        return Err(format!(
            "{name:?} is not a name: expected 1 to {NAME_CHARS_MAX} letters (a to z), digits, hyphens, underscores and dots"
        ));
    }
    match [API, SD].contains(&name) {
        true => Err(format!("{name:?} is the name of the token in API_TOKEN or SD_TOKEN")),
        false => Ok(()),
    }
}

fn parse(line: &str) -> Result<Token, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, role, groups, secret] = words[..] else {
        return Err("expected name role groups sha256:HEX".to_owned());
    };
    check_name(name)?;
    let role = match role {
        "read" => Role::Read,
        "write" => Role::Write,
        _ => return Err(format!("{role:?} is not a role: expected read or write")),
    };
    let digest = secret.strip_prefix("sha256:").and_then(from_hex);
    let digest = digest.ok_or("expected sha256: and 64 hexadecimal digits as the fourth word")?;
    Ok(Token { name: name.to_owned(), role, groups: read_groups(groups)?, digest })
}

/// Parses `*`, or names joined by commas, each of which may end in `*`. Blanks, commas, `%` and `*` in names are
/// percent-encoded.
fn read_groups(text: &str) -> Result<Scope, String> {
    if text == "*" {
        return Ok(Scope::All);
    }
    text.split(',').map(pattern).collect::<Result<_, _>>().map(Scope::Groups)
}

fn pattern(text: &str) -> Result<GroupPattern, String> {
    let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
    if name.is_empty() || name.contains('*') {
        return Err(format!("{text:?} is not a group: * stands alone or at the end of a name"));
    }
    let name = percent_decode(name);
    let name =
        name.ok_or_else(|| format!("{text:?} is not a group: % begins an escape such as %25, which is % itself"))?;
    Ok(if is_prefix { GroupPattern::Prefix(name) } else { GroupPattern::Name(name) })
}

/// Decodes `%XX`; `None` if a `%` is not an escape, or the result is not UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn escaped(c: char) -> String {
    c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn from_hex(text: &str) -> Option<Digest> {
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
    use std::time::{Duration, Instant};

    use super::*;

    /// Of "secret" and "other".
    const SECRET: &str = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    const OTHER: &str = "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

    fn patterns(groups: &str) -> Vec<GroupPattern> {
        match read_groups(groups).unwrap() {
            Scope::All => Vec::new(),
            Scope::Groups(patterns) => patterns,
        }
    }

    fn name(name: &str) -> GroupPattern {
        GroupPattern::Name(name.to_owned())
    }

    fn prefix(name: &str) -> GroupPattern {
        GroupPattern::Prefix(name.to_owned())
    }

    #[test]
    fn a_line_is_a_token() {
        let text = format!("# name role groups secret\n\n ops write * {SECRET}\r\nteam-a.ro\tread  a,b*  {OTHER}\n");
        let tokens = parse_file(&text).unwrap();
        let read: Vec<_> = tokens.iter().map(|token| (token.name.as_str(), token.role)).collect();
        assert_eq!(read, [("ops", Role::Write), ("team-a.ro", Role::Read)]);
        assert_eq!(tokens[0].groups, Scope::All);
        assert_eq!(tokens[0].digest[..2], [0x2b, 0xb8]);
        assert_eq!(patterns("a,b*"), [name("a"), prefix("b")]);
    }

    #[test]
    fn groups_are_names_and_beginnings() {
        assert_eq!(patterns("a%20b%2Cc%25%2a"), [name("a b,c%*")]);
        assert_eq!(patterns("z%C3%BCrich*"), [prefix("z\u{fc}rich")]);
        for text in ["", ",", "a,", "**", "a*b", "*a", "*,a", "%", "%2", "%zz", "%+1", "%ff", "a,%C3"] {
            assert!(read_groups(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_scope_has_what_its_patterns_name() {
        for (text, inside, outside) in [
            ("*", &["", "a", "a b"][..], &[][..]),
            ("a", &["a"], &["", "A", "ab"]),
            ("a,b*", &["a", "b", "bc"], &["c", "ab"]),
            ("a%20b%2Cc%25%2a", &["a b,c%*"], &["a%20b", "a b,c%*d"]),
        ] {
            let scope = read_groups(text).unwrap();
            assert!(inside.iter().all(|group| scope.has(group)), "{text} has {inside:?}");
            assert!(!outside.iter().any(|group| scope.has(group)), "{text} has none of {outside:?}");
        }
    }

    #[test]
    fn a_group_is_written_as_it_is_read() {
        for text in ["a", "a b*", "a,b%2*c", "z\u{fc}rich*", "\u{85}\n"] {
            for pattern in [name(text), prefix(text)] {
                assert_eq!(patterns(&pattern.to_string()), [pattern]);
            }
        }
        assert_eq!(prefix("a b").to_string(), "a%20b*");
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
            (format!("ops write a,,b {SECRET}"), "not a group"),
            ("ops write * secret".to_owned(), "sha256:"),
            (format!("ops write * {}", &SECRET[..70]), "sha256:"),
            (format!("first read * {OTHER}"), "name of first"),
            (format!("ops read * {SECRET}"), "secret of first"),
        ] {
            let text = format!("first write * {SECRET}\n{line}");
            let reason = parse_file(&text).expect_err(&line);
            assert!(reason.starts_with("line 2: ") && reason.contains(word), "{line}: {reason}");
        }
    }

    #[test]
    fn a_line_is_made_only_if_it_is_read_as_what_it_says() {
        let long = "n".repeat(NAME_CHARS_MAX + 1);
        for name in ["o/ps", "z\u{fc}rich", "", "#ops", "a b", "api", long.as_str(), "a\nb"] {
            assert!(line(name, "write", "*", &[7; 32]).is_err(), "{name:?}");
        }
        for groups in ["", "%ff", "a,", "a*b", "%"] {
            assert!(line("ops", "write", groups, &[7; 32]).is_err(), "{groups:?}");
        }
        // Every line that is made parses to the same token.
        let mut random = fastrand::Rng::with_seed(7);
        let alphabet: Vec<char> = "ab*,% \t\n\u{a0}\u{85}#\u{1b}zü25".chars().collect();
        let mut made = 0;
        for _ in 0..20_000 {
            let text: String = (0..random.usize(1..8)).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            if let Ok(line) = line("ops", "read", &text, &[7; 32]) {
                made += 1;
                let tokens = parse_file(&format!("# before\n{line}\n")).unwrap();
                assert_eq!((tokens.len(), &tokens[0].digest, &*tokens[0].name), (1, &[7; 32], "ops"), "{line:?}");
            }
        }
        assert!(made > 1000, "{made}");
    }

    #[test]
    fn as_many_as_there_may_be_are_read_soon_and_more_are_refused_at_once() {
        let lines = |count: usize| -> String {
            (0..count).map(|number| format!("n{number} read * sha256:{number:064x}\n")).collect()
        };
        let begun = Instant::now();
        assert_eq!(parse_file(&lines(TOKENS_MAX)).unwrap().len(), TOKENS_MAX);
        assert!(parse_file(&lines(60_000)).unwrap_err().contains("holds 60000 tokens"));
        // The last line is wrong, but the limit is checked first.
        assert!(parse_file(&format!("{}wrong", lines(60_000))).unwrap_err().contains("holds 60001 tokens"));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
