//! What every store promises, as facts about a store under the registry that shows what it holds.
//! `store_contract!` makes a test of each fact for one store.

mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use inventor::registration::{Content, LabelNames, Registration, TargetId, Ttl, TtlBounds};
use inventor::registry::{Author, Now, Principal, Registry, Rules, Scope};
use inventor::store::{Mirror, Outcome, Store, StoreError, Update};
use serde_json::{Value, json};

pub(crate) use checks::*;

use crate::ending::Ending;
use crate::eventually::{SOON, eventually};

/// A store, the registry that shows what it holds, and what both measure: a server without its port.
pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Registry,
    metrics: prometheus::Registry,
}

impl Node {
    /// Opens a store under a registry with these rules.
    pub(crate) fn open<S: Store + 'static, E>(
        rules: Rules,
        open: impl FnOnce(Arc<dyn Mirror>, &prometheus::Registry) -> Result<S, E>,
    ) -> Result<Node, E> {
        let metrics = prometheus::Registry::new();
        let registry = Registry::new(rules, &metrics);
        let store: Arc<dyn Store> = Arc::new(open(registry.view.clone(), &metrics)?);
        registry.attach(store.clone());
        Ok(Node { store, registry, metrics })
    }

    /// Has the store make these changes, whatever is there, and say what removals have found.
    pub(crate) fn write(&self, updates: Vec<Update>) -> Result<Vec<bool>, StoreError> {
        match self.store.write(updates, None)? {
            Outcome::Made(found) => Ok(found),
            Outcome::Refused(refused) => panic!("without a check {refused:?} is refused"),
        }
    }

    /// Stores the document of a made-up target for a lifetime; the text is what tells it from others.
    pub(crate) fn try_put(&self, name: &str, text: &str, ttl: Ttl) -> Result<(), StoreError> {
        self.write(vec![put(name, text, ttl)]).map(drop)
    }

    /// The same for an hour.
    #[track_caller]
    pub(crate) fn put(&self, name: &str, text: &str) {
        self.try_put(name, text, hour()).expect("the put succeeds");
    }

    /// Whether there was something to delete.
    pub(crate) fn delete(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.write(vec![delete(name)])?[0])
    }

    /// The text in the store.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.store.get(id(name)).expect("the get succeeds").map(|value| text_of(&value))
    }

    /// The text that is shown.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        let shown = self.registry.view.details(id(name), Instant::now())?;
        Some(text_of(&shown.content.document(id(name), SystemTime::UNIX_EPOCH)))
    }

    /// The rest of the lifetime of what is shown; `None` is for ever.
    #[track_caller]
    pub(crate) fn rest(&self, name: &str) -> Option<Duration> {
        let shown = self.registry.view.details(id(name), Instant::now()).expect("it is shown");
        shown.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The texts of everything in the list.
    #[track_caller]
    pub(crate) fn all(&self) -> BTreeMap<TargetId, String> {
        let list = self.registry.view.kept_list(None, Instant::now()).expect("everything is loaded").list;
        let entries: Vec<Value> = serde_json::from_slice(&list.rendering(false).parts.concat()).expect("it is JSON");
        entries.iter().map(shown_in_list).collect()
    }

    /// How many registrations are in the list.
    pub(crate) fn count(&self) -> usize {
        self.registry.view.counts(Instant::now()).registrations
    }

    /// Whether lists are given out.
    pub(crate) fn is_loaded(&self) -> bool {
        is_loaded(&self.registry)
    }

    /// Since when the list has been out of date, if it is.
    #[track_caller]
    pub(crate) fn stale(&self) -> Option<Duration> {
        self.registry.view.kept_list(None, Instant::now()).expect("everything is loaded").stale
    }

    /// Waits until everything is shown, there is no outage, and the store has nothing to complain of.
    #[track_caller]
    pub(crate) fn is_up(&self) {
        eventually(SOON, || self.store.health().is_ok() && self.registry.health(Now::read()).is_ok());
    }

    /// Waits until there is an outage.
    #[track_caller]
    pub(crate) fn is_down(&self) {
        eventually(SOON, || self.registry.health(Now::read()).is_err());
    }

    /// The value of a metric, of all its labels together; of a histogram the sum of what was observed.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.metrics.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"));
        let value = |metric: &prometheus::proto::Metric| {
            let sum = metric.get_histogram().get_sample_sum();
            metric.get_gauge().get_value() + metric.get_counter().get_value() + sum
        };
        family.get_metric().iter().map(value).sum()
    }
}

