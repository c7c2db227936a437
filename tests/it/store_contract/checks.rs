//! Writes with a check, and teams that may write in their own groups only: what a write replaces is decided by the write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use std::time::SystemTime;

use fastrand::Rng;
use inventor::registration::{Content, LabelNames, Registration, TtlBounds};
use inventor::registry::{Action, Declaration, GroupPattern, Now, Principal, Scope, WriteError};
use inventor::store::{Check, Outcome};
use serde_json::json;

use super::{Node, delete, everywhere, hour, id, put, registration, text_of};

/// Passes this text only, or nothing.
fn expecting(text: Option<&str>) -> Check {
    let expected = text.map(str::to_owned);
    Arc::new(move |_, present: Option<&[u8]>| present.map(text_of) == expected)
}

/// A team that may write in its own group only.
pub(crate) fn team(name: &str) -> Principal {
    Principal { name: name.into(), scope: Scope::Groups(vec![GroupPattern::Name(name.to_owned())]) }
}

/// The registration of a made-up target in a group.
pub(crate) fn in_group(name: &str, group: &str) -> Registration {
    let body = json!({"static_config": {
        "targets": [format!("{name}:9100")], "labels": {"text": group}, "target_group": group
    }});
    Registration::parse(body.to_string().as_bytes(), LabelNames::Legacy, TtlBounds::default()).expect("it is valid")
}

/// The document of a registration, as another server stores it now.
pub(crate) fn stored(registration: &Registration) -> String {
    let document = Content::new(registration).document(registration.id(), SystemTime::now());
    String::from_utf8(document).expect("JSON is UTF-8")
}

pub(crate) fn a_write_is_made_only_if_what_is_stored_passes_its_check(node: &Node) {
    node.put("a", "one");
    let write = |updates, check| node.store.write(updates, Some(check)).expect("the store answers");
    let made = Outcome::Made(vec![false]);
    assert_eq!(write(vec![put("a", "two", hour())], expecting(Some("one"))), made);
    assert_eq!((node.get("a").as_deref(), node.shown("a").as_deref()), (Some("two"), Some("two")));
    let refused = write(vec![put("a", "three", hour())], expecting(Some("one")));
    let Outcome::Refused(values) = refused else { panic!("it was made") };
    assert_eq!(
        values.iter().map(|(id, value)| (*id, value.as_deref().map(text_of))).collect::<Vec<_>>(),
        [(id("a"), Some("two".to_owned()))]
    );
    assert!(matches!(write(vec![delete("a")], expecting(None)), Outcome::Refused(_)));
    assert_eq!((node.get("a").as_deref(), node.shown("a").as_deref()), (Some("two"), Some("two")));
    assert_eq!(write(vec![put("b", "new", hour())], expecting(None)), made, "nothing is something to expect");
    assert!(matches!(write(vec![put("c", "new", hour())], expecting(Some("old"))), Outcome::Refused(_)));
    assert_eq!(write(vec![delete("a")], expecting(Some("two"))), Outcome::Made(vec![true]));
    assert_eq!((node.get("a"), node.get("c")), (None, None));
}

pub(crate) fn a_check_that_refuses_one_value_refuses_the_batch(node: &Node) {
    // More than Redis is asked at once, and little for what a write may take.
    const SIZE: usize = 1100;
    let names: Vec<String> = (0..SIZE).map(|n| n.to_string()).collect();
    let puts = |text: &str| names.iter().map(|name| put(name, text, hour())).collect::<Vec<_>>();
    let write = |text, check| node.store.write(puts(text), Some(check)).expect("the store answers");
    assert_eq!(write("first", expecting(None)), Outcome::Made(vec![false; SIZE]));
    node.put("1050", "odd");
    let Outcome::Refused(refused) = write("second", expecting(Some("first"))) else { panic!("it was made") };
    assert_eq!(refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id("1050")]);
    assert!(node.all().values().filter(|text| *text == "first").count() == SIZE - 1);
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = asked.clone();
    let check: Check = Arc::new(move |_, present: Option<&[u8]>| {
        counting.fetch_add(1, Ordering::Relaxed);
        present.is_some()
    });
    assert_eq!(write("second", check), Outcome::Made(vec![false; SIZE]));
    assert!(asked.load(Ordering::Relaxed) >= SIZE);
    assert!(node.all().values().all(|text| text == "second"));
}

pub(crate) fn of_writers_that_expect_the_same_one_writes(node: &Node) {
    const WRITERS: usize = 8;
    const STEPS: usize = 40;
    let names = ["a", "b", "c"];
    names.iter().for_each(|name| node.put(name, "0"));
    let counts: Vec<usize> = thread::scope(|scope| {
        let step = |name: &str| {
            let text = node.get(name).expect("it stays");
            let next = (text.parse::<usize>().expect("a number") + 1).to_string();
            let outcome = node.store.write(vec![put(name, &next, hour())], Some(expecting(Some(&text))));
            usize::from(matches!(outcome.expect("the store answers"), Outcome::Made(_)))
        };
        let writer = move |n: usize| (0..STEPS).map(|at| step(names[(n + at) % names.len()])).sum();
        let writers: Vec<_> = (0..WRITERS).map(|n| scope.spawn(move || writer(n))).collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
    });
    let total: usize =
        names.iter().map(|name| node.get(name).expect("it stays").parse::<usize>().expect("a number")).sum();
    assert_eq!(total, counts.iter().sum::<usize>(), "each that was told so has written, and nobody over it");
    names.iter().for_each(|name| assert_eq!(node.shown(name), node.get(name)));
}

