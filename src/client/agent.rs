//! The agent: keeps the registrations in the files of a directory registered. One thread makes one request after the
//! other, so that a host never makes two at a time. Others read the files, watch the directory and wait for signals,
//! and send it events.

mod directory;
mod memory;
mod reader;
mod schedule;
mod server;

use std::collections::HashSet;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::connection::{Api, WatchedAccess, check_url};
use super::{Entry, Failure};
use crate::config::commands::{Access, AgentCommand as Settings};
use crate::http_client;
use crate::logging::News;
use crate::registration::TargetId;
use crate::{signals, systemd};
use memory::Wanted;
use reader::{Errand, Report};
use schedule::{Schedule, Task, Time, interval, now};
use server::{KnownServer, PendingRefusals, Verdict};

/// How often the directory is looked at without news of changes, and so are the files of secrets. The second look that
/// sees a change rereads these.
const LOOK: Duration = Duration::from_secs(4);

/// How long further changes are waited for after the first, since they rarely come alone.
const GATHER: Duration = Duration::from_millis(50);

/// When a file that may still be written to is looked at again.
const UNSETTLED_LOOK: Duration = Duration::from_secs(1);

/// A look at the files that takes longer than this hangs, and is reported.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait for an exporter's answer: nothing else is done meanwhile.
const EXPORTER_WAIT_MAX: Duration = Duration::from_secs(2);

/// The placeholder for the target in the URL of an exporter.
const TARGET: &str = "{target}";

/// The most waiting events; the sender of another one waits as well.
const EVENTS_MAX: usize = 16;

/// The longest time that the deletions at the end may take.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

/// Keeps everything registered until a signal ends it.
///
/// # Errors
/// [`Failure`] if it cannot start. Once started, it goes on whatever happens.
pub(super) fn run(access: &Access, settings: &Settings) -> Result<(), Failure> {
    let watched = WatchedAccess::new(access);
    let connection = Api::new(access)?;
    let system = |e: std::io::Error| Failure::Unavailable(format!("the system refuses a signal, thread or wait: {e}"));
    let (tell, events) = mpsc::sync_channel(EVENTS_MAX);
    let (changed, reported) = (tell.clone(), tell.clone());
    // Nobody receives events once the agent ends.
    let hear = move |signal| drop(tell.send(if signal == SIGHUP { Event::Reload } else { Event::End }));
    signals::forward(&[SIGTERM, SIGINT, SIGQUIT, SIGHUP], hear).map_err(system)?;
    let exporter = settings.wait_for.as_deref().map(Exporter::new).transpose()?;
    let changes = directory::watch(move |complete| drop(changed.send(Event::Changed(complete)))).map_err(system)?;
    let report = move |report| drop(reported.send(Event::Reported(Box::new(report))));
    let reader = reader::start(settings.clone(), watched, changes, report).map_err(system)?;
    let mut agent = Agent::new(connection, exporter, reader);
    info!(directory:% = settings.dir.display(), server = agent.server.connection.url; "agent started");
    'running: loop {
        agent.look_if_due();
        let first = events.recv_timeout(agent.pause());
        for event in first.into_iter().chain(events.try_iter().take(EVENTS_MAX)) {
            match event {
                Event::End => break 'running,
                event => agent.take(event)?,
            }
        }
        agent.work();
    }
    systemd::stopping();
    agent.refusals.tell();
    if settings.deregister_on_stop {
        agent.take_leave();
    }
    info!("agent ended");
    Ok(())
}

enum Event {
    /// A signal to stop.
    End,
    /// A signal to reread the token and all files, and to retry what was refused.
    Reload,
    /// Something in the directory has changed; these files are complete.
    Changed(HashSet<String>),
    Reported(Box<Report>),
}

struct Agent {
    server: KnownServer,
    exporter: Option<Exporter>,
    reader: Sender<Errand>,
    /// Whether the reader is still busy.
    is_reading: bool,
    schedule: Schedule,
    /// When the directory is looked at next, and with which errand.
    next_look: Time,
    errand: Errand,
    /// When the last look at the directory began, and the last report about it.
    looking_since: Time,
    hangs: News,
    is_ready: bool,
    refusals: PendingRefusals,
    status: String,
}

