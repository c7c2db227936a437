//! The thread that touches files: the directory, the secrets and the memory of the agent. Even if that hangs, for
//! example on a mount whose server is gone, the agent goes on renewing known registrations and handling signals.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::mpsc::{self, Sender};
use std::thread;

use super::directory::{Changes, Directory, watch_directory};
use super::memory::{Memory, Remembered, Wanted};
use crate::client::Failure;
use crate::client::connection::{Api, WatchedAccess};
use crate::config::commands::AgentCommand as Settings;
use crate::registration::TargetId;

#[derive(Debug, Default)]
pub(super) struct Errand {
    /// Files that are known to be complete. All files are looked at.
    pub(super) complete: HashSet<String>,
    /// The token was not accepted, and may have been replaced.
    pub(super) token: bool,
    /// A signal asked for everything to be reread, which must be reported when it is done.
    pub(super) is_reload: bool,
    /// Registrations that are deleted and need not be remembered.
    pub(super) gone: Vec<TargetId>,
}

#[derive(Default)]
pub(super) struct Report {
    /// Everything that must be registered, if that has changed.
    pub(super) wanted: Option<BTreeMap<TargetId, Wanted>>,
    /// The registrations of the agent before this one; reported once.
    pub(super) remembered: BTreeMap<TargetId, Wanted>,
    /// A file may still be written to.
    pub(super) unsettled: bool,
    /// The server by the present files of token and certificates, if these were read.
    pub(super) server: Option<Result<Api, Failure>>,
    pub(super) is_reload: bool,
    /// Why the directory or the memory cannot be used.
    pub(super) fault: Option<Failure>,
}

/// Starts the thread, which runs one errand after the other and ends with the process.
pub(super) fn start(
    settings: Settings,
    access: WatchedAccess,
    changes: Changes,
    report: impl Fn(Report) + Send + 'static,
) -> io::Result<Sender<Errand>> {
    let (errands, received) = mpsc::channel();
    let mut files = Files { settings, access, changes, open: None };
    let run = move || {
        for errand in received {
            report(files.run(errand));
        }
    };
    thread::Builder::new().name("files".into()).spawn(run)?;
    Ok(errands)
}

struct Files {
    settings: Settings,
    access: WatchedAccess,
    changes: Changes,
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
        let Settings { dir, state_dir, .. } = &self.settings;
        let mut registered = BTreeMap::new();
        let (directory, memory) = match &mut self.open {
            Some(open) => open,
            None => {
                let state = state_dir.as_deref().filter(|state| !state.as_os_str().is_empty());
                let (memory, remembered) = state.map(Memory::open).transpose()?.unzip();
                let remembered: Remembered = remembered.unwrap_or_default();
                registered = remembered.registered();
                self.open.insert((Directory::new(self.settings.clone(), remembered), memory))
            }
        };
        directory.forget(&gone);
        watch_directory(&self.changes, dir);
        let found = directory.look(&complete);
        if let Some(memory) = memory {
            // Before anything is registered: after a crash nobody would know of it.
            memory.write(&directory.remembered());
        }
        let found = found.map_err(|e| Failure::Usage(format!("--dir {}: {e}", dir.display())))?;
        let wanted = found.changed.then(|| directory.wanted());
        Ok(Report { wanted, remembered: registered, unsettled: found.unsettled, ..Report::default() })
    }
}
