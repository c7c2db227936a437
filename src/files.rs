//! Reading files that others write without being held up by them: a read does not wait, is limited in size, and is
//! repeated when the file has changed. Replacing files that others read, so that nobody sees one half written.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The largest file of secrets that is read: enough for 10,000 tokens with names and groups.
const SECRETS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The longest wait for a secret that comes through a pipe, such as `<(command)` of a shell.
const PIPE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Opens a regular file without waiting. Follows links.
pub fn open_regular(path: &Path, bytes_max: u64) -> io::Result<(File, Metadata)> {
    // Some devices react to being opened, so they are not opened at all.
    check_regular(&fs::metadata(path)?)?;
    let file = open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    if metadata.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok((file, metadata)) }
}

/// Reads an open file to its end. It may have grown since its size was checked.
pub fn read_to_end(file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(too_large(bytes_max)) } else { Ok(bytes) }
}

/// Reads a file of secrets, or a pipe that ends soon, without the byte order mark that some editors write first.
///
/// # Errors
/// A sentence that contains nothing of the content.
pub fn secrets(path: &Path) -> Result<Vec<u8>, String> {
    let read = || match fs::metadata(path)?.file_type() {
        kind if kind.is_fifo() => read_pipe(&open(path)?),
        _ => open_regular(path, SECRETS_BYTES_MAX).and_then(|(file, _)| read_to_end(&file, SECRETS_BYTES_MAX)),
    };
    let bytes = read().map_err(|e| format!("cannot be read: {e}"))?;
    Ok(bytes.strip_prefix("\u{feff}".as_bytes()).map(<[u8]>::to_vec).unwrap_or(bytes))
}

/// The one secret in a file: its first line that is not empty, without blanks around it.
///
/// # Errors
/// A sentence that contains nothing of the content.
pub fn secret(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = secrets(path)?;
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| !line.is_empty()).map(<[u8]>::to_vec).ok_or_else(|| "holds nothing".to_owned())
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

fn check_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

fn too_large(bytes_max: u64) -> io::Error {
    io::Error::other(format!("larger than {bytes_max} bytes"))
}

fn read_pipe(mut pipe: &File) -> io::Result<Vec<u8>> {
    let end = Instant::now() + PIPE_WAIT_MAX;
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        match pipe.read(&mut part) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                let left = end.saturating_duration_since(Instant::now()).as_millis() + 1;
                let mut source = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
                poll(&mut source, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))?;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return Err(io::Error::other(format!("the pipe has not ended within {PIPE_WAIT_MAX:?}")));
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if bytes.len() as u64 > SECRETS_BYTES_MAX {
            return Err(too_large(SECRETS_BYTES_MAX));
        }
    }
}

/// Identifies a state of a file: times of its last changes, size, device and inode.
pub type Stamp = [i64; 7];

/// Files and the state in which they were taken. A look now and then notices every kind of change: a file written in
/// place, a file replaced, a link that leads elsewhere.
#[derive(Debug)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    taken: Vec<Option<Stamp>>,
    /// The state at the last look.
    seen: Vec<Option<Stamp>>,
}

impl WatchedFiles {
    /// Takes the files as they are now. Call it before reading them, so that a change during the read is noticed.
    pub fn new<'a>(paths: impl Iterator<Item = &'a Path>) -> WatchedFiles {
        let mut watched =
            WatchedFiles { paths: paths.map(Path::to_owned).collect(), taken: Vec::new(), seen: Vec::new() };
        watched.take();
        watched
    }

    /// Reads the files if that is asked for or if they have changed. Without files, does nothing.
    pub fn look<T>(&mut self, is_asked_for: bool, read: impl FnOnce() -> T) -> Option<T> {
        if is_asked_for && !self.paths.is_empty() {
            self.take();
            return Some(read());
        }
        self.read_if_changed(read)
    }

    /// Takes the files as they are now, changed or not.
    fn take(&mut self) {
        self.seen = self.stamps();
        self.taken.clone_from(&self.seen);
    }

    /// Reads the files if they have changed since they were taken and nobody is writing them: they must be the same as
    /// at the last look, and the same after the read.
    fn read_if_changed<T>(&mut self, read: impl FnOnce() -> T) -> Option<T> {
        let now = self.stamps();
        let stands_still = self.seen == now;
        self.seen.clone_from(&now);
        if !stands_still || self.taken == now {
            return None;
        }
        let read = read();
        if self.stamps() != now {
            return None;
        }
        self.taken = now;
        Some(read)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.paths.iter().map(|path| Some(stamp(&fs::metadata(path).ok()?))).collect()
    }
}