/// Whether this registry gives lists out.
pub(crate) fn is_loaded(registry: &Registry) -> bool {
    registry.view.kept_list(None, Instant::now()).is_ok()
}

/// The rules of a server on which registrations live as long as this.
pub(crate) fn rules(ttl: Ttl) -> Rules {
    Rules { names: LabelNames::Legacy, ttl, outage_keep: Duration::from_secs(24 * 3600), shows_groups: true }
}

/// A lifetime of an hour.
pub(crate) fn hour() -> Ttl {
    Ttl::from_seconds(3600)
}

/// A made-up target, which may be registered with different texts.
pub(crate) fn registration(name: &str, text: &str) -> Registration {
    let body = json!({"static_config": {
        "targets": [format!("{name}:9100")], "labels": {"text": text}, "target_group": "g"
    }});
    Registration::parse(body.to_string().as_bytes(), LabelNames::Legacy, TtlBounds::default()).expect("it is valid")
}

/// The id of a made-up target.
pub(crate) fn id(name: &str) -> TargetId {
    TargetId::of(&[format!("{name}:9100")])
}

/// The document of a made-up target.
pub(crate) fn document(name: &str, text: &str) -> Vec<u8> {
    Content::new(&registration(name, text)).document(id(name), SystemTime::now())
}

/// The update that stores the document of a made-up target.
pub(crate) fn put(name: &str, text: &str, ttl: Ttl) -> Update {
    let content = Content::new(&registration(name, text));
    Update::Put { id: id(name), content, updated_at: SystemTime::now(), ttl, by: None }
}

/// The update that removes the document of a made-up target.
pub(crate) fn delete(name: &str) -> Update {
    Update::Delete { id: id(name), by: None }
}

/// The text in a document.
#[track_caller]
pub(crate) fn text_of(document: &[u8]) -> String {
    text_in(&serde_json::from_slice(document).expect("it is JSON"))
}

#[track_caller]
fn text_in(registration: &Value) -> String {
    registration["labels"]["text"].as_str().expect("there is a text").to_owned()
}

/// The id and the text of an entry of the list.
#[track_caller]
fn shown_in_list(entry: &Value) -> (TargetId, String) {
    let targets = serde_json::from_value::<Vec<String>>(entry["targets"].clone()).expect("there are targets");
    (TargetId::of(&targets), text_in(entry))
}

pub(crate) fn a_new_store_is_loaded_and_well(node: &Node) {
    assert!(node.is_loaded());
    assert_eq!(node.all(), BTreeMap::new());
    assert_eq!(node.stale(), None);
    assert_eq!(node.store.health(), Ok(()));
    assert_eq!(node.registry.health(Now::read()), Ok(()));
}

pub(crate) fn what_was_put_is_shown_and_stored(node: &Node) {
    assert_eq!(node.get("put"), None);
    assert_eq!(node.shown("put"), None);
    node.put("put", "text");
    assert_eq!(node.shown("put").as_deref(), Some("text"));
    assert_eq!(node.get("put").as_deref(), Some("text"));
}

pub(crate) fn a_large_document_is_stored_and_shown_whole(node: &Node) {
    let text = "<x>".repeat(20_000);
    node.put("large", &text);
    assert_eq!(node.get("large").as_deref(), Some(&*text));
    assert_eq!(node.shown("large").as_deref(), Some(&*text));
}

/// One who may write in all groups.
pub(crate) fn everywhere(name: &str) -> Principal {
    Principal { name: name.into(), scope: Scope::All }
}

pub(crate) fn beside_each_change_stands_who_made_it(node: &Node) {
    let put = |by: &str, n: u32| {
        let text = format!("{by} {n}");
        node.registry
            .put(id("shared"), &registration("shared", &text), &everywhere(by), Now::read())
            .expect("the put succeeds");
    };
    thread::scope(|scope| {
        for by in ["first", "second", "third", "fourth"] {
            scope.spawn(move || (0..50).for_each(|n| put(by, n)));
        }
    });
    let changes = node.registry.view.changes(&Scope::All, None, None, 1000, Instant::now());
    assert_eq!(changes.len(), 200);
    for change in changes {
        let labels = String::from_utf8_lossy(change.content.labels_json()).into_owned();
        assert!(
            matches!(&change.by, Author::Client(by) if labels.contains(&format!("\"{by} "))),
            "{labels} by {:?}",
            change.by
        );
    }
}

