//! Those who use a server while it has trouble: owners who renew what is theirs, and somebody who polls all the while.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use inventor::registration::TargetId;
use parking_lot::Mutex;

use crate::client::{Connection, Request, Response};
use crate::server::Server;

const BETWEEN_POLLS: Duration = Duration::from_millis(20);

/// A registration of one target, whose name is its address without the port.
pub(crate) fn registration(name: &str) -> String {
    format!(r#"{{"static_config":{{"targets":["{name}:9100"]}}}}"#)
}

/// A registration that needs some room in a file.
pub(crate) fn large_registration(name: &str) -> String {
    let filler = "x".repeat(20_000);
    format!(r#"{{"static_config":{{"targets":["{name}:9100"],"labels":{{"filler":"{filler}"}}}}}}"#)
}

/// The id of the target with this name.
pub(crate) fn id(name: &str) -> TargetId {
    TargetId::of(&[format!("{name}:9100")])
}

/// What GET and DELETE need to name a target.
pub(crate) fn by_id(name: &str) -> String {
    format!(r#"{{"id":"{}"}}"#, id(name))
}

/// The names of the targets in a list.
#[track_caller]
pub(crate) fn names(list: &Response) -> BTreeSet<String> {
    list.has_status(200, "a list");
    let list = list.json();
    let name = |entry: &serde_json::Value| entry["targets"][0].as_str()?.strip_suffix(":9100").map(str::to_owned);
    list.as_array().expect("a list").iter().map(|entry| name(entry).expect("a name")).collect()
}

/// Threads that work until this is dropped.
struct Threads {
    ended: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn new() -> Threads {
        Threads { ended: Arc::default(), handles: Vec::new() }
    }

    fn repeat(&mut self, pause: Duration, mut work: impl FnMut() + Send + 'static) {
        let ended = Arc::clone(&self.ended);
        self.handles.push(thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                work();
                thread::sleep(pause);
            }
        }));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for handle in self.handles.drain(..) {
            let outcome = handle.join();
            assert!(outcome.is_ok() || thread::panicking(), "a thread beside the test has failed");
        }
    }
}

/// Owners of one target each, who renew it every so often, whatever they are answered.
pub(crate) struct Owners {
    names: Vec<String>,
    answers: Arc<Mutex<Vec<u16>>>,
    _threads: Threads,
}

impl Owners {
    /// Registers this many targets, and renews them until dropped.
    #[track_caller]
    pub(crate) fn renewing(server: &Server, count: usize, interval: Duration, body: fn(&str) -> String) -> Owners {
        let names: Vec<String> = (0..count).map(|n| format!("owner-{n}")).collect();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Threads::new();
        for name in &names {
            server.register(body(name));
            let (address, answers, body) = (server.address(), Arc::clone(&answers), body(name));
            threads.repeat(interval, move || {
                let renewal = Request::new("PUT", "/target").token().body(&body);
                let answer = Connection::open(address).send(&renewal).status;
                answers.lock().push(answer);
            });
        }
        Owners { names, answers, _threads: threads }
    }

    /// Their targets.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// How many renewals were answered by this status.
    pub(crate) fn answered(&self, status: u16) -> usize {
        self.answers.lock().iter().filter(|answer| **answer == status).count()
    }
}

/// Polls of the whole list, one after the other.
pub(crate) struct Polls {
    count: Arc<AtomicUsize>,
    wrong: Arc<Mutex<Option<String>>>,
    _threads: Threads,
}

impl Polls {
    /// Polls until dropped, and looks whether all of these are in every list.
    pub(crate) fn expecting(server: &Server, expected: &[String]) -> Polls {
        let (count, wrong) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Option<String>>>::default());
        let mut threads = Threads::new();
        let mut connection = server.connect();
        let (counted, noted, expected) = (Arc::clone(&count), Arc::clone(&wrong), expected.to_vec());
        threads.repeat(BETWEEN_POLLS, move || {
            let list = connection.send(&Request::new("GET", "/discover"));
            let at = counted.fetch_add(1, Ordering::Relaxed);
            let missing = || {
                let names = names(&list);
                expected.iter().filter(|name| !names.contains(*name)).cloned().collect::<Vec<_>>()
            };
            let fault = match list.status {
                200 => {
                    Some(missing()).filter(|missing| !missing.is_empty()).map(|missing| format!("{missing:?} missing"))
                }
                status => Some(format!("status {status}")),
            };
            if let Some(fault) = fault {
                noted.lock().get_or_insert_with(|| format!("poll {at}: {fault}"));
            }
        });
        Polls { count, wrong, _threads: threads }
    }

    /// Fails when a list was wrong.
    #[track_caller]
    pub(crate) fn were_right(&self) {
        assert_eq!(*self.wrong.lock(), None);
        assert!(self.count.load(Ordering::Relaxed) > 0, "nobody has polled");
    }
}
