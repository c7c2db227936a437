//! Builds store, registry and server, in the order of the start, and takes them down in the order of the shutdown.

mod secrets;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use log::{info, warn};
use signal_hook::consts::{SIGHUP, SIGQUIT, SIGTERM, SIGXFSZ};

use crate::config::{Config, ConfigError};
use crate::endpoint::Endpoint;
use crate::http::App;
use crate::http::server::{Limits, Listen, Running, Server, ServerSettings};
use crate::registry::Registry;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::redis::{Connector, RedisStore};
use crate::systemd::{self, Watchdog};
use crate::{metrics, signals};
use secrets::Secrets;

/// How long requests under way may take after the order to stop. With the time for cutting off the rest and for closing
/// the store, the server stops within 20 s.
const DRAIN: Duration = Duration::from_secs(15);

/// How long the first requests may wait for the registrations: a quicker restart fails none. After that the server
/// answers that it is not ready, so that a large file is not taken for a dead server.
const START_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct StartError {
    pub reason: String,
    /// The exit code: 2 for a wrong setting, which no restart corrects, 1 otherwise.
    pub code: u8,
}

impl StartError {
    fn of(reason: impl fmt::Display) -> StartError {
        StartError { reason: reason.to_string(), code: 1 }
    }

    /// The system refused a socket, a signal handler or a thread.
    fn system(what: &str) -> impl FnOnce(io::Error) -> StartError {
        move |e| StartError::of(format!("{what}: {e}"))
    }
}

impl From<ConfigError> for StartError {
    fn from(e: ConfigError) -> StartError {
        StartError { code: 2, ..StartError::of(e) }
    }
}

enum Event {
    /// A signal to stop.
    End,
    /// A signal to reread tokens, passwords and certificates.
    Reread,
    /// A reread is done.
    HasReread,
    /// The store is open, and this is its name for the log; or the reason why it cannot be opened.
    Opened(Result<&'static str, StartError>),
}

pub fn serve(config: Config) -> Result<(), StartError> {
    for variable in &config.without_effect {
        warn!(variable; "ignored: none of REDIS_ADDR, REDIS_URL, REDIS_SENTINELS and REDIS_CLUSTER is set");
    }
    let listen = listen(config.listen).map_err(StartError::system("cannot use the socket passed by systemd"))?;
    // Before signals are handled: until then they end the process even if a file hangs.
    let exposition = metrics::new_registry();
    let mut secrets = Secrets::default();
    let tokens = secrets.tokens(config.tokens)?;
    let tls = config.tls.map(|sources| secrets.certificate(sources, &exposition)).transpose()?;
    let redis = config.redis.map(|sources| secrets.of_redis(sources)).transpose()?;
    let (tell, events) = mpsc::channel();
    listen_to_signals(&tell).map_err(StartError::of)?;
    let has_reread = tell.clone();
    let reread = secrets.keep_up(move || drop(has_reread.send(Event::HasReread))).map_err(StartError::of)?;
    let settings = ServerSettings {
        listen,
        workers: config.workers,
        connections_max: config.connections_max,
        proxies: config.proxies,
        limits: Limits::default(),
        tls,
    };
    let server = Server::bind(settings, &exposition).map_err(StartError::of)?;

    let registry = Arc::new(Registry::new(config.rules, &exposition));
    let app = Arc::new(App::new(registry.clone(), tokens, config.options, exposition.clone()));
    open_store(config.data_dir, redis, registry.clone(), exposition, tell)?;

    let endpoints = server.endpoints();
    let mut service = Service { app, registry, endpoints, bound: Some(server), running: None, watchdog: None };
    // How many rereads are still to be done: a signal during one causes another.
    let mut rereading = 0;
    let patience = Instant::now() + START_PATIENCE;
    loop {
        match next_event(&events, service.bound.is_some().then_some(patience)) {
            Some(Event::Opened(store)) => service.start(store?, patience)?,
            Some(Event::Reread) => {
                service.tell(systemd::reloading);
                rereading += u32::from(reread.try_send(()).is_ok());
            }
            Some(Event::HasReread) => {
                rereading -= 1;
                if rereading == 0 {
                    service.tell(systemd::ready);
                }
            }
            Some(Event::End) => break,
            // The first answer is due, if only that the server is not ready.
            None => service.answer()?,
        }
    }
    service.end();
    Ok(())
}

/// `None` if no event comes by the deadline.
fn next_event(events: &Receiver<Event>, deadline: Option<Instant>) -> Option<Event> {
    match deadline {
        Some(deadline) => events.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
        None => events.recv().ok(),
    }
}

/// The parts of the server. They are started one after the other, and ended in the opposite order.
struct Service {
    app: Arc<App>,
    registry: Arc<Registry>,
    endpoints: Vec<Endpoint>,
    bound: Option<Server>,
    running: Option<Running<App>>,
    /// Set when everything has been started, whether there is a watchdog or not.
    watchdog: Option<Option<Watchdog>>,
}

impl Service {
    /// Answers requests from now on, whether or not the store is open.
    fn answer(&mut self) -> Result<(), StartError> {
        if let Some(server) = self.bound.take() {
            self.running = Some(server.serve(self.app.clone()).map_err(StartError::of)?);
        }
        Ok(())
    }

