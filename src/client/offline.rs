//! `check` and `token`: the commands that need no server.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use super::output::{Output, print_line, tell};
use super::text::{self, count};
use super::{Failure, files};
use crate::config::commands::{CheckCommand, TokenCommand};
use crate::files::{Unfinished, replace, secrets};
use crate::tokens;

/// Reports what the server would refuse: for each file the number of its registrations, or its faults.
pub(super) fn check(command: &CheckCommand) -> Result<(), Failure> {
    let mut faults = 0;
    let mut seen = HashMap::new();
    for path in &command.files {
        let content = files::parse(&files::read(path)?, command.label_names);
        let path = path.display();
        for fault in &content.faults {
            tell(&format!("{path}: {fault}"));
        }
        for entry in &content.entries {
            let targets = entry.targets.join(",");
            if let Some(before) = seen.insert(entry.id(), path.to_string()) {
                tell(&format!("{path}: {targets}: is in {before} already; the one registered last would count"));
            }
        }
        faults += content.faults.len();
        if content.faults.is_empty() {
            print_line(&text::line(&format!(
                "{path}: {}",
                count(content.entries.len(), "registration", "registrations")
            )));
        }
    }
    match faults {
        0 => Ok(()),
        1 => Err(Failure::No("the server would refuse 1 entry".to_owned())),
        faults => Err(Failure::No(format!("the server would refuse {faults} entries"))),
    }
}

/// Random bytes of a secret; nobody guesses 256 bits.
const SECRET_BYTES: usize = 32;

/// Makes a secret and its line for the server's `TOKENS_FILE`. The secret is shown once and kept nowhere.
pub(super) fn token(command: &TokenCommand, output: Output) -> Result<(), Failure> {
    let TokenCommand { name, role, groups, file, .. } = command;
    if groups.trim().is_empty() {
        return Err(Failure::Usage("GROUPS: expected * or the names of groups, not an empty text".to_owned()));
    }
    let secret = secret()?;
    let digest = tokens::digest_of(secret.as_bytes());
    let line = tokens::line(name, role, groups, &digest).map_err(|e| Failure::Usage(e.replacen("line 1: ", "", 1)))?;
    if let Some(file) = file {
        append(file, &line)?;
    }
    if !output.is_table() {
        return output.value(&json!({ "secret": secret, "line": line }));
    }
    tell("The token, which is shown only now:");
    tell(&secret);
    match file {
        Some(file) => {
            tell(&format!(
                "Its line is in {}; the server rereads the file within ten seconds, or at once on SIGHUP.",
                file.display()
            ));
        }
        None => {
            tell("Its line for TOKENS_FILE; the server rereads that file within ten seconds, or at once on SIGHUP:");
            print_line(&line);
        }
    }
    Ok(())
}

/// Adds the line to a file of tokens. The file is replaced as a whole, so it is never half written.
fn append(path: &Path, line: &str) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::Usage(format!("--file {}: {e}", path.display()));
    // The target of a link is replaced, not the link.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (before, metadata) = match fs::metadata(&place) {
        Ok(metadata) => (secrets(&place).map_err(|e| failed(&e))?, Some(metadata)),
        Err(e) if e.kind() == ErrorKind::NotFound => (Vec::new(), None),
        Err(e) => return Err(failed(&e)),
    };
    let before = String::from_utf8(before).map_err(|_| failed(&"is not UTF-8"))?;
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let content = format!("{before}{gap}{line}\n");
    tokens::parse_file(&content).map_err(|e| failed(&e))?;
    // Two at a time would each lose the other's line.
    replace(&place, content.as_bytes(), metadata.as_ref(), 0o600, Unfinished::IsSomebodys)
        .map(drop)
        .map_err(|e| failed(&e))
}

fn secret() -> Result<String, Failure> {
    let mut bytes = [0; SECRET_BYTES];
    let failed = |_| Failure::Unavailable("the system has no random numbers".to_owned());
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
