//! Why a command did not do what it was asked to, as a sentence and as an exit code.

use std::fmt;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The answer is no: refused, or not found. Exit code 1.
    No(String),
    /// What was asked cannot be right, whatever the server says. Exit code 2.
    Usage(String),
    /// The server cannot be reached, or fails. Exit code 3.
    Unavailable(String),
    /// Stopped by a signal; what was done until then. Exit code 130, as shells have it.
    Interrupted(String),
}

impl Failure {
    /// The same, after what was done before.
    pub(super) fn after(self, done: &str) -> Failure {
        let text = format!("{self}: {done}");
        match self {
            Failure::No(_) => Failure::No(text),
            Failure::Usage(_) => Failure::Usage(text),
            Failure::Unavailable(_) => Failure::Unavailable(text),
            Failure::Interrupted(_) => Failure::Interrupted(text),
        }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::No(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Unavailable(_) => 3,
            Failure::Interrupted(_) => 130,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::No(text) | Failure::Usage(text) | Failure::Unavailable(text) | Failure::Interrupted(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Failure {}
