//! Whether files have changed, seen by looking at them now and then: written in place, replaced by another, or reached
//! by a link that leads elsewhere.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells one state of a file from another: times of its content and of its rights, size, device and inode.
pub type Stamp = [i64; 7];

/// Files and the state in which they were taken.
#[derive(Debug)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    taken: Vec<Option<Stamp>>,
    /// What the last look saw.
    seen: Vec<Option<Stamp>>,
}

impl WatchedFiles {
    /// Takes these as they are now. To be called before they are read, so that a change meanwhile is one.
    pub fn new<'a>(paths: impl Iterator<Item = &'a Path>) -> WatchedFiles {
        let mut watched =
            WatchedFiles { paths: paths.map(Path::to_owned).collect(), taken: Vec::new(), seen: Vec::new() };
        watched.take();
        watched
    }

    /// Has them read, if there are any: as they are now if that is asked for, or else if they have changed.
    pub fn look<T>(&mut self, is_asked_for: bool, read: impl FnOnce() -> T) -> Option<T> {
        if is_asked_for && !self.paths.is_empty() {
            self.take();
            return Some(read());
        }
        self.read_if_changed(read)
    }

    /// Takes them as they are now, whether they have changed or not.
    fn take(&mut self) {
        self.seen = self.stamps();
        self.taken.clone_from(&self.seen);
    }

    /// Has them read if they have changed since they were taken. Whoever still writes is waited for: they must be as the
    /// last look saw them, and the same after they have been read.
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

/// What is no regular file, such as a pipe, is always the same.
pub fn stamp(file: &Metadata) -> Stamp {
    if !file.is_file() {
        return Stamp::default();
    }
    let [size, device, inode] = [file.size(), file.dev(), file.ino()].map(u64::cast_signed);
    [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec(), size, device, inode]
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// How often it takes two looks to be told of a change, and that it is told once.
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
        // Whoever takes it as it is has seen it.
        file.write_all(b"more").unwrap();
        assert_eq!(watched.look(true, || ()), Some(()));
        assert_eq!([(); 2].map(|()| watched.look(false, || ())), [None; 2]);
    }
}
