//! The follower: keeps the mirror equal to Redis, one session after another, as long as the store lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::{io, thread};

use ::redis::{Connection, ConnectionAddr};
use log::{debug, error, warn};

use super::apply::Applier;
use super::clock::Clock;
use super::connect::{ANSWER_MAX, ServerProcess};
use super::fault::Fault;
use super::invalidations::{self, SILENCE_MAX};
use super::lanes::Lanes;
use super::link::Context;
use super::processes::Processes;
use super::session::{Contact, Session};
use crate::logging::News;
use crate::store::backoff::Backoff;

/// The policy by which Redis never drops a registration to make room.
const NO_EVICTION: &str = "noeviction";

pub(super) struct Follower {
    context: Context,
    sessions: u64,
    processes: Processes,
    clock: Clock,
    /// The fault that was last logged, since one line per change is enough.
    logged: News,
}

/// The connections and the server of a new session.
struct Opened {
    address: ConnectionAddr,
    /// Receives the names of keys that others change.
    tracked: Connection,
    lanes: Lanes,
    server: ServerProcess,
}

impl Follower {
    pub(super) fn new(context: Context) -> Follower {
        let (processes, clock) = (Processes::default(), Clock::default());
        Follower { context, sessions: 0, processes, clock, logged: News::default() }
    }

    /// Starts the thread, which follows until the store is closed.
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
        let opened = self.open().inspect_err(|fault| self.processes.missed(fault, Contact::now()))?;
        let Opened { address, tracked, lanes, server } = opened;
        self.warn_of_eviction(&server);
        let restart = self.processes.answered(&server, Contact::now());
        let restart = restart.filter(|_| self.context.connector.settings().restore);
        self.sessions += 1;
        let session = Arc::new(Session::new(self.sessions, address, server.run_id.clone()));
        let Context { link, metrics, .. } = &self.context;
        link.begin(Arc::clone(&session))?;
        metrics.sessions.inc();
        self.clock.begin(&session.address);
        debug!(server:% = session.address; "connected to Redis");
        let mut applier = Applier::new(lanes, &session, &self.context, &mut self.clock, restart, server);
        let Err(fault) =
            invalidations::spawn(tracked, Arc::clone(&session), Arc::clone(metrics)).and_then(|()| applier.run());
        session.end(fault.clone());
        self.context.metrics.connected.set(0);
        let is_loaded = self.context.link.is_loaded();
        if is_loaded {
            self.logged = News::default();
        }
        self.processes.lost(applier.farewell(&fault, is_loaded), Contact::now());
        Err(fault)
    }

    fn open(&self) -> Result<Opened, Fault> {
        let connector = &self.context.connector;
        let address = connector.locate()?;
        let (mut tracked, server) = connector.open(&address, SILENCE_MAX)?;
        let open_twin = || match connector.open(&address, ANSWER_MAX)? {
            (connection, twin) if twin.run_id == server.run_id => Ok(connection),
            _ => Err(Fault::ChangedServer),
        };
        let (mut writer, overtaking) = (open_twin()?, open_twin()?);
        // Before anything is read, so that a change is either read or reported.
        invalidations::turn_on(&mut tracked, &mut writer, server.is_7_or_newer)?;
        let lanes = Lanes::new(writer, overtaking, connector.settings().is_cluster());
        Ok(Opened { address, tracked, lanes, server })
    }

    /// Warns once per server process.
    fn warn_of_eviction(&self, server: &ServerProcess) {
        if server.eviction_policy != NO_EVICTION && !self.processes.is_known(&server.run_id) {
            warn!(policy = server.eviction_policy;
                "Redis may evict registrations when its memory is full: set its maxmemory-policy to noeviction");
        }
    }

    fn log(&mut self, fault: &Fault) {
        let text = fault.to_string();
        if self.logged.is(&text) {
            error!(address:% = self.context.connector.settings().address, fault = text; "Redis is unavailable");
        }
    }
}
