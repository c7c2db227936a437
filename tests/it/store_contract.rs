//! What every store promises, as facts over `&dyn Store`, and the mirror that records what it is shown.
//! `store_contract!` makes a test of each fact for one store.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use inventor::registration::{Content, LabelNames, Registration};
use inventor::registration::{TargetId, Ttl};
use inventor::store::{Change, Comparison, Kept, Mirror, Store, Update};
use parking_lot::Mutex;

use crate::eventually::{SOON, eventually};

/// The other side of a store: remembers what is shown, and when it runs out.
#[derive(Default)]
pub(crate) struct Recorder {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    documents: HashMap<TargetId, Shown>,
    loaded: usize,
    lost: usize,
}

#[derive(Clone)]
struct Shown {
    value: Vec<u8>,
    runs_out: Option<Instant>,
}

impl Shown {
    fn is_live(&self, now: Instant) -> bool {
        self.runs_out.is_none_or(|at| at > now)
    }
}

impl Mirror for Recorder {
    fn apply(&self, changes: Vec<Change>) {
        let now = Instant::now();
        let mut seen = self.seen.lock();
        for change in changes {
            match change {
                Change::Put { id, value, expires_in } => {
                    seen.documents.insert(id, Shown { value, runs_out: expires_in.map(|rest| now + rest) });
                }
                Change::Remove(id) => {
                    seen.documents.remove(&id);
                }
            }
        }
    }

    fn loaded(&self) {
        self.seen.lock().loaded += 1;
    }

    fn lost(&self) {
        self.seen.lock().lost += 1;
    }

    fn missing_from(&self, present: &HashSet<TargetId>) -> Vec<Missing> {
        let now = Instant::now();
        let seen = self.seen.lock();
        let missing = seen.documents.iter().filter(|(id, shown)| !present.contains(id) && shown.is_live(now));
        missing
            .map(|(id, shown)| Missing {
                id: *id,
                document: shown.value.clone(),
                expires_in: shown.runs_out.map(|at| at.saturating_duration_since(now)),
            })
            .collect()
    }
}

impl Recorder {
    /// The value shown for an id, unless it has run out.
    pub(crate) fn shown(&self, id: TargetId) -> Option<Vec<u8>> {
        self.seen.lock().documents.get(&id).filter(|shown| shown.is_live(Instant::now())).map(|s| s.value.clone())
    }