impl Agent {
    fn new(connection: Api, exporter: Option<Exporter>, reader: Sender<Errand>) -> Agent {
        Agent {
            server: KnownServer::new(connection),
            exporter,
            reader,
            is_reading: false,
            schedule: Schedule::default(),
            next_look: now(),
            errand: Errand::default(),
            looking_since: now(),
            hangs: News::default(),
            is_ready: false,
            refusals: PendingRefusals::default(),
            status: String::new(),
        }
    }

    /// How long there is nothing to do.
    fn pause(&self) -> Duration {
        let now = now();
        let look = match self.is_reading {
            true if self.looking_since + LOOK_PATIENCE > now => self.looking_since + LOOK_PATIENCE,
            true => now + LOOK,
            false => self.next_look,
        };
        let task = self.schedule.next(now).map(|(due, _, task)| self.not_before(due, task));
        let due = [Some(look), task, self.refusals.due()].into_iter().flatten().min();
        due.unwrap_or(look).saturating_sub(now)
    }

    /// Tasks for the server wait while it is given time to recover.
    fn not_before(&self, due: Time, task: Task) -> Time {
        if task == Task::Wait { due } else { due.max(self.server.not_before) }
    }

    fn take(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Changed(complete) => {
                self.errand.complete.extend(complete);
                self.next_look = self.next_look.min(now() + GATHER);
            }
            Event::Reload => {
                systemd::reloading();
                self.errand.is_reload = true;
                self.schedule.retry_refused(now());
                self.next_look = now();
            }
            Event::Reported(report) => return self.hear(*report),
            Event::End => {}
        }
        Ok(())
    }

    /// Has the reader look at the files, if it is time.
    fn look_if_due(&mut self) {
        let time = now();
        if !self.is_reading && self.next_look <= time {
            // The reader ends with the process.
            self.is_reading = self.reader.send(std::mem::take(&mut self.errand)).is_ok();
            (self.looking_since, self.next_look) = (time, time + LOOK);
        } else if self.is_reading && time >= self.looking_since + LOOK_PATIENCE && self.hangs.is("hangs") {
            warn!("the files cannot be read, something hangs; their known registrations are kept");
        }
    }

    fn hear(&mut self, report: Report) -> Result<(), Failure> {
        self.is_reading = false;
        let time = now();
        if self.hangs.is_over() {
            info!("the files can be read again");
        }
        if report.server.is_some_and(|read| self.server.take(read)) {
            self.schedule.retry_refused(time);
        }
        match report.fault {
            // A mistyped name never becomes right; a directory that disappears later may come back.
            Some(fault) if !self.is_ready => return Err(fault),
            _ => {}
        }
        self.schedule.remember(report.remembered, time);
        if let Some(wanted) = report.wanted {
            self.schedule.update(wanted, self.exporter.is_some(), time);
        }
        if report.unsettled {
            self.next_look = self.next_look.min(time + UNSETTLED_LOOK);
        }
        if !std::mem::replace(&mut self.is_ready, true) || report.is_reload {
            systemd::ready();
        }
        Ok(())
    }

    /// Does the first task that is due, if there is one.
    fn work(&mut self) {
        let time = now();
        let next = self.schedule.next(time).filter(|(due, _, task)| self.not_before(*due, *task) <= time);
        if next.is_none() || self.refusals.due().is_some_and(|due| due <= time) {
            self.refusals.tell();
        }
        if let Some((_, id, task)) = next
            && let Some(held) = self.schedule.get(id)
        {
            let wanted = held.wanted.clone();
            match task {
                Task::Wait => self.wait_for(id, &wanted.entry),
                Task::Put => self.put(id, &wanted),
                Task::Delete => self.delete(id, &wanted),
            }
        }
        self.tell_status();
    }

    fn wait_for(&mut self, id: TargetId, entry: &Entry) {
        // A target that was registered before need not wait: a dead exporter must show as down.
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

    fn put(&mut self, id: TargetId, wanted: &Wanted) {
        let Wanted { entry, file } = wanted;
        let verdict = self.server.put(entry);
        if verdict != Verdict::Done {
            let refused = "refused by the server; tried again every 10 minutes at least, and when the file changes";
            return self.is_not_done(id, wanted, verdict, refused);
        }
        if self.schedule.get(id).is_some_and(|held| !held.registered) {
            info!(file, targets = entry.targets.join(","), id:% = id; "registered");
        }
        let interval = self.interval_of(entry);
        self.schedule.is_registered(id, interval, now());
    }

    /// How often an entry is renewed. Asks the server for the lifetime if nothing else says it.
    fn interval_of(&mut self, entry: &Entry) -> Duration {
        let default = if entry.ttl_seconds.is_none() { self.server.default_lifetime() } else { None };
        interval(entry, default)
    }

    fn delete(&mut self, id: TargetId, wanted: &Wanted) {
        let verdict = self.server.delete(id);
        if verdict != Verdict::Done {
            let refused = "the server refuses to delete it; tried again every 10 minutes at least";
            return self.is_not_done(id, wanted, verdict, refused);
        }
        let Wanted { entry, file } = wanted;
        info!(file, targets = entry.targets.join(","), id:% = id; "deregistered");
        self.schedule.is_gone(id);
        self.errand.gone.push(id);
        // Usually others are deleted as well, and all of them are forgotten at once.
        self.next_look = self.next_look.min(now() + UNSETTLED_LOOK);
    }

    fn is_not_done(&mut self, id: TargetId, wanted: &Wanted, verdict: Verdict, refused: &'static str) {
        let Wanted { entry, file } = wanted;
        let (message, reason) = match verdict {
            Verdict::Refused(reason) => {
                // A registration of an earlier agent may be refused before any is accepted.
                let interval = self.interval_of(entry);
                self.schedule.is_refused(id, interval, now());
                (refused, reason)
            }
            Verdict::Unauthorised(reason) => {
                self.schedule.is_unauthorised(id, interval(entry, self.server.lifetime), now());
                // The token may have been replaced meanwhile.
                self.errand.token = true;
                let message = match self.server.connection.token {
                    Some(_) => "the server does not accept this token for it; tried again every minute",
                    None => "the server wants a token: set INVENTOR_TOKEN or --token-file; tried again every minute",
                };
                (message, reason)
            }
            Verdict::Unavailable | Verdict::Done => return self.is_unavailable(id),
        };
        if self.schedule.is_news(id, &reason) {
            self.refusals.add(message, reason, file, &entry.targets.join(","), now());
        }
    }

    /// After the pause the others are tried first, so that one at which the server fails does not hold up all.
    fn is_unavailable(&mut self, id: TargetId) {
        let shortest = self.schedule.shortest_interval(self.server.lifetime);
        self.server.back_off(shortest);
        self.schedule.is_unknown(id, self.server.not_before);
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

    /// Deletes the registrations, as far as the time suffices.
    fn take_leave(&mut self) {
        let end = now() + FAREWELL_MAX;
        let registered = self.schedule.left_behind();
        let mut deleted = 0;
        for id in &registered {
            if now() < end && self.server.delete(*id) == Verdict::Done {
                deleted += 1;
            }
        }
        info!(registrations = deleted; "deregistered, as --deregister-on-stop wants it");
        if registered.len() > deleted {
            error!(registrations = registered.len() - deleted; "not deregistered; they stay until they expire");
        }
    }
}

/// The exporter that must answer before its target is registered for the first time.
struct Exporter {
    probe: ureq::Agent,
    url: String,
}

impl Exporter {
    /// An exporter at this URL, in which `{target}` stands for the target to be registered.
    fn new(url: &str) -> Result<Exporter, Failure> {
        check_url("--wait-for", &url.replace(TARGET, "localhost:1"))?;
        Ok(Exporter { probe: http_client::probe(None, EXPORTER_WAIT_MAX), url: url.to_owned() })
    }

    /// Whether it answers for one of these targets. Any answer but a server error is enough: the exporter may want a
    /// password.
    fn answers(&self, entry: &Entry) -> bool {
        let answers = |url: &str| self.probe.get(url).call().is_ok_and(|answer| answer.status().as_u16() < 500);
        match self.url.contains(TARGET) {
            true => entry.targets.iter().any(|target| answers(&self.url.replace(TARGET, target))),
            false => answers(&self.url),
        }
    }
}