    /// Completes the start once the store is open.
    fn start(&mut self, store: &str, patience: Instant) -> Result<(), StartError> {
        self.registry.view.wait_until_loaded(patience);
        self.answer()?;
        let (registrations, version) =
            (self.registry.view.counts(Instant::now()).registrations, env!("CARGO_PKG_VERSION"));
        let address = self.endpoints.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(",");
        info!(address, store, registrations, version; "server started");
        let watchdog =
            Watchdog::start(self.endpoints.clone()).map_err(StartError::system("cannot start the watchdog thread"))?;
        self.watchdog = Some(watchdog);
        systemd::ready();
        Ok(())
    }

    /// Tells systemd something, unless the start is not complete yet.
    fn tell(&self, what: fn()) {
        if self.watchdog.is_some() {
            what();
        }
    }

    /// Ends everything, after requests under way have been answered.
    fn end(self) {
        info!("shutting down");
        systemd::stopping();
        drop(self.watchdog);
        self.app.end();
        if let Some(running) = self.running {
            running.drain(DRAIN);
        }
        self.registry.close();
        info!("server stopped");
    }
}

/// The sockets that systemd passed, or else the configured one. Call it before there are threads.
fn listen(configured: Listen) -> io::Result<Vec<Listen>> {
    let passed: Vec<Listen> = systemd::passed_sockets()?.into_iter().map(Listen::Inherited).collect();
    Ok(if passed.is_empty() { vec![configured] } else { passed })
}

/// Opens the store in a thread of its own, attaches it to the registry and sends [`Event::Opened`]. Without Redis, it
/// is a file in this directory. Signals are handled however long that takes.
fn open_store(
    directory: PathBuf,
    redis: Option<Arc<Connector>>,
    registry: Arc<Registry>,
    exposition: prometheus::Registry,
    tell: Sender<Event>,
) -> Result<(), StartError> {
    let open = move || {
        let (store, name): (Arc<dyn Store>, _) = match redis {
            None => {
                let store = EmbeddedStore::open(&directory, registry.view.clone(), &exposition);
                (Arc::new(store.map_err(StartError::of)?), "embedded")
            }
            Some(connector) => {
                let store = RedisStore::start(connector, registry.view.clone(), &exposition)
                    .map_err(StartError::system("cannot start the thread of the Redis store"))?;
                (Arc::new(store), "redis")
            }
        };
        registry.attach(store);
        Ok(name)
    };
    let run = move || {
        let gone = |_| Err(StartError::of("the store was not opened: its thread has panicked"));
        drop(tell.send(Event::Opened(catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(gone))));
    };
    std::thread::Builder::new()
        .name("open".into())
        .spawn(run)
        .map(drop)
        .map_err(StartError::system("cannot start the thread that opens the store"))
}

/// `ctrlc` takes SIGINT. It could take SIGTERM too, but only together with SIGHUP, which means something else here,
/// and it does not know SIGQUIT.
fn listen_to_signals(tell: &Sender<Event>) -> Result<(), String> {
    let failed = |e: &dyn fmt::Display| format!("cannot handle signals: {e}");
    let interrupt = tell.clone();
    // Nobody receives events once the server is ending: a second signal changes nothing.
    ctrlc::set_handler(move || drop(interrupt.send(Event::End))).map_err(|e| failed(&e))?;
    let tell = tell.clone();
    let hear = move |signal| match signal {
        SIGHUP => drop(tell.send(Event::Reread)),
        // A file has reached its size limit: the write fails, and the process goes on.
        SIGXFSZ => {}
        _ => drop(tell.send(Event::End)),
    };
    signals::forward(&[SIGTERM, SIGQUIT, SIGHUP, SIGXFSZ], hear).map_err(|e| failed(&e))
}
