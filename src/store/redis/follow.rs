//! The follower: keeps the mirror equal to Redis, session after session, for as long as the store lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use log::{debug, error};

use super::apply::Applier;
use super::connect::{ANSWER_MAX, Connector, Server};
use super::fault::Fault;
use super::link::Link;
use super::metrics::Metrics;
use super::restore::Restart;
use super::session::Session;
use super::track::{self, SILENCE_MAX};
use crate::store::Mirror;

/// The pauses between attempts to connect: short, since the first failures are often a restart, then doubling.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What the follower stands between.
pub(super) struct Ends {
    pub(super) connector: Arc<Connector>,
    pub(super) link: Arc<Link>,
    pub(super) mirror: Arc<dyn Mirror>,
    pub(super) metrics: Arc<Metrics>,
}

pub(super) struct Follower {
    ends: Ends,
    sessions: u64,
    /// The server process that everything was last loaded from, and when it was lost.
    known: Option<(String, Instant)>,
    /// The fault that was logged last, since one line per change is enough.
    logged: Option<String>,
}

impl Follower {
    pub(super) fn new(ends: Ends) -> Follower {
        Follower { ends, sessions: 0, known: None, logged: None }
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
            let Err(fault) = self.follow();
            if matches!(fault, Fault::Closed) {
                return;
            }
            self.log(&fault);
            pause = if self.ends.link.is_loaded() { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            self.ends.link.down(fault);
            if !self.ends.link.pause(pause) {
                return;
            }
        }
    }

    /// One session, from connecting until it is lost.
    fn follow(&mut self) -> Result<Infallible, Fault> {
        let Ends { connector, link, metrics, .. } = &self.ends;
        let client = connector.locate()?;
        let (mut tracked, server) = connector.open(&client, SILENCE_MAX)?;
        // Before anything is read, so that a change is either in what is read or reported.
        track::turn_on(&mut tracked)?;
        let (connection, twin) = connector.open(&client, ANSWER_MAX)?;
        if twin.run_id != server.run_id {
            return Err(Fault::ChangedServer);
        }
        let restart = self.restart(&server);
        self.sessions += 1;
        let session = Arc::new(Session::new(self.sessions, client, server.run_id));
        link.up(Arc::clone(&session))?;
        metrics.sessions.inc();
        debug!(server:% = session.server(); "connected to Redis");
        let Err(fault) = track::spawn(tracked, Arc::clone(&session), Arc::clone(metrics))
            .and_then(|()| Applier::new(connection, &session, &self.ends, restart).run());
        session.end(fault.clone());
        self.lost(&session);
        Err(fault)
    }

    /// What there is to restore from, when this is another process than the one before.
    fn restart(&self, server: &Server) -> Option<Restart> {
        let (run_id, lost) = self.known.as_ref()?;
        let restores = self.ends.connector.settings().restore && *run_id != server.run_id;
        restores.then(|| Restart { gap: lost.elapsed(), append_only: server.append_only })
    }

    fn lost(&mut self, session: &Session) {
        self.ends.metrics.connected.set(0);
        if self.ends.link.is_loaded() {
            self.known = Some((session.run_id.clone(), Instant::now()));
            self.logged = None;
            self.ends.mirror.lost();
        }
    }

    fn log(&mut self, fault: &Fault) {
        let text = fault.to_string();
        if self.logged.as_ref() != Some(&text) {
            error!(address:% = self.ends.connector.settings().address, fault = text; "Redis is not available");
            self.logged = Some(text);
        }
    }
}
