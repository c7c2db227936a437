//! Why a command did not do what it was asked to, as a sentence and as an exit code.

use std::fmt;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The answer is no: nothing is there, or something differs. Exit code 1.
    No(String),
    /// The server refuses it, or what it was asked cannot be right. Exit code 2.
    Refused(String),
    /// The command line, a file or a setting is wrong, whatever the server says. Exit code 2.
    Usage(String),
    /// The server cannot be reached, or fails, or what answers is another program. Exit code 3.
    Unavailable(String),
    /// Stopped by a signal; what was done until then. Exit code 130, as shells have it.
    Interrupted(String),
}

impl Failure {
    /// The same, after what was done before.
    pub(super) fn after(mut self, done: &str) -> Failure {
        let text = self.text();
        *text = format!("{text}: {done}");
        self
    }

    pub fn code(&self) -> u8 {
        match self {
            Failure::No(_) => 1,
            Failure::Refused(_) | Failure::Usage(_) => 2,
            Failure::Unavailable(_) => 3,
            Failure::Interrupted(_) => 130,
        }
    }

    fn text(&mut self) -> &mut String {
        match self {
            Failure::No(text)
            | Failure::Refused(text)
            | Failure::Usage(text)
            | Failure::Unavailable(text)
            | Failure::Interrupted(text) => text,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::No(text)
            | Failure::Refused(text)
            | Failure::Usage(text)
            | Failure::Unavailable(text)
            | Failure::Interrupted(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}
