//! The thread that touches files: the directory, the secrets, and the memory of the agent. Whatever hangs there, such as a
//! mount whose server is gone, the agent goes on to renew what it knows, and hears signals.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::directory::Directory;
use super::memory::{Memory, Remembered, Wanted};
use super::watch::DirectoryWatch;
use crate::client::Failure;
use crate::client::connection::{Api, WatchedAccess};
use crate::config::commands::AgentCommand as Settings;
use crate::registration::TargetId;

#[derive(Debug, Default)]
pub(super) struct Errand {
    /// Files that are known to be complete; all are looked at.
    pub(super) complete: HashSet<String>,
    /// The token was not accepted, and may have been replaced.
    pub(super) token: bool,
    /// A signal asked for everything to be read, and is to hear when that is done.
    pub(super) is_reload: bool,
    /// What is deleted, and need not be remembered.
    pub(super) gone: Vec<TargetId>,
}

/// What has come of it.
#[derive(Default)]
pub(super) struct Report {
    /// What there is to be registered, if that is not what it was.
    pub(super) wanted: Option<BTreeMap<TargetId, Wanted>>,
    /// What was registered by the agent before this one; told once.
    pub(super) remembered: BTreeMap<TargetId, Wanted>,
    /// A file may still be written to.
    pub(super) unsettled: bool,
    /// The server as the files of token and certificates say now, if they have been read.
    pub(super) server: Option<Result<Api, Failure>>,
    pub(super) is_reload: bool,
    /// Why the directory, or the memory, is not there.
    pub(super) fault: Option<Failure>,
}

/// The other end of the thread.
pub(super) struct Reader {
    errands: Sender<Errand>,
    reports: Receiver<Report>,
    is_busy: bool,
}

impl Reader {
    /// Starts the thread, which rings the bell when it reports.
    pub(super) fn start(
        settings: &Settings,
        access: WatchedAccess,
        (mut bell, changes): (UnixStream, DirectoryWatch),
    ) -> io::Result<Reader> {
        let (errands, received) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        let mut files = Files { place: Paths::of(settings), access, changes, open: None };
        let run = move || {
            for errand in received {
                // Whoever waited for it is gone only when the process ends.
                let _ = report.send(files.run(errand));
                let _ = bell.write_all(&[0]);
            }
        };
        thread::Builder::new().name("files".into()).spawn(run)?;
        Ok(Reader { errands, reports, is_busy: false })
    }

    /// Whether it still does what it was given.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Gives it something to do, which it may only be given when it is not busy.
    pub(super) fn give(&mut self, errand: Errand) {
        self.is_busy = self.errands.send(errand).is_ok();
    }

    /// What it reports, if it does.
    pub(super) fn report(&mut self) -> Option<Report> {
        let report = self.reports.try_recv().ok()?;
        self.is_busy = false;
        Some(report)
    }
}

/// Where everything is.
struct Paths {
    directory: PathBuf,
    group: Option<String>,
    ttl_seconds: Option<u64>,
    state: Option<PathBuf>,
}

impl Paths {
    fn of(settings: &Settings) -> Paths {
        let Settings { dir, group, ttl, state_dir, .. } = settings;
        let state = state_dir.clone().filter(|state| !state.as_os_str().is_empty());
        Paths { directory: dir.clone(), group: group.clone(), ttl_seconds: *ttl, state }
    }
}

struct Files {
    place: Paths,
    access: WatchedAccess,
    changes: DirectoryWatch,
    /// Opened by the first errand.
    open: Option<(Directory, Option<Memory>)>,
}

impl Files {
    fn run(&mut self, errand: Errand) -> Report {
        let server = self.access.look(errand.is_reload || errand.token);
        let is_reload = errand.is_reload;
        let report = self.look(errand).unwrap_or_else(|fault| Report { fault: Some(fault), ..Report::default() });
        Report { server, is_reload, ..report }
    }

    fn look(&mut self, Errand { complete, gone, .. }: Errand) -> Result<Report, Failure> {
        let mut remembered = BTreeMap::new();
        let (directory, memory) = match &mut self.open {
            Some(open) => open,
            None => {
                let (directory, memory, registered) = open(&self.place)?;
                remembered = registered;
                self.open.insert((directory, memory))
            }
        };
        directory.forget(&gone);
        self.changes.of(&self.place.directory);
        let found = directory.look(&complete);
        if let Some(memory) = memory {
            // Before anything of it is registered, or a crash meanwhile would be the end of knowing it.
            memory.write(&directory.remembered());
        }
        let name = self.place.directory.display();
        let found = found.map_err(|e| Failure::Usage(format!("--dir {name}: {e}")))?;
        let wanted = found.changed.then(|| directory.wanted());
        Ok(Report { wanted, remembered, unsettled: found.unsettled, ..Report::default() })
    }
}

type Opened = (Directory, Option<Memory>, BTreeMap<TargetId, Wanted>);

fn open(place: &Paths) -> Result<Opened, Failure> {
    let (memory, remembered) = match place.state.as_deref().map(Memory::open).transpose()? {
        Some((memory, remembered)) => (Some(memory), remembered),
        None => (None, Remembered::default()),
    };
    let registered = remembered.registered();
    Ok((
        Directory::new(place.directory.clone(), place.group.clone(), place.ttl_seconds, remembered),
        memory,
        registered,
    ))
}
