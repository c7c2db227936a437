//! What wakes the agent: files that change, signals, and the time.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

/// What has happened.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The agent is to end.
    pub(super) stop: bool,
    /// The token and all files are to be read again, and what was refused is to be tried again.
    pub(super) reload: bool,
    /// Something in the directory has changed.
    pub(super) directory: bool,
    /// Files that were written and closed, or moved to where they are: these are complete.
    pub(super) complete: HashSet<String>,
}

/// Waits for all of this.
pub(super) struct Watch {
    /// `None` when the system has none left; then there is only the regular look.
    inotify: Option<Arc<Inotify>>,
    stop: UnixStream,
    reload: UnixStream,
    /// What is written here is heard at the other end.
    bell: UnixStream,
    reports: UnixStream,
}

/// What tells of changes in a directory, for whoever can afford to wait for that directory.
#[derive(Clone)]
pub(super) struct DirectoryWatch(Option<Arc<Inotify>>);

impl DirectoryWatch {
    /// Watches the directory that is there now; it may be another one than before under the same name.
    pub(super) fn of(&self, directory: &Path) {
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        if let Some(inotify) = &self.0 {
            // Whoever reads the directory says it if it is not there.
            let _ = inotify.add_watch(directory, changes);
        }
    }
}

impl Watch {
    /// Begins to listen to signals.
    pub(super) fn new() -> io::Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        if let Err(e) = &inotify {
            warn!(reason:% = e; "changes of files cannot be watched; they are looked for every few seconds");
        }
        let (stop, reload) = (listen(&[SIGTERM, SIGINT, SIGQUIT])?, listen(&[SIGHUP])?);
        let (reports, bell) = UnixStream::pair()?;
        reports.set_nonblocking(true)?;
        Ok(Watch { inotify: inotify.ok().map(Arc::new), stop, reload, bell, reports })
    }

    /// What a byte is written into when files have been looked at, and what watches them.
    pub(super) fn ends(&self) -> io::Result<(UnixStream, DirectoryWatch)> {
        Ok((self.bell.try_clone()?, DirectoryWatch(self.inotify.clone())))
    }

    /// Waits until something happens, or the time is over.
    pub(super) fn wait(&mut self, most: Duration) -> io::Result<Events> {
        let mut sources = vec![PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        sources.push(PollFd::new(self.reload.as_fd(), PollFlags::POLLIN));
        sources.push(PollFd::new(self.reports.as_fd(), PollFlags::POLLIN));
        if let Some(inotify) = &self.inotify {
            sources.push(PollFd::new(inotify.as_fd(), PollFlags::POLLIN));
        }
        // Milliseconds are rounded up: a wait that ends before anything is due would be followed by many others.
        let most = most.as_micros().div_ceil(1000);
        match poll(&mut sources, PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        drain(&mut self.reports);
        let mut events = Events { stop: drain(&mut self.stop), reload: drain(&mut self.reload), ..Events::default() };
        while let Some(Ok(changes)) = self.inotify.as_ref().map(|inotify| inotify.read_events()) {
            for change in changes {
                events.directory = true;
                if change.mask.intersects(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO) {
                    events.complete.extend(change.name.and_then(|name| name.into_string().ok()));
                }
            }
        }
        Ok(events)
    }
}

/// A pipe that gets a byte for each of these signals.
fn listen(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read)
}

fn drain(pipe: &mut UnixStream) -> bool {
    let mut any = false;
    while pipe.read(&mut [0; 16]).is_ok_and(|read| read > 0) {
        any = true;
    }
    any
}
