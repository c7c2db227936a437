//! The agent: keeps what the files of a directory hold registered. One thread that does one thing after the other, so
//! that a host never asks more of the server than one request at a time.

mod clock;
mod directory;
mod exporter;
mod file;
mod schedule;
mod server;
mod watch;

use std::collections::HashSet;
use std::time::Duration;

use log::{error, info};

use super::connection::Connection;
use super::{Entry, Failure};
use crate::config::commands::Agent as Settings;
use crate::registration::TargetId;
use crate::systemd;
use clock::{Time, now};
use directory::Directory;
use exporter::Exporter;
use schedule::{Schedule, Task, lifetime};
use server::{Server, Verdict};
use watch::{Events, Watch};

/// The directory is looked at so often even if nothing is heard of it.
const LOOK: Duration = Duration::from_secs(60);

/// After news of the directory, others are waited for so long: they rarely come alone.
const GATHER: Duration = Duration::from_millis(50);

/// A file that may still be written to is looked at again after so long.
const UNSETTLED_LOOK: Duration = Duration::from_secs(1);

/// The longest time that the deletions at the end may take.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

/// Keeps everything registered until a signal ends it.
///
/// # Errors
/// [`Failure`] when it cannot start; once started it goes on whatever happens.
pub(super) fn run(connection: Connection, settings: &Settings) -> Result<(), Failure> {
    let system = |e: std::io::Error| Failure::Unavailable(format!("the system refuses a signal or a wait: {e}"));
    let mut watch = Watch::new(settings.dir.clone()).map_err(system)?;
    let exporter = settings.wait_for.as_deref().map(Exporter::new).transpose()?;
    let mut agent = Agent::new(connection, exporter, settings);
    info!(directory:% = settings.dir.display(), server = agent.server.url(); "agent started");
    watch.renew();
    agent.look(&HashSet::new());
    systemd::ready();
    loop {
        let events = watch.wait(agent.pause()).map_err(system)?;
        if events.stop {
            break;
        }
        if agent.take(events) {
            watch.renew();
        }
        agent.work();
    }
    systemd::stopping();
    if settings.deregister_on_stop {
        agent.take_leave();
    }
    info!("agent ended");
    Ok(())
}

struct Agent {
    server: Server,
    exporter: Option<Exporter>,
    directory: Directory,
    schedule: Schedule,
    /// When the directory is looked at next, and which of its files are known to be complete then.
    next_look: Time,
    complete: HashSet<std::ffi::OsString>,
    /// What systemd was told last.
    status: String,
}

impl Agent {
    fn new(connection: Connection, exporter: Option<Exporter>, settings: &Settings) -> Agent {
        Agent {
            server: Server::new(connection),
            exporter,
            directory: Directory::new(settings.dir.clone(), settings.group.clone(), settings.ttl),
            schedule: Schedule::default(),
            next_look: now(),
            complete: HashSet::new(),
            status: String::new(),
        }
    }

    /// How long nothing is to be done.
    fn pause(&self) -> Duration {
        let now = now();
        let task = self.schedule.next(now).map(|(due, _, task)| self.not_before(due, task));
        task.map_or(self.next_look, |due| due.min(self.next_look)).saturating_sub(now)
    }

    /// What concerns the server waits while it is given time to recover.
    fn not_before(&self, due: Time, task: Task) -> Time {
        if task == Task::Wait { due } else { due.max(self.server.not_before()) }
    }

    /// Does what the events ask for; `true` when the directory was looked at as it regularly is.
    fn take(&mut self, events: Events) -> bool {
        if events.directory {
            self.complete.extend(events.complete);
            self.next_look = self.next_look.min(now() + GATHER);
        }
        if events.reload {
            self.reload();
        }
        if now() < self.next_look {
            return false;
        }
        let complete = std::mem::take(&mut self.complete);
        self.look(&complete);
        true
    }

    fn look(&mut self, complete: &HashSet<std::ffi::OsString>) {
        let found = self.directory.look(complete);
        if found.changed {
            self.schedule.update(self.directory.wanted(), self.exporter.is_some(), now());
        }
        self.next_look = now() + if found.unsettled { UNSETTLED_LOOK } else { LOOK };
    }

