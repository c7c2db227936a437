//! Why the store cannot be set up: never because of Redis itself.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the store cannot start: never because of Redis itself.
#[derive(Debug)]
pub enum SetupError {
    /// A certificate or key cannot be read.
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is no thread to be had.
    Thread(io::Error),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::File { path, error } => write!(f, "{}: {error}", path.display()),
            SetupError::Thread(error) => write!(f, "cannot start a thread of the Redis store: {error}"),
        }
    }
}

impl std::error::Error for SetupError {}