pub(crate) fn a_second_put_replaces_the_first_and_its_lifetime(node: &Node) {
    node.try_put("twice", "first", Ttl::from_seconds(0)).expect("the put succeeds");
    node.try_put("twice", "second", Ttl::from_seconds(60)).expect("the put succeeds");
    assert_eq!(node.get("twice").as_deref(), Some("second"));
    assert_eq!(node.shown("twice").as_deref(), Some("second"));
    assert!(node.rest("twice").expect("it has a lifetime") <= Duration::from_secs(60));
    node.put("twice", "third");
    assert!(node.rest("twice").expect("it has a lifetime") > Duration::from_secs(60));
}

pub(crate) fn what_was_deleted_is_gone(node: &Node) {
    assert_eq!(node.delete("a"), Ok(false), "there was none");
    node.put("a", "text");
    assert_eq!(node.delete("a"), Ok(true));
    assert_eq!(node.shown("a"), None);
    assert_eq!(node.get("a"), None);
    assert_eq!(node.delete("a"), Ok(false), "it was deleted");
    node.put("a", "again");
    assert_eq!(node.get("a").as_deref(), Some("again"));
}

pub(crate) fn a_lifetime_ends(node: &Node) {
    let put = |text| node.try_put("short", text, Ttl::from_seconds(3)).expect("the put succeeds");
    let begun = Instant::now();
    put("first");
    assert!(node.rest("short").expect("it has a lifetime") <= Duration::from_secs(3));
    eventually(SOON, || node.shown("short").is_none());
    assert!(begun.elapsed() > Duration::from_millis(2900), "it ended after {:?}", begun.elapsed());
    eventually(SOON, || node.get("short").is_none());
    assert_eq!(node.delete("short"), Ok(false), "it had expired");
    put("second");
    assert_eq!(node.shown("short").as_deref(), Some("second"));
    node.put("short", "renewed");
    let (renewed, ends) = (Instant::now(), Duration::from_millis(3500));
    eventually(SOON, || renewed.elapsed() > ends);
    assert_eq!(node.get("short").as_deref(), Some("renewed"), "it lives as long as it was renewed for");
    assert_eq!(node.shown("short").as_deref(), Some("renewed"));
}

pub(crate) fn without_a_lifetime_a_document_stays_for_ever(node: &Node) {
    node.try_put("ever", "text", Ttl::from_seconds(0)).expect("the put succeeds");
    assert_eq!(node.rest("ever"), None);
    assert_eq!(node.get("ever").as_deref(), Some("text"));
    assert_eq!(node.delete("ever"), Ok(true));
}

pub(crate) fn every_write_is_shown_before_it_returns(node: &Node) {
    thread::scope(|scope| {
        for writer in 0..16 {
            scope.spawn(move || {
                let name = format!("own-{writer}");
                for round in 0..30 {
                    let text = Some(round.to_string());
                    node.put(&name, &round.to_string());
                    assert_eq!(node.shown(&name), text);
                    assert_eq!(node.get(&name), text);
                    if round % 3 == 0 {
                        assert_eq!(node.delete(&name), Ok(true));
                        assert_eq!(node.shown(&name), None);
                    }
                }
            });
        }
    });
}

pub(crate) fn after_writers_raced_on_the_same_ids_list_and_store_agree(node: &Node) {
    let names: Vec<_> = (0..4).map(|n| format!("shared-{n}")).collect();
    thread::scope(|scope| {
        for writer in 0..16 {
            let names = &names;
            scope.spawn(move || {
                for round in 0..50 {
                    let name = &names[(writer + round) % names.len()];
                    match (writer * 31 + round) % 5 {
                        0 => drop(node.delete(name).expect("the delete succeeds")),
                        _ => node.put(name, &format!("{writer} {round}")),
                    }
                }
            });
        }
    });
    names.iter().for_each(|name| assert_eq!(node.shown(name), node.get(name)));
}

