//! The follower: keeps the mirror equal to Redis, session after session, for as long as the store lives.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem, thread};

use ::redis::{Connection, ConnectionAddr};
use log::{debug, error, warn};

use super::apply::Applier;
use super::connect::{ANSWER_MAX, Replicated, ServerProcess};
use super::debt::Restart;
use super::fault::Fault;
use super::invalidations::{self, SILENCE_MAX};
use super::link::Context;
use super::session::{Contact, Session};
use crate::logging::News;
use crate::registration::TargetId;
use crate::store::HEARTBEAT;
use crate::store::backoff::Backoff;

/// The setting with which Redis never drops a registration to make room.
const NO_EVICTION: &str = "noeviction";

pub(super) struct Follower {
    context: Context,
    sessions: u64,
    /// The server process that everything was last loaded from.
    known: Option<Known>,
    /// The process that answered after that one, until everything is loaded from it.
    next: Option<Next>,
    /// The fault that was logged last, since one line per change is enough.
    logged: News,
}

/// What is known of a server process that a session was lost with.
struct Known {
    run_id: String,
    contact: Contact,
    /// It has closed the connection itself, or somebody else has; it was not lost in silence.
    saw_end: bool,
    replicated: Option<Replicated>,
}

/// A server process that a restore has begun with.
struct Next {
    run_id: String,
    /// How long the known process had been silent when this one answered first.
    gap: Duration,
    /// For how long it, or one before it, may have been changed unseen: until it answered first, and between sessions.
    unseen: Duration,
    /// When it answered last, and whether its end was seen then, if the session with it is over.
    left: Option<(Contact, bool)>,
    /// What it was seen to have.
    seen: HashSet<TargetId>,
    after_a_loss: bool,
    /// It may have come up with less than was known, or another one between it and the known one.
    may_have_lost: bool,
}

impl Next {
    /// For how long it may have been changed unseen when another one has taken its place.
    fn unseen_to_its_end(self) -> Duration {
        if self.left.is_none_or(|(_, saw_end)| saw_end) { self.unseen } else { Duration::MAX }
    }
}

/// What a session begins with.
struct Opened {
    address: ConnectionAddr,
    /// Hears which keys others change.
    tracked: Connection,
    writer: Connection,
    server: ServerProcess,
}

impl Follower {
    pub(super) fn new(context: Context) -> Follower {
        Follower { context, sessions: 0, known: None, next: None, logged: News::default() }
    }

    /// Starts the thread that follows until the store is closed.
    pub(super) fn spawn(self) -> io::Result<()> {
        thread::Builder::new().name("redis-follow".to_owned()).spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let Err(fault) = self.follow();
            if matches!(fault, Fault::Closed) {
                return;
            }
            self.log(&fault);
            if self.context.link.is_loaded() {
                backoff.reset();
            }
            self.context.link.end(fault);
            if !self.context.link.pause(backoff.next_pause()) {
                return;
            }
        }
    }

    /// One session, from connecting until it is lost.
    fn follow(&mut self) -> Result<Infallible, Fault> {
        let Opened { address, tracked, writer, server } = self.open()?;
        let restart = self.restart(&server);
        self.sessions += 1;
        self.warn_of_eviction(&server);
        let session = Arc::new(Session::new(self.sessions, address, server.run_id, server.replicated));
        let Context { link, metrics, .. } = &self.context;
        link.begin(Arc::clone(&session))?;
        metrics.sessions.inc();
        debug!(server:% = session.address; "connected to Redis");
        let Err(fault) = invalidations::spawn(tracked, Arc::clone(&session), Arc::clone(metrics)).and_then(|()| {
            let mut applier = Applier::new(writer, &session, &self.context, restart, server.is_7_or_newer);
            let ended = applier.run();
            if let Some(next) = &mut self.next {
                next.seen = applier.into_seen();
            }
            ended
        });
        session.end(fault.clone());
        self.lost(&session, &fault);
        Err(fault)
    }

    fn open(&self) -> Result<Opened, Fault> {
        let connector = &self.context.connector;
        let address = connector.locate()?;
        let (mut tracked, server) = connector.open(&address, SILENCE_MAX)?;
        let (mut writer, twin) = connector.open(&address, ANSWER_MAX)?;
        if twin.run_id != server.run_id {
            return Err(Fault::ChangedServer);
        }
        // Before anything is read, so that a change is either in what is read or reported.
        invalidations::turn_on(&mut tracked, &mut writer, server.is_7_or_newer)?;
        Ok(Opened { address, tracked, writer, server })
    }

    /// Once per server process.
    fn warn_of_eviction(&self, server: &ServerProcess) {
        let is_known = self.known.as_ref().is_some_and(|known| known.run_id == server.run_id);
        if server.eviction_policy != NO_EVICTION && !is_known {
            warn!(policy = server.eviction_policy;
                "Redis may evict registrations when its memory is full: set its maxmemory-policy to noeviction");
        }
    }

    /// What there is to restore from, when this is another process than the one before.
    fn restart(&mut self, server: &ServerProcess) -> Option<Restart> {
        let Known { run_id, contact, saw_end, replicated } = self.known.as_ref()?;
        if !self.context.connector.settings().restore || *run_id == server.run_id {
            return None;
        }
        let mut next = match self.next.take() {
            // A restore that is interrupted goes on with what was known when it began.
            Some(mut next) if next.run_id == server.run_id => {
                let left = next.left.take().map_or(Some(Duration::ZERO), |(contact, _)| contact.gap());
                next.unseen = next.unseen.saturating_add(left.unwrap_or(Duration::MAX));
                next
            }
            before => {
                let gap = contact.gap().unwrap_or(Duration::MAX);
                let after_a_loss = before.as_ref().is_some_and(|before| before.may_have_lost);
                let unseen_before = before.map_or(Duration::ZERO, Next::unseen_to_its_end);
                // A replica was there before.
                let unseen = unseen_before.saturating_add(server.origin.age.min(gap));
                let may_have_lost = after_a_loss || server.origin.fresh_append_only_file != Some(false);
                let (run_id, seen) = (server.run_id.clone(), HashSet::new());
                Next { run_id, gap, unseen, left: None, seen, after_a_loss, may_have_lost }
            }
        };
        let (gap, unseen, after_a_loss, seen) = (next.gap, next.unseen, next.after_a_loss, mem::take(&mut next.seen));
        self.next = Some(next);
        let (replicated, origin) = (replicated.clone(), server.origin.clone());
        let (last_contact, saw_end) = (contact.instant, *saw_end);
        Some(Restart { gap, unseen, seen, last_contact, saw_end, after_a_loss, replicated, origin })
    }

    fn lost(&mut self, session: &Session, fault: &Fault) {
        self.context.metrics.connected.set(0);
        let contact = session.last_contact();
        let is_recent = contact.gap().is_some_and(|gap| gap <= 2 * HEARTBEAT);
        let saw_end = is_recent && matches!(fault, Fault::Connection(_));
        if self.context.link.is_loaded() {
            let (run_id, replicated) = (session.run_id.clone(), session.replicated());
            self.known = Some(Known { run_id, contact, saw_end, replicated });
            (self.next, self.logged) = (None, News::default());
        } else if let Some(next) = &mut self.next {
            next.left = Some((contact, saw_end));
        }
    }

    fn log(&mut self, fault: &Fault) {
        let text = fault.to_string();
        if self.logged.is(&text) {
            error!(address:% = self.context.connector.settings().address, fault = text; "Redis is unavailable");
        }
    }
}
