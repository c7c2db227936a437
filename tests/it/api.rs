//! The API beyond the Go program's: each module holds the facts of one part, on both stores where stores matter.

mod lifetimes;

use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

/// A setup on the embedded store and one on Redis, with their names for messages. The Redis lives as long as this does.
pub(crate) struct Stores {
    setups: [(&'static str, Setup); 2],
    _redis: RedisServer,
}

impl Stores {
    /// Both stores, empty.
    #[track_caller]
    pub(crate) fn new() -> Stores {
        let redis = RedisServer::start();
        let setups = [("embedded", Setup::new()), ("redis", Setup::new().env("REDIS_URL", &redis.url()))];
        Stores { setups, _redis: redis }
    }

    /// Runs the same facts on both.
    pub(crate) fn each(&self, facts: impl Fn(&Setup)) {
        for (name, setup) in &self.setups {
            println!("on the {name} store");
            facts(setup);
        }
    }
}

/// Starts a server and waits until it can be read and written.
#[track_caller]
pub(crate) fn start(setup: &Setup) -> Server {
    let server = setup.start();
    eventually(SOON, || server.get("/-/ready").status == 200);
    server
}

/// Runs these facts against a fresh server on each store.
#[track_caller]
pub(crate) fn on_both_stores(facts: impl Fn(&Server)) {
    Stores::new().each(|setup| facts(&start(setup)));
}