pub(crate) fn one_of_many_deletes_finds_the_document(node: &Node) {
    for _ in 0..10 {
        node.put("a", "text");
        let found: usize = thread::scope(|scope| {
            let delete = || usize::from(node.delete("a").expect("the delete succeeds"));
            let deletes: Vec<_> = (0..8).map(|_| scope.spawn(delete)).collect();
            deletes.into_iter().map(|delete| delete.join().expect("no panic")).sum()
        });
        assert_eq!(found, 1);
    }
}

pub(crate) fn a_batch_is_made_in_order_and_says_what_its_removals_found(node: &Node) {
    node.put("there", "text");
    let batch = vec![
        delete("there"),
        delete("absent"),
        put("new", "first", hour()),
        delete("new"),
        put("new", "second", hour()),
        delete("there"),
    ];
    let found = node.write(batch).expect("the batch succeeds");
    assert_eq!([found[0], found[1], found[3], found[5]], [true, false, true, false]);
    assert_eq!(found.len(), 6, "one answer for each update");
    assert_eq!((node.get("there"), node.shown("there")), (None, None));
    let second = Some("second".to_owned());
    assert_eq!((node.get("new"), node.shown("new")), (second.clone(), second));
    assert_eq!(node.write(Vec::new()), Ok(Vec::new()), "nothing is easily done");
}

pub(crate) fn a_batch_is_shown_at_once(node: &Node) {
    const SIZE: usize = 50;
    let names: Vec<_> = (0..SIZE).map(|n| n.to_string()).collect();
    let puts = |text: &str| names.iter().map(|name| put(name, text, hour())).collect::<Vec<_>>();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let all = node.all();
                assert!([0, SIZE].contains(&all.len()), "{} are shown", all.len());
                assert!(all.values().all(|text| all.values().next() == Some(text)), "of two batches: {all:?}");
            }
        });
        let _ending = Ending(&done);
        for round in 0..10 {
            node.write(puts(&format!("{round} a"))).expect("the batch succeeds");
            node.write(puts(&format!("{round} b"))).expect("the batch succeeds");
            let deletes = names.iter().map(|name| delete(name)).collect();
            assert_eq!(node.write(deletes), Ok(vec![true; SIZE]));
        }
    });
}

pub(crate) fn a_closed_store_refuses_and_says_so(node: &Node) {
    node.put("a", "text");
    node.store.close();
    node.store.close();
    assert!(node.store.health().is_err());
    assert!(node.try_put("a", "late", hour()).is_err());
    assert!(node.store.get(id("a")).is_err());
    assert!(node.delete("a").is_err());
    assert_eq!(node.shown("a").as_deref(), Some("text"), "the list stays as it was");
}

/// Makes a test of every fact; `$with` opens a store of its own and passes it to the fact.
macro_rules! store_contract {
    ($with:path) => {
        $crate::store_contract::store_contract! { $with;
            a_new_store_is_loaded_and_well
            what_was_put_is_shown_and_stored
            a_large_document_is_stored_and_shown_whole
            beside_each_change_stands_who_made_it
            a_second_put_replaces_the_first_and_its_lifetime
            what_was_deleted_is_gone
            a_lifetime_ends
            without_a_lifetime_a_document_stays_for_ever
            every_write_is_shown_before_it_returns
            after_writers_raced_on_the_same_ids_list_and_store_agree
            one_of_many_deletes_finds_the_document
            a_batch_is_made_in_order_and_says_what_its_removals_found
            a_batch_is_shown_at_once
            a_closed_store_refuses_and_says_so
            a_write_is_made_only_if_what_is_stored_passes_its_check
            a_check_that_refuses_one_value_refuses_the_batch
            of_writers_that_expect_the_same_one_writes
            no_team_takes_or_removes_what_is_anothers
            a_plan_is_carried_out_only_if_it_follows_from_what_is_stored
            a_registration_that_was_renewed_is_not_removed_as_it_was
        }
    };
    ($with:path; $($fact:ident)+) => {
        $(#[test] fn $fact() { $with($crate::store_contract::$fact); })+
    };
}
pub(crate) use store_contract;
