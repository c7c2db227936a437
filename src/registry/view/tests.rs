//! Time is passed in, so that hours go by without sleeping.

mod compared;
mod load;
mod rule;

use std::time::SystemTime;

use super::*;
use crate::store::SETTLED_BYTES;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn new(rules: Rules) -> View {
    View::new(rules, &prometheus::Registry::new())
}

/// A loaded view and the time of its start.
fn view() -> (View, Instant) {
    let view = new(Rules::USUAL);
    let start = Instant::now();
    view.loaded_at(start);
    (view, start)
}

/// The registrations whose deadlines an outage moves that ended at this time.
fn settle(view: &View, end: Instant) -> Option<Vec<Kept>> {
    let mut all = Vec::new();
    loop {
        let Settlement { moved, is_last } = view.settle(end, 2)?;
        all.extend(moved);
        if is_last {
            return Some(all);
        }
    }
}

/// The store takes a write at this time, and settles an outage.
fn prove(view: &View, at: Instant) {
    if let Some(moved) = settle(view, at) {
        view.moved(&moved);
        view.settled(at);
    }
    view.writable(at);
}

fn id(n: u8) -> TargetId {
    TargetId::of(&[format!("host-{n}:9100")])
}

fn put(n: u8, group: &str, deadline: Option<Instant>) -> Change {
    let value = format!(r#"{{"targets":["host-{n}:9100"],"labels":{{}},"target_group":"{group}"}}"#);
    Change::Put { id: id(n), stored: Stored::Read(value.into_bytes()), deadline, original: None }
}

fn text(snapshot: &Snapshot) -> String {
    String::from_utf8(snapshot.rendering(false).parts.concat()).unwrap()
}

#[track_caller]
fn check_shown(view: &View, now: Instant, numbers: &[u8]) {
    let list = text(&view.kept_list(None, now).unwrap().list);
    let mut shown: Vec<(TargetId, u8)> = numbers.iter().map(|n| (id(*n), *n)).collect();
    shown.sort();
    let entries: Vec<String> =
        shown.iter().map(|(_, n)| format!(r#"{{"targets":["host-{n}:9100"],"labels":{{}}}}"#)).collect();
    assert_eq!(list, format!("[{}]\n", entries.join(",")));
}

#[test]
fn nothing_is_shown_before_the_first_full_load() {
    let view = new(Rules::USUAL);
    let now = Instant::now();
    view.apply_at(vec![put(1, "g", None)], now);
    assert_eq!(view.kept_list(None, now).unwrap_err(), Unanswered::NotLoaded);
    assert_eq!(view.kept_list(Some("g"), now).unwrap_err(), Unanswered::NotLoaded);
    view.loaded_at(now);
    check_shown(&view, now, &[1]);
}

#[test]
fn a_registration_ends_with_its_lifetime_and_not_a_moment_before() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60))), put(2, "g", Some(start + seconds(61)))], start);
    (1..60).for_each(|second| prove(&view, start + seconds(second)));
    prove(&view, start + seconds(60) - Duration::from_nanos(1));
    check_shown(&view, start + seconds(60), &[1, 2]);
    prove(&view, start + seconds(60));
    check_shown(&view, start + seconds(60), &[2]);
    prove(&view, start + seconds(61));
    check_shown(&view, start + seconds(61), &[]);
    let expired = view.lock().departures.expired();
    assert_eq!((expired, view.counts(start + seconds(61)).groups), (2.0, 0));
}

#[test]
fn a_renewal_moves_the_deadline_and_renders_nothing_anew() {
    let (view, start) = view();
    let list = |at| view.kept_list(None, at).unwrap().list;
    view.apply_at(vec![put(1, "g", Some(start + seconds(60)))], start);
    let before = list(start);
    view.apply_at(vec![put(1, "g", Some(start + seconds(90)))], start);
    (1..90).for_each(|second| prove(&view, start + seconds(second)));
    assert!(Arc::ptr_eq(&before, &list(start + seconds(89))));
    prove(&view, start + seconds(90));
    check_shown(&view, start + seconds(90), &[]);
}

