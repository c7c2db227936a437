//! The embedded store on real files: the contract, restarts, and faults while it runs.

mod refusals;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use inventor::registration::{TargetId, Ttl};
use inventor::store::embedded::{EmbeddedStore, OpenError};
use inventor::store::{Change, Mirror, Missing, Store, WAIT_MAX};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::eventually::{SOON, eventually};
use crate::store_contract::{Recorder, get, hour, id, put, store_contract};

store_contract!(with_new_store);

fn with_new_store(fact: fn(&dyn Store, &Recorder)) {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    fact(&store, &mirror);
}

/// Opens the store in a directory, with a new mirror.
#[track_caller]
fn open(directory: &Path) -> (EmbeddedStore, Arc<Recorder>) {
    let mirror = Arc::new(Recorder::default());
    (try_open(directory, mirror.clone()).unwrap_or_else(|e| panic!("{e}")), mirror)
}

fn try_open(directory: &Path, mirror: Arc<Recorder>) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(directory, mirror, &prometheus::Registry::new())
}

fn file(directory: &Path) -> PathBuf {
    directory.join("inventor.redb")
}

#[test]
fn documents_survive_a_restart() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    put(&store, id("a"), "first");
    put(&store, id("b"), "second");
    store.put(id("c"), b"for ever".into(), Ttl::from_seconds(0), SystemTime::now()).unwrap();
    assert_eq!(store.delete(id("a"), SystemTime::now()), Ok(true));
    drop(store);
    let (store, mirror) = open(directory.path());
    assert_eq!(mirror.all(), [(id("b"), b"second".into()), (id("c"), b"for ever".into())].into());
    assert_eq!(get(&store, id("b")).as_deref(), Some("second"));
    assert_eq!(mirror.rest(id("c")), None);
}

#[test]
fn thousands_of_documents_are_loaded() {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    thread::scope(|scope| {
        for writer in 0..16 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..200 {
                    put(store, id(&format!("{writer}-{n}")), &format!("{writer} {n}"));
                }
            });
        }
    });
    drop(store);
    let (_store, loaded) = open(directory.path());
    assert_eq!(loaded.all().len(), 3200);
    assert_eq!(loaded.all(), mirror.all());
}

#[test]
fn time_spent_stopped_counts() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    store.put(id("ran out"), b"a".into(), Ttl::from_seconds(3599), an_hour_ago).unwrap();
    store.put(id("has time"), b"b".into(), Ttl::from_seconds(3700), an_hour_ago).unwrap();
    drop(store);
    let (store, mirror) = open(directory.path());
    assert_eq!(mirror.all(), [(id("has time"), b"b".into())].into());
    let rest = mirror.rest(id("has time")).unwrap();
    assert!(rest <= Duration::from_secs(100) && rest > Duration::from_secs(70), "{rest:?}");
    assert_eq!(get(&store, id("ran out")), None);
}

#[test]
fn a_lifetime_ends_with_its_second() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    let now = SystemTime::now();
    store.put(id("a"), b"a".into(), Ttl::from_seconds(60), now).unwrap();
    assert_eq!(store.get(id("a"), now + Duration::from_millis(59_999)), Ok(Some(b"a".into())));
    assert_eq!(store.get(id("a"), now + Duration::from_secs(60)), Ok(None));
    assert_eq!(store.delete(id("a"), now + Duration::from_secs(60)), Ok(false));
}

#[test]
fn directory_and_file_are_for_their_user_alone() {
    let outer = TempDir::new().unwrap();
    let directory = outer.path().join("new/data");
    let (_store, _) = open(&directory);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(file(&directory)).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["inventor.redb"], "nothing is left of the creation");
    assert_eq!(fs::metadata(file(&directory)).unwrap().nlink(), 1);
}

#[test]
fn what_expired_leaves_the_file() {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    store.put(id("reported"), b"a".into(), Ttl::from_seconds(1), SystemTime::now()).unwrap();
    put(&store, id("live"), "b");
    eventually(SOON, || mirror.shown(id("reported")).is_none());
    store.expired(vec![id("reported"), id("live"), id("never there")]);
    // A get in the past of a document that is still in the file would find it.
    let before = SystemTime::now() - Duration::from_secs(60);
    eventually(SOON, || store.get(id("reported"), before) == Ok(None));
    assert_eq!(get(&store, id("live")).as_deref(), Some("b"));
    store.put(id("stopped"), b"c".into(), Ttl::from_seconds(1), before).unwrap();
    drop(store);
    let (store, _) = open(directory.path());
    eventually(SOON, || store.get(id("stopped"), before) == Ok(None));
    assert_eq!(get(&store, id("live")).as_deref(), Some("b"));
}

