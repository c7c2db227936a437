//! The API beyond the Go program's: each module holds the facts of one part, on both stores where stores matter.

mod groups;
mod lifetimes;
mod model;
mod openapi;
mod registrations;
mod rights;
mod scopes;
mod selections;
mod status;

use serde_json::{Value, json};

use crate::client::{Request, Response};
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

/// Registers a target with labels in a group, and returns its id.
#[track_caller]
pub(crate) fn register(server: &Server, target: &str, group: &str, labels: Value) -> String {
    server
        .register(json!({"static_config": {"targets": [target], "target_group": group, "labels": labels}}).to_string())
}

/// The first targets of the entries of a list, sorted.
#[track_caller]
pub(crate) fn listed(response: &Response) -> Vec<String> {
    response.has_status(200, "a list");
    let entries = response.json();
    let entries = entries.as_array().expect("a list is an array");
    let mut targets: Vec<String> =
        entries.iter().map(|entry| entry["targets"][0].as_str().expect("a target is a string").to_owned()).collect();
    targets.sort();
    targets
}

/// Asserts that a response is a problem (RFC 9457) of this status whose detail has this word in it.
#[track_caller]
pub(crate) fn is_problem(response: &Response, status: u16, word: &str) {
    response.has_status(status, word);
    assert_eq!(response.header("Content-Type"), Some("application/problem+json"));
    let problem = response.json();
    assert_eq!(problem["status"], json!(status));
    assert_eq!(problem["type"], json!("about:blank"));
    assert!(problem["title"].is_string() && problem["errors"].is_array() && problem["errors_total"].is_u64());
    let detail = problem["detail"].as_str().expect("there is a detail");
    assert!(detail.contains(word), "{detail:?} has no {word:?}");
}

/// A request with the write token.
pub(crate) fn authorized(method: &str, target: &str) -> Request {
    Request::new(method, target).token()
}
