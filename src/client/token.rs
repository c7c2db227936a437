//! `token`: a new secret and its line for the server's `TOKENS_FILE`. The secret is shown once and kept nowhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use super::Failure;
use super::output::{Output, print_line, tell};
use crate::config::commands::NewToken;

/// Random bytes of a secret; nobody guesses 256 bits.
const SECRET_BYTES: usize = 32;

/// Names that stand for API_TOKEN and SD_TOKEN.
const RESERVED: [&str; 2] = ["api", "sd"];

/// Makes a token.
pub(super) fn run(command: &NewToken, output: Output) -> Result<(), Failure> {
    let NewToken { name, role, groups, .. } = command;
    let plain = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    if name.is_empty() || name.starts_with('#') || !name.chars().all(plain) || RESERVED.contains(&name.as_str()) {
        let expected = "expected a word without blanks, and neither api nor sd, which the server has itself";
        return Err(Failure::Usage(format!("NAME {name:?}: {expected}")));
    }
    let groups = groups.split(',').map(group).collect::<Result<Vec<_>, _>>()?.join(",");
    let secret = secret()?;
    let hash: String = digest(&SHA256, secret.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{name} {role} {groups} sha256:{hash}");
    if !output.is_table() {
        return output.value(&json!({ "secret": secret, "line": line }));
    }
    tell("The token, which is shown only now:");
    tell(&secret);
    tell("Its line for TOKENS_FILE; send the server SIGHUP when it is there:");
    print_line(&line);
    Ok(())
}

fn secret() -> Result<String, Failure> {
    let mut bytes = [0; SECRET_BYTES];
    let failed = |_| Failure::Unavailable("the system has no random numbers".to_owned());
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A group as the file has it: what would end a name there is escaped, but for a star at its end.
fn group(text: &str) -> Result<String, Failure> {
    let wrong = |reason: &str| Err(Failure::Usage(format!("GROUPS: {text:?}: {reason}")));
    let (name, star) = text.strip_suffix('*').map_or((text, ""), |name| (name, "*"));
    if text.is_empty() {
        return wrong("a group without a name");
    }
    if name.contains('*') {
        return wrong("a * is only at the end of a name; one that belongs to it is written %2A");
    }
    for (at, _) in name.match_indices('%') {
        if !name.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return wrong("a % that belongs to the name is written %25");
        }
    }
    let escape = |c: char| if c.is_whitespace() || c.is_control() { escaped(c) } else { c.to_string() };
    Ok(name.chars().map(escape).collect::<String>() + star)
}

fn escaped(c: char) -> String {
    c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect()
}
