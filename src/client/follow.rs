//! `follow`: keeps a list of the server in a file that Prometheus reads, so that Prometheus starts with its targets while
//! the server is away. The file is replaced as a whole, and only by a whole list.

mod list;
mod place;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};

use log::{info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::answer::Answer;
use super::connection::{Api, ApiCall, Method, WatchedAccess};
use super::output::print_line;
use super::{Failure, terminal};
use crate::config::commands::{Access, FollowCommand};
use crate::logging::News;
use crate::signals;
use crate::systemd;
use place::Place;

/// How many targets that came or went are named on a terminal.
const NAMED_MAX: usize = 20;

/// Keeps the file until a signal ends it.
///
/// # Errors
/// [`Failure`] when it cannot start; once started it goes on whatever happens.
pub(super) fn run(access: &Access, command: &FollowCommand) -> Result<(), Failure> {
    let watched = WatchedAccess::new(access);
    let connection = Api::new(access)?;
    if !command.list.starts_with('/') {
        return Err(Failure::Usage("--list: expected a path on the server, such as /sd?group=node".to_owned()));
    }
    let place = Place::of(&command.output)?;
    let (tell, signals) = mpsc::channel();
    let hear = move |signal| {
        // Nobody listens any more once the end has begun.
        let _ = tell.send(signal);
    };
    signals::forward(&[SIGTERM, SIGINT, SIGQUIT, SIGHUP], hear)
        .map_err(|e| Failure::Unavailable(format!("cannot handle signals: {e}")))?;
    info!(list:% = command.list, server = connection.url(), output:% = command.output.display(); "follow started");
    let mut follower = Follower {
        access: watched,
        connection,
        list: &command.list,
        place,
        etag: None,
        known: None,
        fault: News::default(),
    };
    loop {
        follower.look();
        match signals.recv_timeout(command.interval) {
            Ok(SIGHUP) => follower.reload(),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    systemd::stopping();
    info!("follow ended");
    Ok(())
}

struct Follower<'a> {
    access: WatchedAccess,
    connection: Api,
    list: &'a str,
    place: Place,
    /// That of what the file holds.
    etag: Option<String>,
    /// The targets in the file; `None` before the first list.
    known: Option<BTreeSet<String>>,
    fault: News,
}

impl Follower<'_> {
    /// Asks for the list, and replaces the file if that is another one.
    fn look(&mut self) {
        self.reconnect(false);
        if !self.place.is_as_left() {
            self.etag = None;
        }
        match self.follow() {
            Ok(()) if self.fault.is_over() => info!(list:% = self.list; "the list is read again"),
            Ok(()) => {}
            Err(reason) => {
                if self.fault.is(&reason) {
                    warn!(list:% = self.list, reason:%; "no new list; the file stays as it is");
                }
            }
        }
    }

    /// Who can be reached otherwise now is reached so; what cannot be read leaves what was known.
    fn reconnect(&mut self, is_asked_for: bool) {
        match self.access.look(is_asked_for) {
            Some(Ok(connection)) => self.connection = connection,
            Some(Err(reason)) => warn!(reason:%; "the files of token and certificates stay as they were"),
            None => {}
        }
    }

    /// The next look, which follows at once, asks for all of it.
    fn reload(&mut self) {
        self.reconnect(true);
        self.etag = None;
    }

    fn follow(&mut self) -> Result<(), String> {
        let call = ApiCall { if_none_match: self.etag.as_deref(), ..ApiCall::new(Method::GET, self.list) };
        let answer = self.connection.send(&call).map_err(|e| e.to_string())?;
        match answer.status {
            304 if self.etag.is_some() => Ok(()),
            200 if answer.is("application/json") => self.take(answer),
            200 => Err(format!("{}: the answer is {:?} and no list", self.connection.url(), answer.content_type)),
            status => Err(format!("{}: {status}: {}", self.connection.url(), answer.reason())),
        }
    }

    fn take(&mut self, answer: Answer) -> Result<(), String> {
        let targets =
            list::targets(&answer.body).map_err(|e| format!("{}: this is no list: {e}", self.connection.url()))?;
        let content = if self.place.is_yaml() { list::yaml(&answer.body)? } else { answer.body };
        let is_first = self.known.is_none();
        // What another run has written is known as well.
        let before = self.known.take().or_else(|| list::targets(&self.place.read().ok()??).ok());
        match self.place.keep(&content) {
            Ok(true) => self.tell(&before.unwrap_or_default(), &targets),
            Ok(false) => {}
            Err(e) => {
                (self.known, self.etag) = (before.filter(|_| !is_first), None);
                return Err(format!("{}: {e}", self.place.path().display()));
            }
        }
        (self.known, self.etag) = (Some(targets), answer.etag);
        if is_first {
            systemd::ready();
        }
        Ok(())
    }

    fn tell(&self, before: &BTreeSet<String>, now: &BTreeSet<String>) {
        let (come, gone) = (now.difference(before), before.difference(now));
        let (added, removed) = (come.clone().count(), gone.clone().count());
        info!(output:% = self.place.path().display(), targets = now.len(), added, removed; "file written");
        if io::stdout().is_terminal() {
            let lines = come.map(|target| format!("+ {target}")).chain(gone.map(|target| format!("- {target}")));
            lines.take(NAMED_MAX).for_each(|line| print_line(&terminal::text(&line)));
            if added + removed > NAMED_MAX {
                print_line(&format!("and {} more", added + removed - NAMED_MAX));
            }
        }
    }
}
