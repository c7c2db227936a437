//! What a store has, compared with what the view shows: lost, outdated, or back after it was deleted.

use super::*;

#[test]
fn what_a_store_lost_can_be_given_back_as_it_was() {
    let (view, now) = view();
    let registration = crate::registration::Registration::parse(
        br#"{"static_config":{"targets":["a:1"]}}"#,
        LabelNames::Legacy,
        Default::default(),
    );
    let (id, content) = (TargetId::of(&["a:1".into()]), Content::new(&registration.unwrap()));
    let document = content.document(id, SystemTime::UNIX_EPOCH + seconds(1_795_411_155));
    let lifetime = Ttl::DEFAULT.duration().unwrap();
    let change =
        Change::Put { id, stored: Stored::Read(document.clone()), deadline: Some(now + lifetime), original: None };
    view.apply_at(vec![change, put(2, "g", None)], now);
    let comparison = view.compare(&HashSet::from([super::id(2)]), now, None);
    assert_eq!(comparison.missing.len(), 1);
    let Missing { kept, half_lifetime } = &comparison.missing[0];
    assert_eq!((*half_lifetime, comparison.shown), (lifetime / 2, 2));
    assert_eq!((kept.id, kept.document()), (id, document));
    assert_eq!((kept.deadline, kept.written_at), (Some(now + lifetime), Some(now)));
    assert_eq!((comparison.latest_write, comparison.latest_update), (Some(now), Some(SystemTime::UNIX_EPOCH)));
}

/// A value of this server or of another, with the time of its write.
fn written(n: u8, updated_at: u64, deadline: Instant) -> Change {
    let value = format!(r#"{{"targets":["host-{n}:9100"],"updated_at":"{updated_at}"}}"#).into_bytes();
    Change::Put { id: id(n), stored: Stored::Read(value), deadline: Some(deadline), original: None }
}

#[test]
fn an_older_value_that_another_server_puts_back_is_not_shown() {
    let (view, start) = view();
    let [expired, now, later] = [10, 30, 60].map(|n| start + seconds(n));
    view.apply_at(vec![written(1, 1_000, expired), written(2, 1_000, expired), written(3, 1_000, later)], start);
    let put_back = |updated_at| vec![written(1, updated_at, later), written(3, updated_at, later)];
    view.interrupted(start);
    for updated_at in [1_000, 1_001] {
        let mut changes = put_back(updated_at);
        assert!(view.take_outdated_at(&mut changes, true, now).is_empty(), "it is no older");
        assert_eq!(changes.len(), 2);
    }
    let mut changes = put_back(999);
    let newer = view.take_outdated_at(&mut changes, true, now);
    assert_eq!(
        changes.iter().map(Change::id).collect::<Vec<_>>(),
        [id(3)],
        "whose lifetime goes on was written by somebody"
    );
    assert_eq!(newer.len(), 1);
    assert!(newer[0].id == id(1) && newer[0].newer.as_ref().unwrap().deadline > Some(now));
    prove(&view, now);
    assert!(view.take_outdated_at(&mut put_back(999), true, now + seconds(1)).is_empty(), "there is no outage");
}

/// What is said of a store that has these values.
fn compared(view: &View, present: &[u8], until: Instant, before: &HashSet<TargetId>) -> Comparison {
    view.compare(&present.iter().map(|n| id(*n)).collect(), until, Some(before))
}

#[test]
fn a_store_that_has_gone_back_has_what_was_deleted_since_and_was_written_before() {
    let (view, start) = view();
    let [ended, now] = [5, 10].map(|n| start + seconds(n));
    let lifetime = Ttl::DEFAULT.duration().unwrap();
    view.apply_at((1..=3).map(|n| written(n, 1_000, start + lifetime)).collect(), start);
    let before = view.living_after(ended);
    assert_eq!(before.len(), 3);
    // One is back, one was registered since, one was renewed since, one is lost, and one was deleted since.
    let since = [(4, 1_002, start + seconds(2)), (5, 1_010, now), (1, 1_010, now)];
    view.apply_at(since.map(|(n, updated_at, at)| written(n, updated_at, at + lifetime)).into(), now);
    view.apply_at(vec![Change::Deleted { id: id(3), by: None }], now);
    let comparison = compared(&view, &[1, 4, 5], ended, &before);
    assert_eq!((comparison.shown, comparison.known, comparison.missing.len()), (4, 2, 1));
}

#[test]
fn the_same_document_written_again_is_no_older_write() {
    let (view, start) = view();
    let [ended, now] = [5, 10].map(|n| start + seconds(n));
    let lifetime = Ttl::DEFAULT.duration().unwrap();
    view.apply_at(vec![written(1, 1_000, start + lifetime), written(2, 1_000, ended + lifetime)], ended);
    // Its deadline differs by so little that it might just have been read again.
    let again = ended + seconds(1);
    view.apply_at(vec![written(2, 1_000, again + lifetime)], now);
    let comparison = compared(&view, &[1, 2], ended, &view.living_after(ended));
    assert_eq!(comparison.latest_write, Some(start));
}

#[test]
fn what_was_deleted_here_and_is_back_after_an_outage_is_outdated() {
    let (view, start) = view();
    let [deleted_at, now, later] = [2, 3, 4_000].map(|n| start + seconds(n));
    view.apply_at(vec![written(1, 1_000, start + Ttl::DEFAULT.duration().unwrap())], start);
    prove(&view, start + seconds(1));
    view.apply_at(vec![Change::Deleted { id: id(1), by: None }], deleted_at);
    prove(&view, now);
    let back = |updated_at| vec![written(1, updated_at, later)];
    let is_outdated = |at, updated_at| {
        let mut changes = back(updated_at);
        let outdated = view.take_outdated_at(&mut changes, true, at);
        assert_eq!(changes.len() + outdated.len(), 1);
        outdated.iter().any(|outdated| outdated.id == id(1) && outdated.newer.is_none())
    };
    assert!(!is_outdated(now, 1_000), "there was no outage, so somebody has written it");
    view.interrupted(now);
    assert!(is_outdated(now, 1_000));
    assert!(!is_outdated(now, 1_001), "somebody has written it since");
    // The outage is over now, by the clock of the test.
    prove(&view, now);
    let over_at = Instant::now();
    for (at, expected) in [(over_at + BACK_WITHIN - seconds(2), true), (over_at + BACK_WITHIN + seconds(1), false)] {
        prove(&view, at);
        assert_eq!(is_outdated(at, 1_000), expected);
    }
    view.interrupted(now);
    view.apply_at(back(1_001), now);
    assert!(!is_outdated(now, 1_000), "it is there again");
}
