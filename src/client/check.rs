//! `check`: what the server would refuse, said without a server.

use std::collections::HashMap;

use super::output::{count, tell};
use super::{Failure, files, terminal};
use crate::config::commands::CheckCommand;

/// Checks the files, and says of each how many registrations it holds or what is wrong.
pub(super) fn run(command: &CheckCommand) -> Result<(), Failure> {
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
            super::output::print_line(&terminal::text(&format!(
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