    fn reload(&mut self) {
        systemd::reloading();
        self.server.read_token_again();
        self.schedule.retry_refused(now());
        self.next_look = now();
        systemd::ready();
    }

    /// Does the one thing that is due first, if something is.
    fn work(&mut self) {
        let time = now();
        if let Some((due, id, task)) = self.schedule.next(time)
            && self.not_before(due, task) <= time
            && let Some(held) = self.schedule.get(id)
        {
            let entry = held.wanted.entry.clone();
            match task {
                Task::Wait => self.wait_for(id, &entry),
                Task::Put => self.put(id, &entry),
                Task::Delete => self.delete(id),
            }
        }
        self.tell_status();
    }

    fn wait_for(&mut self, id: TargetId, entry: &Entry) {
        // What was registered before is not held back: a dead exporter is to be seen as down.
        let known = || self.server.knows(id);
        if self.exporter.as_ref().is_none_or(|exporter| exporter.answers(entry)) || known() {
            self.schedule.is_answered(id, now());
        } else {
            self.schedule.is_silent(id, now());
            if self.schedule.is_news(id, "waiting") {
                info!(targets = entry.targets.join(","); "waiting for the exporter");
            }
        }
    }

    fn put(&mut self, id: TargetId, entry: &Entry) {
        let verdict = self.server.put(entry);
        let file = self.schedule.get(id).map(|held| held.wanted.file.clone()).unwrap_or_default();
        let targets = entry.targets.join(",");
        match verdict {
            Verdict::Done => {
                if self.schedule.get(id).is_some_and(|held| !held.registered) {
                    info!(file, targets, id:% = id; "registered");
                }
                let default = if entry.ttl_seconds.is_none() { Some(self.server.default_lifetime()) } else { None };
                let lifetime = lifetime(entry, default.unwrap_or(schedule::Lifetime::Unknown));
                self.schedule.is_registered(id, lifetime, now());
            }
            Verdict::Refused(reason) => {
                self.schedule.is_refused(id);
                if self.schedule.is_news(id, &reason) {
                    error!(file, targets, reason; "refused; tried again when the file changes");
                }
            }
            Verdict::Unauthorised(reason) => self.unauthorised(id, &file, &reason),
            Verdict::Unavailable => self.unavailable(id),
        }
    }

    fn delete(&mut self, id: TargetId) {
        match self.server.delete(id) {
            Verdict::Done => {
                info!(id:% = id; "deregistered");
                self.schedule.is_gone(id);
            }
            Verdict::Refused(reason) => {
                error!(id:% = id, reason; "cannot be deregistered; it stays until it expires");
                self.schedule.is_gone(id);
            }
            Verdict::Unauthorised(reason) => self.unauthorised(id, "", &reason),
            Verdict::Unavailable => self.unavailable(id),
        }
    }

    fn unauthorised(&mut self, id: TargetId, file: &str, reason: &str) {
        self.schedule.is_unauthorised(id, now());
        self.server.read_token_again();
        if self.schedule.is_news(id, reason) {
            error!(file, id:% = id, reason; "not accepted; tried again every minute");
        }
    }

    /// The others are tried first when the pause is over, lest one that the server fails at holds up all.
    fn unavailable(&mut self, id: TargetId) {
        let shortest = self.schedule.shortest_interval(self.server.known_lifetime());
        self.server.back_off(shortest);
        self.schedule.is_unknown(id, self.server.not_before());
    }

    fn tell_status(&mut self) {
        let (total, registered) = self.schedule.counts();
        let server = if self.server.is_away() { "; the server does not answer" } else { "" };
        let status = format!("{registered} of {total} registered{server}");
        if status != self.status {
            systemd::status(&status);
            self.status = status;
        }
    }

    /// Deletes what is registered, within the time that there is.
    fn take_leave(&mut self) {
        let end = now() + FAREWELL_MAX;
        let mut left = 0;
        for id in self.schedule.left_behind() {
            if now() >= end || self.server.delete(id) != Verdict::Done {
                left += 1;
            }
        }
        if left > 0 {
            error!(registrations = left; "not deregistered; they stay until they expire");
        }
    }
}
