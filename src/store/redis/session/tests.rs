//! Who waits for what, and that nobody waits for ever.

use std::thread;

use super::*;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

fn session() -> Session {
    let client = Client::open("redis://localhost").unwrap();
    let session = Session::new(1, client, "run".to_owned());
    // The scan that every session begins with.
    assert_eq!(session.take(1000, Duration::ZERO).unwrap().rescan, Some(Cause::Connected));
    session.turn_applied();
    session
}

fn id(n: usize) -> TargetId {
    TargetId::of(&[n.to_string()])
}

fn soon() -> Instant {
    Instant::now() + LONG
}

fn is_asked_for(session: &Session, id: TargetId) {
    let deadline = soon();
    while !session.is_changed(id) {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
}

#[test]
fn a_turn_under_way_does_not_count() {
    let session = session();
    session.take(1000, Duration::ZERO).unwrap();
    thread::scope(|scope| {
        let refresh = scope.spawn(|| session.refresh(id(1), Instant::now() + Duration::from_millis(100)));
        is_asked_for(&session, id(1));
        session.turn_applied();
        assert!(matches!(refresh.join().unwrap(), Err(Fault::Silent)), "the id was fetched before it was asked for");
    });
}

#[test]
fn the_next_turn_serves_all_who_wait() {
    let session = session();
    thread::scope(|scope| {
        let session = &session;
        let waiting: Vec<_> = (0..8).map(|n| scope.spawn(move || session.refresh(id(n), soon()))).collect();
        (0..8).for_each(|n| is_asked_for(session, id(n)));
        let work = session.take(2, Duration::ZERO).unwrap();
        assert_eq!(work.ids.len(), 8, "whoever waits is served, however many they are");
        session.turn_applied();
        for waiting in waiting {
            assert!(waiting.join().unwrap().is_ok());
        }
    });
}

#[test]
fn the_end_of_a_session_wakes_all_who_wait() {
    let session = session();
    thread::scope(|scope| {
        let refresh = scope.spawn(|| session.refresh(id(1), soon()));
        let applier = scope.spawn(|| while session.take(1000, LONG).is_ok() {});
        session.end(Fault::Loading);
        session.end(Fault::Closed);
        assert!(matches!(refresh.join().unwrap(), Err(Fault::Loading)), "the first fault counts");
        applier.join().unwrap();
    });
    assert!(session.refresh(id(1), soon()).is_err(), "what comes later fails at once");
}

#[test]
fn changes_are_taken_in_portions_and_each_id_once() {
    let session = session();
    session.changed((0..25).chain(0..25).map(id));
    let portions: Vec<usize> = (0..4).map(|_| session.take(10, Duration::ZERO).unwrap().ids.len()).collect();
    assert_eq!(portions, [10, 10, 5, 0]);
}

#[test]
fn too_many_changes_become_one_scan() {
    let session = session();
    session.changed((0..=CHANGED_MAX).map(id));
    let work = session.take(10, Duration::ZERO).unwrap();
    assert_eq!((work.ids.len(), work.rescan), (0, Some(Cause::Overflow)));
}
