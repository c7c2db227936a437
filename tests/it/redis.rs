//! The Redis store on real Redis servers.

mod checks;
mod cluster;
mod follow;
mod lifetimes;
mod outage;
pub(crate) mod proxy;
mod refusals;
mod restore;
mod rules;
mod secrets;
mod sentinel;
mod serving;
mod tls;

use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use inventor::registration::Ttl;
use inventor::registry::Rules;
use inventor::store::redis::{Address, Connector, RedisStore, Settings};

use ::redis::Connection;
use proxy::Proxy;

use crate::ending::Ending;
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{Node, document, hour, id, rules, store_contract};

store_contract!(with_new_store);

fn with_new_store(fact: fn(&Node)) {
    let redis = RedisServer::start();
    fact(&Replica::start(&redis));
}

/// One of several servers on the same Redis.
struct Replica(Node);

impl Deref for Replica {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Replica {
    /// Starts a replica and waits until it shows everything.
    #[track_caller]
    fn start(redis: &RedisServer) -> Replica {
        Replica::start_with(rules(hour()), redis)
    }

    /// Starts a replica with lifetimes of this many seconds, and waits until it shows everything.
    #[track_caller]
    fn start_with_lifetime(seconds: u64, redis: &RedisServer) -> Replica {
        Replica::start_with(rules(Ttl::from_seconds(seconds)), redis)
    }

    #[track_caller]
    fn start_with(rules: Rules, redis: &RedisServer) -> Replica {
        let replica = Replica::launch_with(rules, settings(redis));
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
        Replica::launch_with(rules(hour()), settings)
    }

    #[track_caller]
    fn launch_with(rules: Rules, settings: Settings) -> Replica {
        let connector = Arc::new(Connector::new(settings));
        let opened = Node::open(rules, |mirror, metrics| RedisStore::start(connector, mirror, metrics));
        Replica(opened.expect("there are threads"))
    }

    /// Waits until the store complains of something.
    #[track_caller]
    fn is_unwell(&self) -> String {
        eventually(SOON, || self.store.health().is_err());
        self.store.health().map_or_else(|e| e.to_string(), |()| String::new())
    }

    /// Waits until the store complains of something, with all these texts in its words.
    #[track_caller]
    fn is_unwell_because(&self, texts: &[&str]) {
        let deadline = Instant::now() + SOON;
        loop {
            let reason = self.is_unwell();
            if texts.iter().all(|text| reason.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "no {texts:?} in {reason:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The two connections of a replica, by the numbers that Redis gives them.
struct Clients {
    /// It writes, and has the other one told what everybody else changes.
    writer: String,
    tracked: String,
}

#[track_caller]
fn clients(connection: &mut Connection) -> Clients {
    let clients: String = command(connection, &["CLIENT", "LIST"]);
    let field = |line: &str, name: &str| {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
    };
    let line = clients.lines().find(|line| field(line, "flags").contains('t'));
    let line = line.unwrap_or_else(|| panic!("nobody tracks:\n{clients}"));
    Clients { writer: field(line, "id"), tracked: field(line, "redir") }
}

/// The key of a made-up target.
fn key(name: &str) -> String {
    id(name).to_string()
}

/// The document of a made-up target, as another program would store it.
fn value(name: &str, text: &str) -> String {
    String::from_utf8(document(name, text)).expect("JSON is UTF-8")
}

/// Has another program store the document of a made-up target for ever.
#[track_caller]
fn set(connection: &mut Connection, name: &str, text: &str) {
    let _: () = command(connection, &["SET", &key(name), &value(name, text)]);
}

fn settings(redis: &RedisServer) -> Settings {
    Settings::from_url(&redis.url()).expect("its URL is one")
}
