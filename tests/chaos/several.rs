//! More registrations than anybody could register one by one, written straight into a store.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use inventor::registration::{Content, LabelNames, Registration, TargetId, Ttl, TtlBounds};
use inventor::registry::{Registry, Rules};
use inventor::store::embedded::EmbeddedStore;
use inventor::store::{Store, Update};

use crate::redis_server::RedisServer;
use crate::server::Setup;

/// How many are written at once; to a file few enough for a busy disk.
const BATCH: usize = 1_000;
const BATCH_IN_FILE: usize = 200;

/// Registrations of one group that nobody renews.
#[derive(Debug, Clone)]
pub(crate) struct Several {
    pub(crate) group: &'static str,
    pub(crate) count: usize,
    /// What they have left.
    pub(crate) left: Duration,
    /// The lifetime that they have by their documents; `None` is that of the server.
    pub(crate) lifetime: Option<Duration>,
}

impl Several {
    fn registration(&self, n: usize) -> (TargetId, Content) {
        let group = self.group;
        let lifetime =
            self.lifetime.map_or_else(String::new, |lifetime| format!(r#","ttl_seconds":{}"#, lifetime.as_secs()));
        let body =
            format!(r#"{{"static_config":{{"targets":["{group}-{n}:9100"],"target_group":"{group}"{lifetime}}}}}"#);
        let registration =
            Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).expect("it is valid");
        (registration.id(), Content::new(&registration))
    }

    pub(crate) fn keys(&self) -> HashSet<String> {
        (0..self.count).map(|n| self.registration(n).0.to_string()).collect()
    }

    pub(crate) fn write_to_redis(&self, redis: &RedisServer) {
        let mut connection = redis.connect();
        for batch in (0..self.count).collect::<Vec<_>>().chunks(BATCH) {
            let mut pipeline = redis::pipe();
            for n in batch {
                let (id, content) = self.registration(*n);
                let value = content.document(id, SystemTime::now());
                let set = pipeline.cmd("SET").arg(id.to_string()).arg(value);
                set.arg("PX").arg(self.left.as_millis() as u64).ignore();
            }
            pipeline.exec(&mut connection).expect("Redis takes them");
        }
    }

    /// Writes them to the file of a server that does not run.
    pub(crate) fn write_to_file(&self, setup: &Setup) {
        let metrics = prometheus::Registry::new();
        let rules = Rules {
            names: LabelNames::Legacy,
            ttl: Ttl::DEFAULT,
            outage_keep: Duration::from_secs(24 * 3600),
            shows_groups: true,
        };
        let registry = Registry::new(rules, &metrics);
        let store =
            EmbeddedStore::open(&setup.path("data"), registry.view.clone(), &metrics).expect("there is room for it");
        let ttl = Ttl::from_seconds(self.left.as_secs());
        for batch in (0..self.count).collect::<Vec<_>>().chunks(BATCH_IN_FILE) {
            let update = |n: &usize| {
                let (id, content) = self.registration(*n);
                Update::Put { id, content, updated_at: SystemTime::now(), ttl, by: None }
            };
            store.write(batch.iter().map(update).collect(), None).expect("the file takes them");
        }
        store.close();
    }
}