#[test]
fn a_store_whose_file_is_gone_refuses_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    put(&store, id("kept"), "before");
    fs::rename(file(directory.path()), directory.path().join("elsewhere")).unwrap();
    assert!(store.put(id("unknown"), b"during".into(), hour(), SystemTime::now()).is_err());
    eventually(SOON, || mirror.lost_count() == 1);
    assert!(store.health().unwrap_err().to_string().contains("inventor.redb"), "{:?}", store.health());
    assert!(store.get(id("kept"), SystemTime::now()).is_err());
    assert!(store.delete(id("kept"), SystemTime::now()).is_err());
    assert_eq!(mirror.shown(id("kept")), Some(b"before".into()), "what was shown stays");
    assert!(!file(directory.path()).exists(), "no new file takes its place");

    fs::rename(directory.path().join("elsewhere"), file(directory.path())).unwrap();
    eventually(SOON, || store.health().is_ok());
    assert_eq!((mirror.lost_count(), mirror.loaded_count()), (1, 2));
    assert_eq!(get(&store, id("kept")).as_deref(), Some("before"));
    assert_eq!(mirror.shown(id("unknown")), store.get(id("unknown"), SystemTime::now()).unwrap());
    put(&store, id("new"), "after");
    drop(store);
    let (_store, reopened) = open(directory.path());
    assert_eq!(reopened.all(), mirror.all());
}

#[test]
fn after_another_file_took_its_place_the_mirror_shows_that_one() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    put(&store, id("old"), "value");
    put(&store, id("changed"), "before");
    store.put(id("short"), b"x".into(), Ttl::from_seconds(1), SystemTime::now()).unwrap();
    drop(store);
    let copy = directory.path().join("copy");
    fs::copy(file(directory.path()), &copy).unwrap();

    let (store, mirror) = open(directory.path());
    put(&store, id("changed"), "after");
    put(&store, id("new"), "value");
    fs::rename(&copy, file(directory.path())).unwrap();
    assert!(store.put(id("lost"), b"x".into(), hour(), SystemTime::now()).is_err());
    eventually(SOON, || store.health().is_ok());
    assert_eq!(mirror.shown(id("new")), None);
    assert_eq!(mirror.shown(id("changed")), Some(b"before".into()));
    eventually(SOON, || mirror.shown(id("short")).is_none());
    assert_eq!(mirror.all().len(), 2);
}

#[test]
fn after_faults_among_writers_the_mirror_equals_the_file() {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    let elsewhere = directory.path().join("elsewhere");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..8 {
            let (store, done) = (&store, &done);
            scope.spawn(move || write_until(done, store, writer));
        }
        for round in 1..=10 {
            fs::rename(file(directory.path()), &elsewhere).unwrap();
            eventually(SOON, || mirror.lost_count() == round);
            fs::rename(&elsewhere, file(directory.path())).unwrap();
            eventually(SOON, || store.health().is_ok());
        }
        done.store(true, Ordering::Relaxed);
    });
    let shown = mirror.all();
    drop(store);
    let (_store, reopened) = open(directory.path());
    assert_eq!(reopened.all(), shown);
}

/// Writes and deletes on a few ids; whether it succeeds depends on the faults.
fn write_until(done: &AtomicBool, store: &dyn Store, writer: usize) {
    for n in 0.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let id = id(&(n % 5).to_string());
        let text = format!("{writer} {n}");
        let outcome = if n % 3 == 0 {
            store.delete(id, SystemTime::now()).map(drop)
        } else {
            store.put(id, text.into(), hour(), SystemTime::now())
        };
        if outcome.is_err() {
            thread::yield_now();
        }
    }
}

/// A mirror that waits while a test holds its gate, as the disk does when it hangs: the writer waits for it.
#[derive(Default)]
struct Held {
    gate: Mutex<()>,
    recorder: Recorder,
}

impl Mirror for Held {
    fn apply(&self, changes: Vec<Change>) {
        let _open = self.gate.lock();
        self.recorder.apply(changes);
    }

    fn loaded(&self) {
        self.recorder.loaded();
    }

    fn lost(&self) {
        self.recorder.lost();
    }

    fn missing_from(&self, present: &HashSet<TargetId>) -> Vec<Missing> {
        self.recorder.missing_from(present)
    }
}

#[test]
fn nobody_waits_long_for_a_store_that_hangs() {
    let directory = TempDir::new().unwrap();
    let mirror = Arc::new(Held::default());
    let store = EmbeddedStore::open(directory.path(), mirror.clone(), &prometheus::Registry::new()).unwrap();
    let held = mirror.gate.lock();
    let start = Instant::now();
    assert!(store.put(id("slow"), b"late".into(), hour(), SystemTime::now()).is_err());
    assert!((WAIT_MAX..WAIT_MAX * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    eventually(SOON, || store.health().is_err());
    let start = Instant::now();
    assert!(store.put(id("slow"), b"refused".into(), hour(), SystemTime::now()).is_err());
    assert!(store.get(id("slow"), SystemTime::now()).is_err());
    assert!(start.elapsed() < WAIT_MAX / 2, "refused only after {:?}", start.elapsed());
    drop(held);
    eventually(SOON, || store.health().is_ok());
    assert_eq!(get(&store, id("slow")).as_deref(), Some("late"));
    assert_eq!(mirror.recorder.shown(id("slow")), Some(b"late".into()));
    put(&store, id("slow"), "on time");
}