    /// The rest of the lifetime of what is shown for an id; `None` is for ever.
    #[track_caller]
    pub(crate) fn rest(&self, id: TargetId) -> Option<Duration> {
        let seen = self.seen.lock();
        let shown = seen.documents.get(&id).expect("the id is shown");
        shown.runs_out.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Everything that is shown and has not run out.
    pub(crate) fn all(&self) -> HashMap<TargetId, Vec<u8>> {
        let now = Instant::now();
        let seen = self.seen.lock();
        seen.documents.iter().filter(|(_, s)| s.is_live(now)).map(|(id, s)| (*id, s.value.clone())).collect()
    }

    /// How often the store said that everything is shown.
    pub(crate) fn loaded_count(&self) -> usize {
        self.seen.lock().loaded
    }

    /// How often the store said that it is lost.
    pub(crate) fn lost_count(&self) -> usize {
        self.seen.lock().lost
    }
}

/// The id of the registration of one made-up target.
pub(crate) fn id(name: &str) -> TargetId {
    TargetId::of(&[format!("{name}:9100")])
}

/// A lifetime of an hour.
pub(crate) fn hour() -> Ttl {
    Ttl::from_seconds(3600)
}

/// Stores a text for an hour.
#[track_caller]
pub(crate) fn put(store: &dyn Store, id: TargetId, text: &str) {
    store.put(id, text.into(), hour(), SystemTime::now()).expect("the put succeeds");
}

/// The stored text of an id.
#[track_caller]
pub(crate) fn get(store: &dyn Store, id: TargetId) -> Option<String> {
    let value = store.get(id, SystemTime::now()).expect("the get succeeds");
    value.map(|value| String::from_utf8(value).expect("a text"))
}

pub(crate) fn a_new_store_has_told_that_it_is_loaded(store: &dyn Store, mirror: &Recorder) {
    assert_eq!(mirror.loaded_count(), 1);
    assert_eq!(mirror.lost_count(), 0);
    assert_eq!(store.health(), Ok(()));
}

pub(crate) fn what_was_put_is_shown_and_stored(store: &dyn Store, mirror: &Recorder) {
    let id = id("put");
    assert_eq!(get(store, id), None);
    assert_eq!(mirror.shown(id), None);
    put(store, id, "document");
    assert_eq!(mirror.shown(id), Some(b"document".into()));
    assert_eq!(get(store, id).as_deref(), Some("document"));
}

pub(crate) fn any_bytes_are_kept(store: &dyn Store, mirror: &Recorder) {
    let id = id("bytes");
    for document in [vec![], (0..=255).collect(), vec![0; 70_000]] {
        store.put(id, document.clone(), hour(), SystemTime::now()).expect("the put succeeds");
        assert_eq!(store.get(id, SystemTime::now()), Ok(Some(document.clone())));
        assert_eq!(mirror.shown(id), Some(document));
    }
}

pub(crate) fn a_second_put_replaces_the_first_and_its_lifetime(store: &dyn Store, mirror: &Recorder) {
    let id = id("overwrite");
    store.put(id, b"first".into(), Ttl::from_seconds(0), SystemTime::now()).expect("the put succeeds");
    store.put(id, b"second".into(), Ttl::from_seconds(60), SystemTime::now()).expect("the put succeeds");
    assert_eq!(get(store, id).as_deref(), Some("second"));
    assert_eq!(mirror.shown(id), Some(b"second".into()));
    assert!(mirror.rest(id).expect("it has a lifetime") <= Duration::from_secs(60));
    put(store, id, "third");
    assert!(mirror.rest(id).expect("it has a lifetime") > Duration::from_secs(60));
}

pub(crate) fn what_was_deleted_is_gone(store: &dyn Store, mirror: &Recorder) {
    let id = id("delete");
    assert_eq!(store.delete(id, SystemTime::now()), Ok(false), "there was none");
    put(store, id, "document");
    assert_eq!(store.delete(id, SystemTime::now()), Ok(true));
    assert_eq!(mirror.shown(id), None);
    assert_eq!(get(store, id), None);
    assert_eq!(store.delete(id, SystemTime::now()), Ok(false), "it was deleted");
    put(store, id, "again");
    assert_eq!(get(store, id).as_deref(), Some("again"));
}

pub(crate) fn a_lifetime_ends(store: &dyn Store, mirror: &Recorder) {
    let id = id("expiry");
    store.put(id, b"short".into(), Ttl::from_seconds(1), SystemTime::now()).expect("the put succeeds");
    assert!(mirror.rest(id).expect("it has a lifetime") <= Duration::from_secs(1));
    eventually(SOON, || mirror.shown(id).is_none());
    eventually(SOON, || get(store, id).is_none());
    store.expired(vec![id]);
    assert_eq!(store.delete(id, SystemTime::now()), Ok(false), "it had run out");
    put(store, id, "renewed");
    store.expired(vec![id]);
    assert_eq!(get(store, id).as_deref(), Some("renewed"), "a late report harms no renewal");
}

pub(crate) fn without_a_lifetime_a_document_stays_for_ever(store: &dyn Store, mirror: &Recorder) {
    let id = id("forever");
    store.put(id, b"document".into(), Ttl::from_seconds(0), SystemTime::now()).expect("the put succeeds");
    assert_eq!(mirror.rest(id), None);
    store.expired(vec![id]);
    assert_eq!(get(store, id).as_deref(), Some("document"));
    assert_eq!(store.delete(id, SystemTime::now()), Ok(true));
}

pub(crate) fn every_write_is_shown_before_it_returns(store: &dyn Store, mirror: &Recorder) {
    thread::scope(|scope| {
        for writer in 0..16 {
            scope.spawn(move || {
                let id = id(&format!("own-{writer}"));
                for round in 0..30 {
                    let text = round.to_string();
                    put(store, id, &text);
                    assert_eq!(mirror.shown(id), Some(text.clone().into()));
                    assert_eq!(get(store, id), Some(text));
                    if round % 3 == 0 {
                        assert_eq!(store.delete(id, SystemTime::now()), Ok(true));
                        assert_eq!(mirror.shown(id), None);
                    }
                }
            });
        }
    });
}

pub(crate) fn after_writers_raced_on_the_same_ids_mirror_and_store_agree(store: &dyn Store, mirror: &Recorder) {
    let ids: Vec<_> = (0..4).map(|n| id(&format!("shared-{n}"))).collect();
    thread::scope(|scope| {
        for writer in 0..16 {
            let ids = &ids;
            scope.spawn(move || {
                for round in 0..50 {
                    let id = ids[(writer + round) % ids.len()];
                    if (writer * 31 + round) % 5 == 0 {
                        store.delete(id, SystemTime::now()).expect("the delete succeeds");
                    } else {
                        put(store, id, &format!("{writer} {round}"));
                    }
                }
            });
        }
    });
    for id in ids {
        assert_eq!(mirror.shown(id), store.get(id, SystemTime::now()).expect("the get succeeds"));
    }
}

pub(crate) fn one_of_many_deletes_finds_the_document(store: &dyn Store, _: &Recorder) {
    let id = id("deletes");
    for _ in 0..10 {
        put(store, id, "document");
        let found: usize = thread::scope(|scope| {
            let delete = || usize::from(store.delete(id, SystemTime::now()).expect("the delete succeeds"));
            let deletes: Vec<_> = (0..8).map(|_| scope.spawn(delete)).collect();
            deletes.into_iter().map(|delete| delete.join().expect("no panic")).sum()
        });
        assert_eq!(found, 1);
    }
}

pub(crate) fn a_closed_store_refuses_and_says_so(store: &dyn Store, mirror: &Recorder) {
    let id = id("closed");
    put(store, id, "document");
    store.close();
    store.close();
    assert!(store.health().is_err());
    assert!(store.put(id, b"late".into(), hour(), SystemTime::now()).is_err());
    assert!(store.get(id, SystemTime::now()).is_err());
    assert!(store.delete(id, SystemTime::now()).is_err());
    store.expired(vec![id]);
    assert_eq!(mirror.shown(id), Some(b"document".into()), "the mirror stays as it was");
}

/// Makes a test of every fact; `$with` opens a store of its own and passes it with its mirror to the fact.
macro_rules! store_contract {
    ($with:path) => {
        $crate::store_contract::store_contract! { $with;
            a_new_store_has_told_that_it_is_loaded
            what_was_put_is_shown_and_stored
            any_bytes_are_kept
            a_second_put_replaces_the_first_and_its_lifetime
            what_was_deleted_is_gone
            a_lifetime_ends
            without_a_lifetime_a_document_stays_for_ever
            every_write_is_shown_before_it_returns
            after_writers_raced_on_the_same_ids_mirror_and_store_agree
            one_of_many_deletes_finds_the_document
            a_closed_store_refuses_and_says_so
        }
    };
    ($with:path; $($fact:ident)+) => {
        $(#[test] fn $fact() { $with($crate::store_contract::$fact); })+
    };
}
pub(crate) use store_contract;