pub(crate) fn no_team_takes_or_removes_what_is_anothers(node: &Node) {
    let teams = ["t-1", "t-2", "t-3"];
    let names: Vec<String> = (0..5).map(|n| format!("contested-{n}")).collect();
    thread::scope(|scope| {
        for seed in 0..6 {
            let (names, team) = (&names, team(teams[seed % teams.len()]));
            scope.spawn(move || {
                let mut random = Rng::with_seed(seed as u64);
                for _ in 0..60 {
                    let (name, other) = (&names[random.usize(..names.len())], &names[random.usize(..names.len())]);
                    let written = match random.u8(..5) {
                        0 | 1 => node.registry.delete(id(name), None, &team).map(drop),
                        2 => declare(node, &team, &BTreeSet::from([name, other])),
                        _ => node.registry.put(id(name), &in_group(name, &team.name), &team, Now::read()),
                    };
                    assert!(!matches!(written, Err(WriteError::Store(_))), "{written:?}");
                }
            });
        }
    });
    let changes = node.registry.view.changes(&Scope::All, None, None, 1000, Instant::now());
    let made = |action| changes.iter().filter(|change| change.action == action).count();
    assert!(made(Action::Registered) > 10 && made(Action::Deleted) > 10, "they all did something");
    for change in &changes {
        assert_eq!(change.left, None, "{change:?}");
        let by = format!("{:?}", change.by);
        assert!(by.contains(&format!("{:?}", &*change.group)), "{by} has changed {:?}", change.group);
    }
}

/// Declares the group of a team, if the plan still holds when it is carried out.
fn declare(node: &Node, team: &Principal, names: &BTreeSet<&String>) -> Result<(), WriteError> {
    let registrations: Vec<Registration> = names.iter().map(|name| in_group(name, &team.name)).collect();
    let declaration = Declaration { group: &team.name, registrations: &registrations };
    let mut plan = node.registry.view.plan(&declaration, team, Now::read()).expect("everything is loaded");
    match plan.elsewhere.is_empty() {
        true => node.registry.carry_out(&mut plan, team),
        false => Ok(()),
    }
}

pub(crate) fn a_plan_is_carried_out_only_if_it_follows_from_what_is_stored(node: &Node) {
    let (writer, group) = (everywhere("test"), "g");
    let plan = |names: &[&str]| {
        let registrations: Vec<Registration> = names.iter().map(|name| registration(name, "declared")).collect();
        let declaration = Declaration { group, registrations: &registrations };
        node.registry.view.plan(&declaration, &writer, Now::read()).expect("everything is loaded")
    };
    node.put("kept", "old");
    node.put("gone", "old");
    type Between = (&'static str, fn(&Node), bool);
    let between: [Between; 5] = [
        ("a change of what is replaced", |node| node.put("kept", "new"), false),
        ("a change of what is removed", |node| node.put("gone", "new"), false),
        ("the removal of what is removed", |node| assert_eq!(node.delete("gone"), Ok(true)), false),
        ("a registration where nothing was", |node| node.put("created", "new"), false),
        ("a renewal", |node| node.put("kept", "new"), true),
    ];
    for (what, change, is_made) in between {
        let mut plan = plan(&["kept", "created"]);
        change(node);
        let before = node.all();
        match node.registry.carry_out(&mut plan, &writer) {
            Ok(()) => assert!(is_made, "{what}"),
            Err(WriteError::Changed) => assert!(!is_made && node.all() == before, "{what}"),
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
    assert!(node.all().len() == 2 && node.all().values().all(|text| text == "declared"));
}

pub(crate) fn a_registration_that_was_renewed_is_not_removed_as_it_was(node: &Node) {
    let (writer, name) = (everywhere("test"), "renewed");
    let seen = || node.registry.view.details(id(name), Instant::now());
    let renew = || node.registry.put(id(name), &registration(name, "same"), &writer, Now::read());
    renew().expect("the put succeeds");
    for _ in 0..20 {
        let before = seen();
        // Within the same second, as the same document.
        renew().expect("the put succeeds");
        assert!(matches!(node.registry.delete(id(name), before, &writer), Err(WriteError::Changed)));
    }
    assert!(matches!(node.registry.delete(id(name), seen(), &writer), Ok(true)));
    renew().expect("the put succeeds");
    // Whichever comes first: a deletion leaves what came after it, or it is not made.
    thread::scope(|scope| {
        scope.spawn(|| (0..300).for_each(|_| renew().expect("the put succeeds")));
        let deleted = (0..300).filter(|_| {
            seen().is_some_and(|seen| node.registry.delete(id(name), Some(seen), &writer).is_ok_and(|found| found))
        });
        let _ = deleted.count();
    });
    let changes = node.registry.view.changes(&Scope::All, None, Some(id(name)), 1000, Instant::now());
    assert!(changes.windows(2).all(|two| two[0].action != two[1].action), "of one that is gone nothing is removed");
}
