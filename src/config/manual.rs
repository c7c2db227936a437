//! Manual pages and completions, which clap's own crates derive from the command line.

use std::io;
use std::path::Path;

use clap_complete::Shell;

use super::command_line;

/// The completions for this shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line::command(), "inventor", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a manual page for the program and each of its commands into the directory, which is made if need be.
///
/// # Errors
/// When the directory cannot be written to.
pub fn write(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command_line::command(), directory)
}
