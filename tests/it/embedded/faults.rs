//! What becomes of a store whose file vanishes, is replaced, or does not answer while it runs.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use inventor::registration::{TargetId, Ttl};
use inventor::registry::Now;
use inventor::store::embedded::{EmbeddedStore, OpenError};
use inventor::store::{Change, Comparison, Kept, Mirror, Settlement, WAIT_MAX};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::stopped::age;
use super::{file, open, try_open};
use crate::ending::Ending;
use crate::eventually::{SOON, eventually};
use crate::store_contract::{Node, delete, everywhere, hour, id, put, registration, rules};

#[test]
fn a_store_whose_file_is_gone_refuses_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("kept", "before");
    fs::rename(file(directory.path()), directory.path().join("elsewhere")).unwrap();
    assert!(node.try_put("unknown", "during", hour()).is_err());
    assert!(node.store.health().unwrap_err().to_string().contains("inventor.redb"), "{:?}", node.store.health());
    assert!(node.store.get(id("kept")).is_err());
    assert!(node.delete("kept").is_err());
    node.is_down();
    assert!(node.registry.health(Now::read()).unwrap_err().contains("inventor.redb"));
    assert!(node.stale().is_some());
    assert_eq!(node.shown("kept").as_deref(), Some("before"), "what was shown stays");
    assert!(!file(directory.path()).exists(), "no new file takes its place");

    fs::rename(directory.path().join("elsewhere"), file(directory.path())).unwrap();
    node.is_up();
    assert_eq!(node.stale(), None);
    assert_eq!(node.get("kept").as_deref(), Some("before"));
    assert_eq!(node.shown("unknown"), node.get("unknown"));
    node.put("new", "after");
    let shown = node.all();
    drop(node);
    assert_eq!(open(directory.path()).all(), shown);
}

#[test]
fn what_runs_out_while_the_file_is_gone_is_kept_and_can_be_renewed() {
    let directory = TempDir::new().unwrap();
    let node = try_open(rules(Ttl::from_seconds(4)), directory.path()).unwrap();
    let write = |name: &str| node.registry.put(id(name), &registration(name, "text"), &everywhere("test"), Now::read());
    write("silent").unwrap();
    write("refused").unwrap();
    let written = Instant::now();
    fs::rename(file(directory.path()), directory.path().join("elsewhere")).unwrap();
    assert!(write("refused").is_err());
    eventually(SOON, || written.elapsed() > Duration::from_millis(4500));
    assert_eq!(node.count(), 2, "nothing expires");
    fs::rename(directory.path().join("elsewhere"), file(directory.path())).unwrap();
    node.is_up();
    for name in ["silent", "refused"] {
        assert!(node.rest(name).unwrap() <= Duration::from_secs(2), "half a lifetime is enough");
        assert_eq!(node.get(name).as_deref(), Some("text"), "the file has the new deadline");
    }
    write("refused").unwrap();
    eventually(SOON, || node.shown("silent").is_none());
    assert_eq!(node.shown("refused").as_deref(), Some("text"));
}

#[test]
fn a_batch_that_fails_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("old", "before");
    let before = node.all();
    fs::rename(file(directory.path()), directory.path().join("elsewhere")).unwrap();
    // The first failure may come after its commit; those that follow find the store broken.
    assert!(node.try_put("old", "before", hour()).is_err());
    let batch = vec![delete("old"), put("new", "during", hour())];
    assert!(node.write(batch).is_err());
    assert_eq!(node.all(), before);
    fs::rename(directory.path().join("elsewhere"), file(directory.path())).unwrap();
    node.is_up();
    assert_eq!(node.all(), before);
    assert_eq!((node.get("old").as_deref(), node.get("new")), (Some("before"), None));
}

#[test]
fn after_another_file_took_its_place_the_list_shows_that_one() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("old", "value");
    node.put("changed", "before");
    node.try_put("short", "x", Ttl::from_seconds(1)).unwrap();
    drop(node);
    let copy = directory.path().join("copy");
    fs::copy(file(directory.path()), &copy).unwrap();

    let node = open(directory.path());
    node.put("changed", "after");
    node.put("new", "value");
    fs::rename(&copy, file(directory.path())).unwrap();
    assert!(node.try_put("lost", "x", hour()).is_err());
    eventually(SOON, || node.store.health().is_ok());
    assert_eq!(node.shown("new"), None);
    assert_eq!(node.shown("changed").as_deref(), Some("before"));
    eventually(SOON, || node.shown("short").is_none());
    assert_eq!(node.count(), 2);
}

#[test]
fn after_faults_among_writers_the_list_equals_the_file() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    let elsewhere = directory.path().join("elsewhere");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ending = Ending(&done);
        for writer in 0..8 {
            let (node, done) = (&node, &done);
            scope.spawn(move || write_until(done, node, writer));
        }
        for _ in 0..10 {
            fs::rename(file(directory.path()), &elsewhere).unwrap();
            eventually(SOON, || node.store.health().is_err());
            fs::rename(&elsewhere, file(directory.path())).unwrap();
            eventually(SOON, || node.store.health().is_ok());
        }
    });
    let shown = node.all();
    drop(node);
    assert_eq!(open(directory.path()).all(), shown);
}

