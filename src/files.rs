//! Files that others write, read so that none can hold up the reader: opened without waiting, up to a limit, and
//! only if they are what they should be. And files that others read, replaced so that none is ever half written.

mod replace;
mod watched;

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use replace::{Unfinished, directory_of, replace};
pub use watched::{Stamp, WatchedFiles, stamp};

/// The largest file of secrets that is read: 10,000 tokens with names and groups.
const SECRETS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The longest wait for a secret that comes through a pipe, such as `<(command)` of a shell.
const PIPE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Opens a regular file, or what a link to one leads to, without waiting for anything.
pub fn open_regular(path: &Path, bytes_max: u64) -> io::Result<(File, Metadata)> {
    // Opening alone does something to some devices, so they are not opened at all.
    check_regular(&fs::metadata(path)?)?;
    let file = open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    if metadata.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok((file, metadata)) }
}

/// Reads an open file to its end, which may be further away than its size says.
pub fn read_to_end(file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(too_large(bytes_max)) } else { Ok(bytes) }
}

/// Reads a file of secrets, or what a pipe delivers soon, without the byte order mark that some editors put before it.
///
/// # Errors
/// A sentence without the content.
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
/// A sentence without the content.
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