/// Files of other kinds, such as pipes, all have the same stamp.
pub fn stamp(file: &Metadata) -> Stamp {
    if !file.is_file() {
        return Stamp::default();
    }
    let [size, device, inode] = [file.size(), file.dev(), file.ino()].map(u64::cast_signed);
    [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec(), size, device, inode]
}

/// What an existing temporary file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Another process is writing it: an error.
    IsSomebodys,
    /// A crash left it, since no other process writes there.
    IsLeft,
}

/// Replaces a file. The new one has the owner and the mode of the old one; without an old one, it has `mode`. A link is
/// replaced, not followed. Readers see the old content or the new. Returns the metadata of the file that was written,
/// even if another process has replaced it at the same time.
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
    // The mode is set below, whatever the umask is.
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&next).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => {
                io::Error::other(format!("{} exists: another process is writing it", next.display()))
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

/// The directory of a file; `.` if the path names none.
pub fn directory_of(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The temporary file beside it: hidden, so that programs that list files of its kind ignore it.
fn next_to(place: &Path) -> io::Result<PathBuf> {
    let name = place.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let mut next = OsString::from(".");
    next.extend([name, OsStr::new(".new")]);
    Ok(place.with_file_name(next))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A change is reported at the second look, and only once.
    #[track_caller]
    fn is_taken_once(watched: &mut WatchedFiles) {
        assert_eq!([(); 4].map(|()| watched.look(false, || ())), [None, Some(()), None, None]);
    }

    #[test]
    fn every_way_to_change_a_file_is_seen_once_it_stands_still() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for (name, content) in [("file", "a"), ("one", "a"), ("two", "a")] {
            fs::write(path(name), content).unwrap();
        }
        symlink(path("one"), path("link")).unwrap();
        let mut watched = WatchedFiles::new([path("file"), path("link"), path("missing")].iter().map(PathBuf::as_path));
        assert_eq!(watched.look(false, || ()), None);

        fs::write(path("file"), "b").unwrap();
        is_taken_once(&mut watched);
        fs::write(path("next"), "b").unwrap();
        fs::rename(path("next"), path("file")).unwrap();
        is_taken_once(&mut watched);
        symlink(path("two"), path("other")).unwrap();
        fs::rename(path("other"), path("link")).unwrap();
        is_taken_once(&mut watched);
        fs::set_permissions(path("file"), fs::Permissions::from_mode(0o600)).unwrap();
        is_taken_once(&mut watched);
        fs::write(path("missing"), "").unwrap();
        is_taken_once(&mut watched);
        fs::remove_file(path("missing")).unwrap();
        is_taken_once(&mut watched);
    }

    #[test]
    fn a_file_that_is_being_written_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut file = fs::File::create(&path).unwrap();
        let mut watched = WatchedFiles::new([path.as_path()].into_iter());
        for _ in 0..5 {
            file.write_all(b"more").unwrap();
            assert_eq!(watched.look(false, || ()), None);
        }
        // Somebody writes while it is read.
        assert_eq!(watched.look(false, || file.write_all(b"more").unwrap()), None);
        is_taken_once(&mut watched);
        // A read that was asked for takes the change.
        file.write_all(b"more").unwrap();
        assert_eq!(watched.look(true, || ()), Some(()));
        assert_eq!([(); 2].map(|()| watched.look(false, || ())), [None; 2]);
    }
}
