//! Builds store, registry and server, in the order of the start, and takes them down in the order of the shutdown.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
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

/// What the process was told by a signal.
enum Told {
    End,
    Reread,
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
    let signals = listen_to_signals().map_err(StartError::System)?;
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
    let expiry = {
        let registry = registry.clone();
        std::thread::Builder::new().name("expiry".into()).spawn(move || registry.expire_until_closed())
    }
    .map_err(|e| StartError::System(format!("no thread for expiry: {e}")))?;

    let options =
        Options { names: config.label_names, ttls: config.ttls, target_info: config.target_info, page: config.page };
    let app = Arc::new(App::new(registry.clone(), tokens.clone(), options, exposition.clone()));
    let addresses = server.addresses();
    let handler = app.clone();
    let answer = move |server: Server| server.serve(Arc::new(move |request| handler.handle(request)));
    let patience = Instant::now() + START_PATIENCE;
    let opening = open_store(config.store, registry.clone(), exposition)?;
    let (running, store_name) = match opening.recv_timeout(START_PATIENCE) {
        Ok(opened) => {
            let name = opened?;
            registry.wait_until_loaded(patience);
            (answer(server).map_err(StartError::Bind)?, name)
        }
        Err(_) => {
            let running = answer(server).map_err(StartError::Bind)?;
            let gone = |_| StartError::System("the store was not opened: its thread has panicked".to_owned());
            (running, opening.recv().map_err(gone)??)
        }
    };
    let (registrations, version) = (registry.registrations(), env!("CARGO_PKG_VERSION"));
    info!(address = addresses.join(","), store = store_name, registrations, version; "server started");

    let watchdog = Watchdog::start(&addresses).map_err(|e| StartError::System(format!("no thread: {e}")))?;
    systemd::ready();

    wait_for_end(&signals, &config.tokens, &tokens);
    info!("shutting down");
    systemd::stopping();
    drop(watchdog);
    app.end();
    running.drain(DRAIN);
    registry.close();
    if expiry.join().is_err() {
        error!("the expiry thread had panicked");
    }
    info!("ended");
    Ok(())
}

/// The sockets that systemd passed, or else the place that is configured. To be called before there are threads.
fn listen(configured: Listen) -> io::Result<Vec<Listen>> {
    let passed: Vec<Listen> = systemd::passed_sockets()?.into_iter().map(Listen::Inherited).collect();
    Ok(if passed.is_empty() { vec![configured] } else { passed })
}

/// Opens the store in a thread of its own and gives it to the registry; then its name, or what went wrong, is received.
fn open_store(
    config: StoreConfig,
    registry: Arc<Registry>,
    exposition: prometheus::Registry,
) -> Result<Receiver<Result<&'static str, StartError>>, StartError> {
    let (tell, opened) = mpsc::channel();
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
    let run = move || drop(tell.send(open()));
    std::thread::Builder::new()
        .name("open".into())
        .spawn(run)
        .map_err(|e| StartError::System(format!("no thread to open the store: {e}")))?;
    Ok(opened)
}

/// Returns when the process was told to end; until then, reads tokens again when told so.
fn wait_for_end(signals: &Receiver<Told>, sources: &TokenSources, tokens: &Tokens) {
    while let Ok(Told::Reread) = signals.recv() {
        systemd::reloading();
        match sources.read() {
            Ok(sets) => {
                info!(write = sets.write.len(), read = sets.read.len(); "tokens read again");
                tokens.replace(sets);
            }
            Err(e) => error!(reason:% = e; "the tokens stay as they are"),
        }
        systemd::ready();
    }
}

/// `ctrlc` takes SIGINT. It could take SIGTERM too, but only together with SIGHUP, which means something else here,
/// and it does not know SIGQUIT; these come through `signal_hook`.
fn listen_to_signals() -> Result<Receiver<Told>, String> {
    let (tell, told) = mpsc::channel();
    let failed = |e: &dyn fmt::Display| format!("signals cannot be handled: {e}");
    let interrupt = tell.clone();
    // Nobody listens any more once the server is ending; a second signal changes nothing.
    ctrlc::set_handler(move || drop(interrupt.send(Told::End))).map_err(|e| failed(&e))?;
    let signals = Signals::new([SIGTERM, SIGQUIT, SIGHUP, SIGXFSZ]).map_err(|e| failed(&e))?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || forward(signals, &tell))
        .map_err(|e| failed(&e))?;
    Ok(told)
}

fn forward(mut signals: Signals, tell: &Sender<Told>) {
    for signal in signals.forever() {
        let told = match signal {
            SIGHUP => Told::Reread,
            // A file has reached its size limit: an error of that write, and no end of the process.
            SIGXFSZ => continue,
            _ => Told::End,
        };
        let _ = tell.send(told);
    }
}