#[test]
fn a_change_of_group_leaves_the_old_group() {
    let (view, now) = view();
    view.apply_at(vec![put(1, "old", None), put(2, "old", None)], now);
    view.apply_at(vec![put(1, "new", None)], now);
    let group = |name| text(&view.kept_list(Some(name), now).unwrap().list);
    assert_eq!(group("old"), "[{\"targets\":[\"host-2:9100\"],\"labels\":{}}]\n");
    assert_eq!(group("new"), "[{\"targets\":[\"host-1:9100\"],\"labels\":{}}]\n");
    assert_eq!(group("none"), "[]\n");
    check_shown(&view, now, &[1, 2]);
}

#[test]
fn without_a_sign_that_the_store_takes_writes_nothing_runs_out_and_the_list_is_marked() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60)))], start);
    prove(&view, start + seconds(1));
    assert_eq!(view.outage(start + seconds(3)), None, "a write may wait so long");
    assert_eq!(view.outage(start + seconds(100)), Some(seconds(99)));
    check_shown(&view, start + seconds(100), &[1]);
    // It does not expire because the store has dropped it either: nobody could renew it.
    view.apply_at(vec![Change::Gone(id(1))], start + seconds(100));
    check_shown(&view, start + seconds(100), &[1]);
    prove(&view, start + seconds(100));
    assert_eq!(view.outage(start + seconds(100)), None);
    check_shown(&view, start + seconds(100), &[1]);
}

#[test]
fn a_deletion_during_an_outage_is_one_whoever_made_it() {
    let (view, start) = view();
    let changes = (1..=3).map(|n| put(n, "g", Some(start + seconds(60 * u64::from(n))))).collect();
    view.apply_at(changes, start);
    let amid = start + seconds(100);
    assert!([1, 2].iter().all(|n| view.kept(id(*n), amid, amid).is_some()));
    view.apply_at(vec![Change::Deleted { id: id(1), by: None }, Change::Gone(id(2))], amid);
    check_shown(&view, amid, &[3]);
}

#[test]
fn keeping_has_an_end() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60)))], start);
    check_shown(&view, start + seconds(60) + Rules::USUAL.outage_keep - seconds(1), &[1]);
    check_shown(&view, start + seconds(60) + Rules::USUAL.outage_keep, &[]);
}

#[test]
fn without_keeping_an_outage_changes_no_lifetime() {
    let view = new(Rules { outage_keep: Duration::ZERO, ..Rules::USUAL });
    let start = Instant::now();
    view.loaded_at(start);
    view.apply_at(vec![put(1, "g", Some(start + seconds(60)))], start);
    check_shown(&view, start + seconds(59), &[1]);
    check_shown(&view, start + seconds(60), &[]);
}

#[test]
fn a_failed_attempt_to_end_an_outage_leaves_it_on() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60)))], start);
    let lengthened = settle(&view, start + seconds(100)).unwrap();
    assert_eq!(lengthened[0].deadline, Some(start + seconds(160)));
    // The store could not write that, although it took other writes.
    view.writable(start + seconds(101));
    assert_eq!(view.outage(start + seconds(101)), Some(seconds(101)));
    let lengthened = settle(&view, start + seconds(200)).unwrap();
    assert_eq!(lengthened[0].deadline, Some(start + seconds(260)), "the rule starts from the deadline of the owner");
    view.settled(start + seconds(200));
    view.writable(start + seconds(200));
    assert_eq!(view.outage(start + seconds(200)), None);
}