/// Writes and deletes on a few ids; whether it succeeds depends on the faults.
fn write_until(done: &AtomicBool, node: &Node, writer: usize) {
    for n in 0.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let name = (n % 5).to_string();
        let outcome = match n % 3 {
            0 => node.delete(&name).map(drop),
            _ => node.try_put(&name, &format!("{writer} {n}"), hour()),
        };
        if outcome.is_err() {
            thread::yield_now();
        }
    }
}

/// The way to the registry, closed while a test holds its gate: the writer waits, as it does for a disk that hangs. Or one
/// on which the settlement of an outage makes no progress.
struct Gated {
    gate: Arc<Mutex<()>>,
    /// The same, right after the registry was told that an outage is over.
    end: Arc<Mutex<()>>,
    settles: bool,
    mirror: Arc<dyn Mirror>,
}

impl Mirror for Gated {
    fn apply(&self, changes: Vec<Change>) {
        let _open = self.gate.lock();
        self.mirror.apply(changes);
    }

    fn loaded(&self) {
        self.mirror.loaded();
    }

    fn interrupted(&self, since: Instant) {
        self.mirror.interrupted(since);
    }

    fn settle(&self, end: Instant, count: usize) -> Option<Settlement> {
        let next = self.mirror.settle(end, count)?;
        Some(if self.settles { next } else { Settlement { moved: Vec::new(), is_last: false } })
    }

    fn moved(&self, moved: &[Kept]) {
        self.mirror.moved(moved);
    }

    fn settled(&self, end: Instant) {
        self.mirror.settled(end);
        drop(self.end.lock());
    }

    fn expired_until(&self) -> Option<Instant> {
        self.mirror.expired_until()
    }

    fn writable(&self, at: Instant) {
        self.mirror.writable(at);
    }

    fn trouble(&self, now: Instant, wait: Duration) {
        self.mirror.trouble(now, wait);
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.mirror.next_expiry()
    }

    fn living_after(&self, at: Instant) -> HashSet<TargetId> {
        self.mirror.living_after(at)
    }

    fn compare(&self, present: &HashSet<TargetId>, until: Instant, before: Option<&HashSet<TargetId>>) -> Comparison {
        self.mirror.compare(present, until, before)
    }
}

#[test]
fn nobody_waits_long_for_a_store_that_hangs() {
    let directory = TempDir::new().unwrap();
    let gate = Arc::<Mutex<()>>::default();
    let open = |mirror, metrics: &_| -> Result<EmbeddedStore, OpenError> {
        let gated = Arc::new(Gated { gate: gate.clone(), end: Arc::default(), settles: true, mirror });
        EmbeddedStore::open(directory.path(), gated, metrics)
    };
    let node = Node::open(rules(hour()), open).unwrap();
    let held = gate.lock();
    let start = Instant::now();
    assert!(node.try_put("slow", "late", hour()).is_err());
    assert!((WAIT_MAX..WAIT_MAX * 3).contains(&start.elapsed()), "{:?}", start.elapsed());
    eventually(SOON, || node.store.health().is_err());
    let start = Instant::now();
    assert!(node.try_put("slow", "refused", hour()).is_err());
    assert!(node.store.get(id("slow")).is_err());
    assert!(start.elapsed() < WAIT_MAX, "refused only after {:?}", start.elapsed());
    assert!(node.registry.health(Now::read()).is_err(), "it is an outage");
    drop(held);
    node.is_up();
    assert_eq!(node.get("slow").as_deref(), Some("late"));
    assert_eq!(node.shown("slow").as_deref(), Some("late"));
    node.put("slow", "on time");
}

#[test]
fn who_hears_that_an_outage_is_over_can_write() {
    let directory = TempDir::new().unwrap();
    let end = Arc::<Mutex<()>>::default();
    let open = |mirror, metrics: &_| -> Result<EmbeddedStore, OpenError> {
        let gated = Arc::new(Gated { gate: Arc::default(), end: end.clone(), settles: true, mirror });
        EmbeddedStore::open(directory.path(), gated, metrics)
    };
    let node = Node::open(rules(hour()), open).unwrap();
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(file(directory.path()), &elsewhere).unwrap();
    assert!(node.try_put("a", "during", hour()).is_err());
    node.is_down();
    let held = end.lock();
    fs::rename(elsewhere, file(directory.path())).unwrap();
    eventually(SOON, || node.registry.health(Now::read()).is_ok());
    assert_eq!(node.store.health(), Ok(()));
    drop(held);
    node.put("a", "after");
}

#[test]
fn what_is_listed_is_found_and_deleted_while_an_outage_is_settled() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("a", "text");
    drop(node);
    age(directory.path(), 10);
    let open = |mirror, metrics: &_| -> Result<EmbeddedStore, OpenError> {
        let gated = Arc::new(Gated { gate: Arc::default(), end: Arc::default(), settles: false, mirror });
        EmbeddedStore::open(directory.path(), gated, metrics)
    };
    let node = Node::open(rules(hour()), open).unwrap();
    assert_eq!(node.shown("a").as_deref(), Some("text"), "nobody could renew it");
    assert_eq!(node.get("a").as_deref(), Some("text"));
    assert_eq!(node.delete("a"), Ok(true));
    assert_eq!((node.shown("a"), node.get("a")), (None, None));
}
