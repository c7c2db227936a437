//! A file replaced as a whole: whoever reads it sees the old content or the new one, and a fault leaves the old one.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Whether a file that stands where the next one is written is somebody's at work, or what a crash has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Somebody else writes it: an error.
    IsSomebodys,
    /// Nobody else writes there.
    IsLeft,
}

/// Puts another file in the place of this one, with the owner and the rights of the one before; a new one has this mode.
/// A link there would be replaced, and not followed. Returns what the system says of the file that was written, which
/// is not the one in its place if somebody else has written at the same time.
///
/// # Errors
/// The old content is still there.
pub fn replace(
    place: &Path,
    content: &[u8],
    before: Option<&Metadata>,
    mode: u32,
    unfinished: Unfinished,
) -> io::Result<Metadata> {
    let next = next_to(place)?;
    if unfinished == Unfinished::IsLeft
        && let Err(e) = fs::remove_file(&next)
        && e.kind() != ErrorKind::NotFound
    {
        return Err(e);
    }
    // The mode is given below, whatever the umask is.
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&next).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => {
                io::Error::other(format!("{} is there: somebody else writes it", next.display()))
            }
            _ => e,
        })?;
    let written = (|| {
        file.write_all(content)?;
        let permissions = before.map_or(Permissions::from_mode(mode), Metadata::permissions);
        let made = file.metadata()?;
        if let Some(before) = before.filter(|before| (before.uid(), before.gid()) != (made.uid(), made.gid())) {
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        file.set_permissions(permissions)?;
        file.sync_all()?;
        fs::rename(&next, place)?;
        File::open(directory_of(place))?.sync_all()?;
        file.metadata()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&next);
    }
    written
}

/// The directory that a file is in.
pub fn directory_of(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Beside it, and hidden, so that nobody who looks for files of its kind takes it for one.
fn next_to(place: &Path) -> io::Result<PathBuf> {
    let name = place.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let mut next = OsString::from(".");
    next.extend([name, OsStr::new(".new")]);
    Ok(place.with_file_name(next))
}
