//! Waiting for work and for answers: nobody waits for ever.

use std::thread;

use super::*;
use crate::store::redis::connect::ANSWER_MAX;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

fn session() -> Session {
    let address = ConnectionAddr::Unix("nowhere".into());
    let session = Session::new(1, address, "run".to_owned());
    // The scan that every session begins with.
    assert_eq!(session.take(1000, Duration::ZERO).unwrap().rescan, Some(Cause::Connected));
    session
}

fn id(n: usize) -> TargetId {
    TargetId::of(&[n.to_string()])
}

fn soon() -> Instant {
    Instant::now() + LONG
}

fn remove(n: usize) -> Vec<Update> {
    vec![Update::Delete { id: id(n), by: None }]
}

/// Takes the writes of one turn, once there are this many.
fn take_writes(session: &Session, count: usize) -> Vec<Write> {
    let mut writes = Vec::new();
    while writes.len() < count {
        writes.extend(session.take(0, LONG).unwrap().writes);
    }
    writes
}

#[test]
fn each_writer_gets_its_own_answer() {
    let session = session();
    thread::scope(|scope| {
        let session = &session;
        let waiting: Vec<_> = (0..8).map(|n| scope.spawn(move || session.write(remove(n), None, soon()))).collect();
        for Write { updates, reply, .. } in take_writes(session, 8) {
            let number = (0..8).find(|n| id(*n) == updates[0].id()).unwrap();
            reply.tell(Ok(Outcome::Made(vec![true; number])));
        }
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.join().unwrap().unwrap(), Outcome::Made(vec![true; number]));
        }
    });
}

#[test]
fn what_nobody_waits_for_any_more_is_not_written() {
    let session = session();
    let late = session.write(remove(1), None, Instant::now());
    assert!(matches!(late, Err(Some(_))));
    assert!(session.take(1000, Duration::ZERO).unwrap().writes.is_empty());
}

#[test]
fn the_end_of_a_session_wakes_all_who_wait() {
    let session = session();
    thread::scope(|scope| {
        let sent = scope.spawn(|| session.write(remove(1), None, soon()));
        let mut writes = take_writes(&session, 1);
        assert!(writes[0].begin(ANSWER_MAX));
        let unsent = scope.spawn(|| session.write(remove(2), None, soon()));
        while session.mailbox.contents().writes.is_empty() {
            thread::yield_now();
        }
        session.end(Fault::Loading);
        session.end(Fault::Closed);
        drop(writes);
        assert_eq!(sent.join().unwrap(), Err(Some(Fault::Loading.into())), "the first fault counts");
        assert!(matches!(unsent.join().unwrap(), Err(None)), "another session may have it");
    });
    assert!(session.take(1000, LONG).is_err());
    assert!(matches!(session.write(remove(1), None, soon()), Err(None)), "what comes later fails at once");
}

#[test]
fn what_could_be_answered_too_late_is_not_begun() {
    let session = session();
    thread::scope(|scope| {
        let late = scope.spawn(|| session.write(remove(1), None, Instant::now() + ANSWER_MAX));
        let mut writes = take_writes(&session, 1);
        assert!(!writes[0].begin(ANSWER_MAX));
        drop(writes);
        assert!(matches!(late.join().unwrap(), Err(None)));
    });
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
