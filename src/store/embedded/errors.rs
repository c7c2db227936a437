//! What can go wrong with the file: errors when it is opened, in sentences for the person who has to act, and errors
//! when it is read or written.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Why the embedded store cannot be opened. In no case was anything overwritten or deleted.
#[derive(Debug)]
pub enum OpenError {
    InUse {
        path: PathBuf,
    },
    /// The file is not a store, or only part of one.
    Damaged {
        path: PathBuf,
        detail: String,
    },
    /// The file has a format that this version does not know.
    Format {
        path: PathBuf,
        found: String,
        /// The format that this version writes.
        known: u64,
    },
    /// Part of the path is not a directory.
    NotADirectory {
        path: PathBuf,
    },
    Unwritable {
        path: PathBuf,
        error: io::Error,
    },
    NoSpace {
        path: PathBuf,
        error: io::Error,
    },
    Io {
        path: PathBuf,
        error: io::Error,
    },
}

impl OpenError {
    pub(super) fn from_io(path: &Path, error: io::Error) -> OpenError {
        use io::ErrorKind as Kind;
        let path = path.to_owned();
        match error.kind() {
            Kind::InvalidData | Kind::UnexpectedEof => OpenError::Damaged { path, detail: error.to_string() },
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => OpenError::NoSpace { path, error },
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => OpenError::Unwritable { path, error },
            // What already exists is not a directory, or it would have been used.
            Kind::NotADirectory | Kind::AlreadyExists => OpenError::NotADirectory { path },
            _ => OpenError::Io { path, error },
        }
    }

    pub(super) fn from_fault(path: &Path, fault: FileError, known: u64) -> OpenError {
        match fault {
            FileError::Redb(error) => match *error {
                redb::Error::Io(error) => OpenError::from_io(path, error),
                redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                    OpenError::InUse { path: path.to_owned() }
                }
                redb::Error::UpgradeRequired(version) => {
                    OpenError::Format { path: path.to_owned(), found: format!("{version} of redb"), known }
                }
                error => OpenError::Damaged { path: path.to_owned(), detail: error.to_string() },
            },
            FileError::Open(error) => error,
            fault @ (FileError::Moved(_) | FileError::Panicked(_)) => {
                OpenError::Damaged { path: path.to_owned(), detail: fault.to_string() }
            }
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse { path } => write!(
                f,
                "{} is open in another process; stop it, or set DATA_DIR to another directory",
                path.display()
            ),
            OpenError::Damaged { path, detail } => write!(
                f,
                "{} is damaged or is not an inventor file ({detail}); it was left untouched. Restore a backup, or move the \
                 file away to start without registrations",
                path.display()
            ),
            OpenError::Format { path, found, known } => write!(
                f,
                "{} has format {found}, but this version of inventor supports format {known}; it was left unchanged. \
                 Run the version that wrote it, or set DATA_DIR to another directory",
                path.display()
            ),
            OpenError::NotADirectory { path } => write!(
                f,
                "{} cannot be the data directory, because part of the path is not a directory; set DATA_DIR to a \
                 directory",
                path.display()
            ),
            OpenError::Unwritable { path, error } => write!(
                f,
                "cannot write {} ({error}); give the server's user write permission, or set DATA_DIR to \
                 another directory",
                path.display()
            ),
            OpenError::NoSpace { path, error } => {
                write!(f, "cannot write {} ({error}); free some space on its file system", path.display())
            }
            OpenError::Io { path, error } => {
                write!(f, "cannot open {} ({error}); set DATA_DIR to a directory that can be opened", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// Why the file could not be read or written. The outcome of the operation is unknown.
#[derive(Debug)]
pub(super) enum FileError {
    Redb(Box<redb::Error>),
    /// The file is no longer at its path.
    Moved(String),
    /// The file cannot be opened again.
    Open(OpenError),
    /// A panic; redb panics on some kinds of damage.
    Panicked(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Redb(error) => error.fmt(f),
            FileError::Moved(why) => write!(f, "the file was moved or removed: {why}"),
            FileError::Open(error) => error.fmt(f),
            FileError::Panicked(message) => write!(f, "panic: {message}"),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for FileError {
    fn from(error: E) -> FileError {
        FileError::Redb(Box::new(error.into()))
    }
}

/// Runs `work` and turns a panic into an error.
pub(super) fn contain<T>(work: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    // Unwind safe: after every fault, the file and the contents of the mirror are read anew.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(FileError::Panicked(panic_message(panic.as_ref()))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}
