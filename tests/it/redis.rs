//! The Redis store on real Redis servers.

mod chaos;
mod follow;
mod outage;
pub(crate) mod proxy;
mod refusals;
mod restore;
mod rules;
mod sentinel;
mod serving;
pub(crate) mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use inventor::store::Store;
use inventor::store::redis::{Address, RedisStore, Settings, StartError};

use proxy::Proxy;

use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::store_contract::{Recorder, store_contract};

/// What is not worth waiting for any longer when nothing shall happen.
const A_MOMENT: Duration = Duration::from_millis(300);

store_contract!(with_new_store);

fn with_new_store(fact: fn(&dyn Store, &Recorder)) {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    fact(&replica.store, &replica.mirror);
}

/// One of several servers on the same Redis: a store, what it shows, and what it measures.
struct Replica {
    store: RedisStore,
    mirror: Arc<Recorder>,
    metrics: prometheus::Registry,
}

impl Replica {
    /// Starts a replica and waits until it shows everything.
    #[track_caller]
    fn start(redis: &RedisServer) -> Replica {
        let replica = Replica::launch(Settings::from_url(&redis.url()).unwrap());
        replica.is_up();
        replica
    }

    /// Starts a replica that reaches its Redis by a proxy, and waits until it shows everything.
    #[track_caller]
    fn start_behind(proxy: &Proxy) -> Replica {
        let replica = Replica::launch(Settings::new(Address::Unix(proxy.socket())));
        replica.is_up();
        replica
    }

    /// Starts a replica that may never get anywhere.
    #[track_caller]
    fn launch(settings: Settings) -> Replica {
        try_launch(settings).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Waits until reads and writes are expected to succeed.
    #[track_caller]
    fn is_up(&self) {
        eventually(SOON, || self.store.health().is_ok());
    }

    /// Waits until reads and writes are expected to fail, and returns why.
    #[track_caller]
    fn is_down(&self) -> String {
        eventually(SOON, || self.store.health().is_err());
        self.store.health().unwrap_err().to_string()
    }

    /// Waits until reads and writes are expected to fail for a reason in which all these texts stand.
    #[track_caller]
    fn is_down_because(&self, texts: &[&str]) {
        let deadline = Instant::now() + SOON;
        loop {
            let reason = self.is_down();
            if texts.iter().all(|text| reason.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "no {texts:?} in {reason:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The value of a metric; of all its labels together.
    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        let families = self.metrics.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"));
        let value =
            |metric: &prometheus::proto::Metric| metric.get_gauge().get_value() + metric.get_counter().get_value();
        family.get_metric().iter().map(value).sum()
    }
}

/// Starts a replica unless its settings are wrong in themselves.
fn try_launch(settings: Settings) -> Result<Replica, StartError> {
    let mirror = Arc::new(Recorder::default());
    let metrics = prometheus::Registry::new();
    let store = RedisStore::start(settings, mirror.clone(), &metrics)?;
    Ok(Replica { store, mirror, metrics })
}

/// Tells threads that a test has ended, be it by a failure: they would be waited for otherwise.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