#[test]
fn an_outage_is_settled_once_however_long_the_store_takes_to_write_it_down() {
    let (view, start) = view();
    let changes = (1..=9).map(|n| put(n, "g", Some(start + seconds(60 + u64::from(n))))).collect();
    view.apply_at(changes, start);
    let end = start + seconds(100);
    let mut moved = Vec::new();
    for second in 0.. {
        let now = end + seconds(second);
        let Settlement { moved: few, is_last } = view.settle(end, 2).unwrap();
        view.moved(&few);
        moved.extend(few.iter().map(|kept| (kept.id, kept.deadline)));
        view.writable(now);
        assert_eq!(view.outage(now), Some(seconds(100 + second)), "until everything is in the store");
        if is_last {
            view.settled(end);
            assert_eq!(view.outage(now), None);
            break;
        }
    }
    let mut expected: Vec<_> = (1..=9).map(|n| (id(n), Some(start + seconds(160 + u64::from(n))))).collect();
    assert_eq!(moved.len(), 9, "each is moved once");
    moved.sort_unstable();
    expected.sort_unstable();
    assert_eq!(moved, expected);
    // The store has taken writes meanwhile, so that no other outage follows.
    let after = end + seconds(20);
    (5..=20).for_each(|second| view.writable(end + seconds(second)));
    assert!(view.settle(after, 1).is_none());
    check_shown(&view, after, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// A store that reads or writes whole documents takes time for large ones.
#[test]
fn what_is_settled_at_once_is_bounded_by_its_bytes() {
    const COUNT: u8 = 20;
    let text = "<".repeat(50_000);
    let value = |n| format!(r#"{{"targets":["host-{n}:9100"],"labels":{{"a":"{text}"}},"target_group":"g"}}"#);
    for are_refused in [false, true] {
        let (view, start) = view();
        for n in 0..COUNT {
            let (stored, deadline) = (Stored::Read(value(n).into_bytes()), Some(start + seconds(60)));
            view.apply_at(vec![Change::Put { id: id(n), stored, deadline, original: None }], start);
        }
        let mut end = start + seconds(30);
        if are_refused {
            end = start + seconds(1);
            (0..COUNT).for_each(|n| view.refused(id(n), true, end));
        }
        let (mut pieces, mut moved) = (0, HashSet::new());
        loop {
            let piece = view.settle(end, 1000).unwrap();
            let bytes: usize = piece.moved.iter().map(|kept| kept.document().len()).sum();
            assert!(bytes <= SETTLED_BYTES + DOCUMENT_BYTES_MAX, "{bytes}");
            view.moved(&piece.moved);
            pieces += 1;
            moved.extend(piece.moved.iter().map(|kept| kept.id));
            if piece.is_last {
                break;
            }
        }
        assert_eq!((moved.len(), pieces), (COUNT.into(), 2), "{are_refused}");
    }
}

#[test]
fn an_outage_of_one_owner_that_becomes_everybodys_while_it_is_settled_is_settled_for_all() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60))), put(2, "g", Some(start + seconds(61)))], start);
    view.refused(id(1), true, start + seconds(1));
    let end = start + seconds(2);
    view.moved(&view.settle(end, 1000).unwrap().moved);
    assert_eq!(view.outage(start + seconds(40)), Some(seconds(40)), "the store is silent");
    view.settled(end);
    assert_eq!(view.outage(start + seconds(40)), Some(seconds(40)), "what was settled was for one of them alone");
    let moved = settle(&view, start + seconds(40)).unwrap();
    assert_eq!(moved.iter().map(|kept| kept.id).collect::<HashSet<_>>(), HashSet::from([id(1), id(2)]));
}

#[test]
fn a_store_that_fails_while_an_outage_is_settled_makes_it_longer_and_not_two() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60))), put(2, "g", Some(start + seconds(61)))], start);
    let end = start + seconds(100);
    view.moved(&view.settle(end, 1).unwrap().moved);
    // The store is away again for a while.
    let later = start + seconds(150);
    assert_eq!(view.outage(later), Some(seconds(150)));
    let moved = settle(&view, later).unwrap();
    let deadlines: Vec<_> = moved.iter().map(|kept| kept.deadline).collect();
    let from_the_first = [Some(start + seconds(210)), Some(start + seconds(211))];
    assert!(from_the_first.iter().all(|deadline| deadlines.contains(deadline)), "{deadlines:?}");
    view.settled(end);
    assert_eq!(view.outage(later), Some(seconds(150)), "that end was not the end");
}

#[test]
fn who_is_refused_in_a_moment_of_trouble_is_the_only_one_whom_it_concerns() {
    let half = Ttl::DEFAULT.duration().unwrap() / 2;
    for is_outage in [true, false] {
        let (view, start) = view();
        view.apply_at(vec![put(1, "g", Some(start + seconds(60))), put(2, "g", Some(start + seconds(60)))], start);
        view.refused(id(1), is_outage, start + seconds(1));
        assert_eq!(view.outage(start + seconds(1)).is_some(), is_outage, "want of time is no outage");
        let moved = settle(&view, start + seconds(2)).unwrap();
        assert_eq!(
            moved.iter().map(|kept| (kept.id, kept.deadline)).collect::<Vec<_>>(),
            [(id(1), Some(start + seconds(2) + half))]
        );
    }
}

