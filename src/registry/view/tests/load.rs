//! A view that is loaded, with lists and deadlines built at once, compared with one that was told the same changes one
//! after the other.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{Rules, id, new, seconds, text};
use crate::registration::TargetId;
use crate::registry::criteria::Scope;
use crate::registry::state::Live;
use crate::registry::view::View;
use crate::store::{Change, Mirror, Stored};

/// The registrations that change: so few that most change several times.
const IDS: u8 = 40;

/// Changes in one load.
const CHANGES: usize = 200;

const LOADS: u64 = 150;

fn change(random: &mut Rng, start: Instant) -> Change {
    let n = random.u8(..IDS);
    match random.u8(..10) {
        0 => Change::Gone(id(n)),
        1 => Change::Deleted { id: id(n), by: None },
        2 => Change::Put { id: id(n), stored: Stored::Read(b"{}".to_vec()), deadline: None, original: None },
        _ => {
            // So many groups that some lose all their registrations.
            let (group, label, updated_at) = (random.u8(..30), random.u8(..3), 1_000 + random.u32(..5));
            let value = format!(
                r#"{{"targets":["host-{n}:9100"],"labels":{{"v":"{label}"}},"target_group":"{group}","updated_at":"{updated_at}"}}"#
            );
            // Some have expired already, and several expire at the same moment.
            let deadline = (random.u8(..5) > 0).then(|| start - seconds(10) + seconds(10 * random.u64(..5)));
            Change::Put { id: id(n), stored: Stored::Read(value.into_bytes()), deadline, original: None }
        }
    }
}

/// Everything visible in a view at this time.
fn seen(view: &View, now: Instant) -> String {
    let list = |name: &str| text(&view.kept_list(Some(name), now).unwrap().list);
    let groups: Vec<String> = (0..30).map(|name| format!("{name}: {}", list(&name.to_string()))).collect();
    let all = view.kept_list(None, now).unwrap();
    let json = all.list.rendering(false);
    let mut state = view.lock();
    let tell = |(id, held): (&TargetId, &Live)| {
        let Live { content, group, ttl, deadline, original, updated_at, written_at, is_moved, rhythm } = held;
        // For a registration that never expires, only the view that saw the write knows its time.
        let written_at = written_at.filter(|_| deadline.is_some() && !is_moved);
        format!("{id}: {:?}", (content, group, ttl, deadline, original, updated_at, written_at, is_moved, rhythm))
    };
    let mut held: Vec<String> = state.held.iter().map(tell).collect();
    held.sort();
    let quarantined: Vec<_> = state.quarantined.keys().copied().collect();
    let deadlines = state.deadlines().clone();
    let expired = state.departures.expired();
    drop(state);
    let (counts, soon) = (view.counts(now), view.expiring(now));
    let (list, stale, hash) = (text(&all.list), all.stale, json.hash);
    format!(
        "{list}{stale:?} {hash} {expired} {counts:?} {soon:?}\n{}{}\n{deadlines:?}\n{quarantined:?}",
        groups.concat(),
        held.join("\n")
    )
}

/// The store's calls besides changes: for the settlement of an outage, or the next deadline.
fn tend(view: &View, at: Instant) -> String {
    let mut kept = super::settle(view, at);
    if let Some(kept) = &mut kept {
        view.moved(kept);
        view.settled(at);
        kept.sort_by_key(|kept| kept.id);
    }
    view.writable(at);
    let next = view.lock().deadlines().first().copied();
    format!("{kept:?} {next:?}")
}

#[test]
fn what_is_loaded_at_once_equals_what_was_put_one_after_the_other() {
    for seed in 0..LOADS {
        let mut random = Rng::with_seed(seed);
        let start = Instant::now();
        let (bulk, single) = (new(Rules::USUAL), new(Rules::USUAL));
        single.loaded_at(start);
        if random.bool() {
            // The server was stopped.
            [&bulk, &single].iter().for_each(|view| view.state.lock().horizon.interrupt(start - seconds(5)));
        }
        let is_tended = random.u8(..3) == 0;
        let mut at = start;
        for _ in 0..CHANGES {
            at += Duration::from_millis(5);
            let change = change(&mut random, start);
            single.apply_at(vec![change.clone()], at);
            bulk.apply_at(vec![change], at);
            if is_tended && random.u8(..50) == 0 {
                assert_eq!(tend(&bulk, at), tend(&single, at), "seed {seed}");
            }
        }
        bulk.loaded_at(at);
        assert_eq!(seen(&bulk, at), seen(&single, at), "seed {seed}");
        assert!(bulk.changes(&Scope::All, None, None, 1, at).is_empty(), "what is loaded is no news");
        assert_eq!(tend(&bulk, at), tend(&single, at), "seed {seed}");
        assert_eq!(seen(&bulk, at), seen(&single, at), "seed {seed}");
        for _ in 0..CHANGES {
            let change = change(&mut random, start);
            single.apply_at(vec![change.clone()], at);
            bulk.apply_at(vec![change], at);
        }
        assert_eq!(seen(&bulk, at), seen(&single, at), "seed {seed}");
        at += seconds(25);
        assert_eq!(tend(&bulk, at), tend(&single, at), "seed {seed}");
        assert_eq!(seen(&bulk, at), seen(&single, at), "seed {seed}");
    }
}

#[test]
fn several_threads_can_load_what_is_of_different_ids() {
    let (bulk, single) = (new(Rules::USUAL), new(Rules::USUAL));
    let now = Instant::now();
    single.loaded_at(now);
    let changes: Vec<Change> =
        (0..200).map(|n| super::put(n, &format!("group-{}", n % 7), Some(now + seconds(60)))).collect();
    changes.iter().for_each(|change| single.apply_at(vec![change.clone()], now));
    std::thread::scope(|scope| {
        for part in changes.chunks(50) {
            let bulk = &bulk;
            scope.spawn(move || part.chunks(10).for_each(|some| bulk.apply_at(some.to_vec(), now)));
        }
    });
    bulk.loaded_at(now);
    assert_eq!(seen(&bulk, now), seen(&single, now));
}
