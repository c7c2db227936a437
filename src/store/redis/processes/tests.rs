//! How long a process counts as unseen, with a clock that is passed in.

use std::collections::HashSet;

use ::redis::RedisError;

use super::*;
use crate::registration::TargetId;
use crate::store::redis::connect::Origin;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn closed() -> Fault {
    Fault::Connection(RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)))
}

fn refused() -> Fault {
    Fault::Connection(RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)))
}

fn process(run_id: &str, age: Duration) -> ServerProcess {
    ServerProcess {
        run_id: run_id.to_owned(),
        origin: Origin { age, ..Origin::default() },
        replicated: None,
        is_7_or_newer: true,
        eviction_policy: String::new(),
    }
}

fn end<'a>(run_id: &'a str, contact: Contact, fault: &'a Fault, is_loaded: bool) -> Farewell<'a> {
    Farewell { run_id, contact, replicated: None, fault, is_loaded, foreign: 0, seen: Seen::default() }
}

/// A process that was followed until a moment, and whose connection was closed then.
fn followed(at: Contact) -> Processes {
    let mut processes = Processes::default();
    assert!(processes.answered(&process("one", seconds(100)), at).is_none());
    processes.lost(end("one", at, &closed(), true), at);
    processes
}

#[test]
fn the_same_process_again_is_no_restart() {
    let start = Contact::now();
    assert!(followed(start).answered(&process("one", seconds(100)), start.later(seconds(9))).is_none());
}

#[test]
fn a_process_may_live_on_when_its_connection_was_closed() {
    let start = Contact::now();
    let restart = followed(start).answered(&process("other", seconds(1)), start.later(seconds(40))).unwrap();
    assert_eq!((restart.gap, restart.unseen, restart.saw_end), (seconds(40), seconds(40), true));
}

#[test]
fn nobody_writes_where_nobody_listens_or_data_are_being_loaded() {
    let start = Contact::now();
    let mut processes = followed(start);
    processes.missed(&refused(), start.later(seconds(1)));
    processes.missed(&refused(), start.later(seconds(20)));
    processes.missed(&Fault::Loading, start.later(seconds(39)));
    let restart = processes.answered(&process("other", seconds(15)), start.later(seconds(40))).unwrap();
    assert_eq!(restart.unseen, seconds(1) + seconds(1), "before nobody listened, and since it was still loading");
    // A silent network proves nothing.
    let mut processes = followed(start);
    processes.missed(&Fault::Silent, start.later(seconds(1)));
    assert_eq!(
        processes.answered(&process("other", seconds(15)), start.later(seconds(40))).unwrap().unseen,
        seconds(40)
    );
}

#[test]
fn a_restore_that_is_interrupted_counts_only_the_time_between_its_sessions() {
    let start = Contact::now();
    let mut processes = followed(start);
    processes.missed(&refused(), start);
    let found = start.later(seconds(10));
    assert_eq!(processes.answered(&process("other", Duration::ZERO), found).unwrap().unseen, Duration::ZERO);
    let id = TargetId::of(&["one".to_owned()]);
    let left = found.later(seconds(8));
    let seen = Seen { there: HashSet::from([id]), ..Seen::default() };
    processes.lost(Farewell { seen: seen.clone(), ..end("other", left, &Fault::Silent, false) }, left);
    let restart = processes.answered(&process("other", seconds(9)), left.later(seconds(1))).unwrap();
    assert_eq!((restart.gap, restart.unseen, restart.apart), (seconds(10), Duration::ZERO, seconds(1)));
    assert_eq!(restart.seen, seen);
    // Another one takes its place, and nobody saw the end of this one.
    processes.lost(end("other", left, &Fault::Silent, false), left.later(seconds(9)));
    let restart = processes.answered(&process("third", Duration::ZERO), left.later(seconds(10))).unwrap();
    assert_eq!((restart.unseen, restart.after_a_loss), (Duration::MAX, true));
    assert_eq!(restart.seen, Seen::default());
}