#[test]
fn no_number_of_outages_keeps_anything_longer_than_the_limit() {
    let keep = seconds(300);
    let view = new(Rules { outage_keep: keep, ..Rules::USUAL });
    let start = Instant::now();
    view.loaded_at(start);
    view.apply_at(vec![put(1, "g", Some(start + seconds(60))), put(2, "g", Some(start + seconds(900)))], start);
    // One outage of a minute after the other: each moves all deadlines by a minute.
    for minutes in 1..12 {
        let now = start + seconds(60 * minutes);
        prove(&view, now);
        let is_shown = view.details(id(1), now).is_some();
        assert_eq!(is_shown, now < start + seconds(60) + keep, "after {minutes} minutes");
    }
    // In the midst of an outage as well.
    let limit = start + seconds(900) + keep;
    check_shown(&view, limit - seconds(1), &[2]);
    check_shown(&view, limit, &[]);
}

#[test]
fn an_outage_of_this_server_alone_lengthens_nothing() {
    let (view, start) = view();
    let lifetime = Ttl::DEFAULT.duration().unwrap();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60))), put(2, "g", Some(start + seconds(70)))], start);
    let back = start + seconds(100);
    // Somebody has renewed in the midst of it, and the document says so as well.
    let updated_at = (SystemTime::now() - seconds(50)).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let value = format!(r#"{{"targets":["host-2:9100"],"updated_at":"{updated_at}"}}"#).into_bytes();
    let deadline = Some(start + seconds(50) + lifetime);
    view.apply_at(vec![Change::Put { id: id(2), stored: Stored::Read(value), deadline, original: None }], back);
    view.trouble(back, seconds(4));
    assert!(settle(&view, back).unwrap().is_empty());
    view.settled(back);
    // Nothing expires until the other servers' news has arrived.
    view.writable(back);
    check_shown(&view, back, &[1, 2]);
    (1..=4).for_each(|second| view.writable(back + seconds(second)));
    check_shown(&view, back + seconds(4), &[2]);
}

#[test]
fn what_another_server_lengthened_is_not_lengthened_again() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(start + seconds(60)))], start);
    let back = start + seconds(100);
    view.apply_at(vec![put(1, "g", Some(start + seconds(159)))], back);
    let lengthened = settle(&view, back).unwrap();
    assert_eq!(lengthened[0].deadline, Some(start + seconds(160)), "once, from the deadline before the outage");
}

#[test]
fn an_unfit_value_is_left_out_and_counted_until_it_is_repaired() {
    let (view, now) = view();
    view.apply_at(vec![put(1, "g", None), put(2, "g", None)], now);
    for value in [
        "",
        "null",
        "{}",
        "[]",
        r#"{"targets":[]}"#,
        r#"{"targets":[""]}"#,
        r#"{"targets":["a"],"labels":{"x-y":"z"}}"#,
        r#"{"targets":["a"],"labels":{"":"z"}}"#,
        r#"{"targets":["a"],"labels":{"x":1}}"#,
        r#"{"targets":["a"],"updated_at":1}"#,
        r#"{"targets":["a"]}x"#,
        r#"{"targets":["a"],"id":"x"}"#,
    ] {
        view.apply_at(
            vec![Change::Put { id: id(1), stored: Stored::Read(value.into()), deadline: None, original: None }],
            now,
        );
        check_shown(&view, now, &[2]);
        assert_eq!(view.counts(now).quarantined, 1, "{value}");
    }
    let left_out = || view.quarantine().into_iter().map(|(_, value)| value.value.clone()).collect::<Vec<_>>();
    let last = left_out();
    let value = Stored::Read(b"[]".into());
    view.apply_at(vec![Change::Put { id: id(1), stored: value, deadline: None, original: None }], now);
    assert_ne!(left_out(), last, "it says what there is now");
    view.apply_at(vec![put(1, "g", None)], now);
    check_shown(&view, now, &[1, 2]);
    assert_eq!(view.counts(now).quarantined, 0);
}

#[test]
fn a_value_that_is_too_large_is_left_out() {
    let (view, now) = view();
    let value = vec![b' '; crate::registration::DOCUMENT_BYTES_MAX + 1];
    view.apply_at(vec![Change::Put { id: id(1), stored: Stored::Read(value), deadline: None, original: None }], now);
    assert_eq!(view.counts(now).quarantined, 1);
}
