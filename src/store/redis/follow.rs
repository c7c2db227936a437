//! The follower: keeps the mirror equal to Redis, session after session, for as long as the store lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use log::{info, warn};

use super::apply::Applier;
use super::connect::Connector;
use super::fault::Fault;
use super::link::Link;
use super::metrics::Metrics;
use super::restore::Restart;
use super::session::Session;
use super::track::{self, SILENCE_MAX};
use crate::store::{Mirror, WAIT_MAX};

/// The pauses between attempts to connect: short, since the first failures are often a restart, then doubling.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Follower {
    connector: Arc<Connector>,
    link: Arc<Link>,
    mirror: Arc<dyn Mirror>,
    metrics: Arc<Metrics>,
    restore: bool,
    sessions: u64,
    /// The server process that everything was last loaded from, and when it was lost.
    known: Option<(String, Instant)>,
    /// The fault that was logged last, since one line per change is enough.
    logged: Option<String>,
}

impl Follower {
    pub(super) fn new(
        connector: Arc<Connector>,
        link: Arc<Link>,
        mirror: Arc<dyn Mirror>,
        metrics: Arc<Metrics>,
        restore: bool,
    ) -> Follower {
        Follower { connector, link, mirror, metrics, restore, sessions: 0, known: None, logged: None }
    }

    /// Starts the thread that follows until the link is closed.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn spawn(self) -> io::Result<()> {
        thread::Builder::new().name("redis-follow".to_owned()).spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let began = Instant::now();
            let Err(fault) = self.follow();
            if matches!(fault, Fault::Closed) {
                return;
            }
            self.log(&fault);
            self.link.down(fault);
            pause = if began.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            if !self.link.pause(pause) {
                return;
            }
        }
    }

    /// One session, from connecting until it is lost.
    fn follow(&mut self) -> Result<Infallible, Fault> {
        let client = self.connector.locate()?;
        let (mut tracked, server) = self.connector.open(&client, SILENCE_MAX)?;
        // Before anything is read: a change is then either in what is read or reported.
        track::turn_on(&mut tracked)?;
        let (connection, twin) = self.connector.open(&client, WAIT_MAX)?;
        if twin.run_id != server.run_id {
            return Err(Fault::ChangedServer);
        }
        let restart = match &self.known {
            Some((run_id, lost)) if self.restore && *run_id != server.run_id => {
                Some(Restart { gap: lost.elapsed(), append_only: server.append_only })
            }
            _ => None,
        };
        self.sessions += 1;
        let session = Arc::new(Session::new(self.sessions, client, server.run_id));
        self.link.up(Arc::clone(&session))?;
        self.connected();
        let Err(fault) = track::spawn(tracked, Arc::clone(&session), Arc::clone(&self.metrics))
            .and_then(|()| Applier::new(connection, &session, &self.link, &*self.mirror, &self.metrics, restart).run());
        session.end(fault.clone());
        self.disconnected(&session);
        Err(fault)
    }

    fn connected(&mut self) {
        self.metrics.sessions.inc();
        self.metrics.connected.set(1);
        self.logged = None;
        info!(address:% = self.connector.address(); "connected to Redis");
    }

    fn disconnected(&mut self, session: &Session) {
        self.metrics.connected.set(0);
        if self.link.health().is_ok() {
            self.known = Some((session.run_id.clone(), Instant::now()));
            self.mirror.lost();
        }
    }

    fn log(&mut self, fault: &Fault) {
        let text = fault.to_string();
        if self.logged.as_ref() != Some(&text) {
            warn!(address:% = self.connector.address(), fault = text; "Redis is not available");
            self.logged = Some(text);
        }
    }
}
