//! The file that `follow` keeps.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::client::Failure;
use crate::client::connection::ANSWER_BYTES_MAX;
use crate::files::{self, Stamp, Unfinished, stamp};

/// A new file is for everybody, since Prometheus runs as another user.
const MODE: u32 = 0o644;

pub(super) struct Place {
    path: PathBuf,
    is_yaml: bool,
    left: Option<Stamp>,
}

impl Place {
    /// # Errors
    /// When Prometheus would not read a file of this name, or none can be there.
    pub(super) fn of(path: &Path) -> Result<Place, Failure> {
        let wrong = |reason: &str| Failure::Usage(format!("--output {}: {reason}", path.display()));
        // The three that file_sd takes.
        let is_yaml = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => false,
            Some("yml" | "yaml") => true,
            _ => return Err(wrong("expected a name that ends with .json, .yml or .yaml")),
        };
        if !files::directory_of(path).is_dir() {
            return Err(wrong("there is no such directory"));
        }
        let place = Place { path: path.to_owned(), is_yaml, left: None };
        place.metadata().map_err(|e| wrong(&e.to_string()))?;
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_yaml(&self) -> bool {
        self.is_yaml
    }

    /// Whether the file is there as it was left.
    pub(super) fn is_as_left(&self) -> bool {
        self.left.is_some() && self.metadata().is_ok_and(|now| now.as_ref().map(stamp) == self.left)
    }

    /// What the file holds; `None` when there is none.
    pub(super) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        if self.metadata()?.is_none() {
            return Ok(None);
        }
        let (file, _) = files::open_regular(&self.path, ANSWER_BYTES_MAX)?;
        files::read_to_end(&file, ANSWER_BYTES_MAX).map(Some)
    }

    /// Has the file hold this; whether that is something else than before.
    pub(super) fn keep(&mut self, content: &[u8]) -> io::Result<bool> {
        let before = self.metadata()?;
        // One that cannot be read is replaced.
        let is_new = self.read().ok().flatten().as_deref() != Some(content);
        let now = match is_new {
            // Another one who follows into the same file is seen at the next look.
            true => Some(files::replace(&self.path, content, before.as_ref(), MODE, Unfinished::IsLeft)?),
            false => self.metadata()?,
        };
        self.left = now.as_ref().map(stamp);
        Ok(is_new)
    }

    /// What the system says of the file; `None` when there is none. A link could lead anywhere.
    fn metadata(&self) -> io::Result<Option<Metadata>> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
            Ok(metadata) if metadata.is_symlink() => Err(io::Error::other("is a link; name the file itself")),
            Ok(_) => Err(io::Error::other("is no file")),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}
