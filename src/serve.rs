//! Builds store, registry and server, in the order of the start, and takes them down in the order of the shutdown.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::config::{Config, ConfigError, StoreConfig, TokenSources};
use crate::http::server::{BindError, Limits, Listen, Server, Settings};
use crate::http::{App, Options, Tokens};
use crate::metrics::{self, StoreMetrics};
use crate::registry::{Registry, Rules};
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::redis::{self, RedisStore};
use crate::systemd::{self, Watchdog};

/// How long requests under way may take once the server was told to end. With the time for cutting off the rest and
/// for closing the store, the end comes within 20 s.
const DRAIN: Duration = Duration::from_secs(15);

/// How long the first requests may wait for the registrations: a restart that is quicker fails none. After that the
/// server answers, if only that it is not ready, so that a large file is not taken for a dead server.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// A token file is wrong.
    Config(ConfigError),
    /// The address cannot be had.
    Bind(BindError),
    /// The embedded store cannot be opened.
    Embedded(OpenError),
    /// The Redis store cannot be set up; never because Redis is not there.
    Redis(redis::StartError),
    /// The system refused a signal handler or a thread.
    System(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(e) => e.fmt(f),
            StartError::Bind(e) => e.fmt(f),
            StartError::Embedded(e) => e.fmt(f),
            StartError::Redis(e) => e.fmt(f),
            StartError::System(e) => f.write_str(e),
        }
    }
}

impl std::error::Error for StartError {}

/// What the main thread waits for.
enum Event {
    /// A signal: end.
    End,
    /// A signal: read the tokens again.
    Reread,
    /// The store is open, under this name, or cannot be opened.
    Opened(Result<&'static str, StartError>),
}

/// Runs the server until a signal ends it.
///
/// # Errors
/// [`StartError`] when it cannot start; once started it ends well.
pub fn serve(config: Config) -> Result<(), StartError> {
    for variable in &config.without_effect {
        warn!(variable; "set, but without effect: neither REDIS_ADDR nor REDIS_URL nor REDIS_SENTINELS is");
    }
    let listen =
        listen(config.listen).map_err(|e| StartError::System(format!("a passed socket cannot be used: {e}")))?;
    let (tell, events) = mpsc::channel();
    listen_to_signals(&tell).map_err(StartError::System)?;
    let tokens = Arc::new(Tokens::new(config.tokens.read().map_err(StartError::Config)?));
    let exposition = metrics::new_registry();
    let settings = Settings {
        listen,
        workers: config.workers,
        may_wait: App::may_wait,
        connections_max: config.connections_max,
        limits: Limits::default(),
    };
    let server = Server::bind(settings, &exposition).map_err(StartError::Bind)?;

    let rules = Rules { names: config.label_names, ttl: config.ttl, outage_keep: config.outage_keep };
    let registry = Arc::new(Registry::new(rules, StoreMetrics::new(&exposition)));
    let options = Options { names: config.label_names, ttls: config.ttls, target_info: config.target_info };
    let app = Arc::new(App::new(registry.clone(), tokens.clone(), options, exposition.clone()));
    let addresses = server.addresses();
    let handler = app.clone();
    let answer = move |server: Server| server.serve(Arc::new(move |request| handler.handle(request)));
    open_store(config.store, registry.clone(), exposition, tell)?;

    let patience = Instant::now() + START_PATIENCE;
    let mut waiting = Some((server, answer));
    let (mut running, mut watchdog, mut is_started) = (None, None, false);
    loop {
        let event = match &waiting {
            Some(_) => events.recv_timeout(patience.saturating_duration_since(Instant::now())).ok(),
            None => events.recv().ok(),
        };
        match event {
            Some(Event::End) => break,
            Some(Event::Reread) => reread(&config.tokens, &tokens, is_started),
            Some(Event::Opened(opened)) => {
                let store = opened?;
                registry.wait_until_loaded(patience);
                if let Some((server, answer)) = waiting.take() {
                    running = Some(answer(server).map_err(StartError::Bind)?);
                }
                let (registrations, version) = (registry.registrations(), env!("CARGO_PKG_VERSION"));
                info!(address = addresses.join(","), store, registrations, version; "server started");
                watchdog = Watchdog::start(&addresses).map_err(|e| StartError::System(format!("no thread: {e}")))?;
                systemd::ready();
                is_started = true;
            }
            // Nobody has waited longer than that for a first answer, if only that the server is not ready.
            None => {
                if let Some((server, answer)) = waiting.take() {
                    running = Some(answer(server).map_err(StartError::Bind)?);
                }
            }
        }
    }
    info!("shutting down");
    systemd::stopping();
    drop(watchdog);
    app.end();
    if let Some(running) = running {
        running.drain(DRAIN);
    }
    registry.close();
    info!("ended");
    Ok(())
}

/// The sockets that systemd passed, or else the place that is configured. To be called before there are threads.
fn listen(configured: Listen) -> io::Result<Vec<Listen>> {
    let passed: Vec<Listen> = systemd::passed_sockets()?.into_iter().map(Listen::Inherited).collect();
    Ok(if passed.is_empty() { vec![configured] } else { passed })
}

/// Opens the store in a thread of its own, gives it to the registry and says so. However long that takes, a signal is
/// heard meanwhile.
fn open_store(
    config: StoreConfig,
    registry: Arc<Registry>,
    exposition: prometheus::Registry,
    tell: Sender<Event>,
) -> Result<(), StartError> {
    let open = move || {
        let (store, name): (Arc<dyn Store>, _) = match config {
            StoreConfig::Embedded(directory) => {
                let store = EmbeddedStore::open(&directory, registry.mirror(), &exposition);
                (Arc::new(store.map_err(StartError::Embedded)?), "embedded")
            }
            StoreConfig::Redis(settings) => {
                let store = RedisStore::start(*settings, registry.mirror(), &exposition);
                (Arc::new(store.map_err(StartError::Redis)?), "redis")
            }
        };
        registry.attach(store);
        Ok(name)
    };
    let run = move || {
        let gone = |_| Err(StartError::System("the store was not opened: its thread has panicked".to_owned()));
        drop(tell.send(Event::Opened(catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(gone))));
    };
    std::thread::Builder::new()
        .name("open".into())
        .spawn(run)
        .map(drop)
        .map_err(|e| StartError::System(format!("no thread to open the store: {e}")))
}

/// Reads the tokens again.
fn reread(sources: &TokenSources, tokens: &Tokens, is_started: bool) {
    if is_started {
        systemd::reloading();
    }
    match sources.read() {
        Ok(sets) => {
            info!(write = sets.write.len(), read = sets.read.len(), named = sets.named.len(); "tokens read again");
            tokens.replace(sets);
        }
        Err(e) => error!(reason:% = e; "the tokens stay as they are"),
    }
    if is_started {
        systemd::ready();
    }
}

/// `ctrlc` takes SIGINT. It could take SIGTERM too, but only together with SIGHUP, which means something else here,
/// and it does not know SIGQUIT; these come through `signal_hook`.
fn listen_to_signals(tell: &Sender<Event>) -> Result<(), String> {
    let failed = |e: &dyn fmt::Display| format!("signals cannot be handled: {e}");
    let interrupt = tell.clone();
    // Nobody listens any more once the server is ending; a second signal changes nothing.
    ctrlc::set_handler(move || drop(interrupt.send(Event::End))).map_err(|e| failed(&e))?;
    let signals = Signals::new([SIGTERM, SIGQUIT, SIGHUP, SIGXFSZ]).map_err(|e| failed(&e))?;
    let tell = tell.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || forward(signals, &tell))
        .map(drop)
        .map_err(|e| failed(&e))
}

fn forward(mut signals: Signals, tell: &Sender<Event>) {
    for signal in signals.forever() {
        let event = match signal {
            SIGHUP => Event::Reread,
            // A file has reached its size limit: an error of that write, and no end of the process.
            SIGXFSZ => continue,
            _ => Event::End,
        };
        let _ = tell.send(event);
    }
}
