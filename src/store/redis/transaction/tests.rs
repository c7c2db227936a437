//! The meaning of answers to a transaction that no real server can be made to give.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use ::redis::ConnectionAddr;

use super::*;
use crate::registration::{Content, LabelNames, Registration, Ttl, TtlBounds};
use crate::store::redis::connect::ANSWER_MAX;
use crate::store::redis::round::Round;
use crate::store::redis::session::Session;

fn error(text: &str) -> Value {
    let reply = format!("-{text}\r\n");
    ::redis::parse_redis_value(reply.as_bytes()).unwrap()
}

#[test]
fn of_a_transaction_that_failed_in_part_what_was_made_is_looked_at() {
    let session = Session::new(1, ConnectionAddr::Unix("nowhere".into()), "run".to_owned());
    let ids = [TargetId::of(&["a".to_owned()]), TargetId::of(&["b".to_owned()])];
    let body = br#"{"static_config":{"targets":["a"]}}"#;
    let registration = Registration::parse(body, LabelNames::Legacy, TtlBounds::default()).unwrap();
    let content = Content::new(&registration);
    let put = |id| {
        let (content, updated_at) = (content.clone(), SystemTime::now());
        Update::Put { id, content, updated_at, ttl: Ttl::FOREVER, by: None }
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    thread::scope(|scope| {
        let writer = scope.spawn(|| session.write(ids.map(put).to_vec(), None, deadline));
        let mut transactions = Transactions::default();
        while !transactions.is_open() {
            assert!(transactions.take(session.take(0, Duration::from_secs(20)).unwrap().writes).is_empty());
        }
        assert!(transactions.watch().is_empty(), "without a check there is nothing to read");
        let mut round = Round::default();
        round.commit(transactions.commit().unwrap());
        let queued = || Value::SimpleString("QUEUED".to_owned());
        let made = Value::Array(vec![Value::Okay, error("ERR of the second")]);
        let read = round.read(vec![Value::Okay, queued(), queued(), made], Instant::now()).unwrap();
        assert!(read.changes.is_empty() && read.made.is_empty(), "nothing is known to be made");
        assert_eq!(read.unclear, ids[..1]);
        assert!(writer.join().unwrap().is_err());
    });
}

#[test]
fn what_has_no_time_left_is_not_read_to_its_end() {
    let session = Session::new(1, ConnectionAddr::Unix("nowhere".into()), "run".to_owned());
    let ids: Vec<TargetId> = (0..10_000).map(|n| TargetId::of(&[n.to_string()])).collect();
    let removals: Vec<Update> = ids.iter().map(|id| Update::Delete { id: *id, by: None }).collect();
    let deadline = Instant::now() + ANSWER_MAX + Duration::from_millis(200);
    thread::scope(|scope| {
        let writer = scope.spawn(|| session.write(removals, Some(Arc::new(|_, _| true)), deadline));
        let mut transactions = Transactions::default();
        while !transactions.is_open() {
            transactions.take(session.take(0, Duration::from_secs(20)).unwrap().writes);
        }
        let mut read = 0;
        while transactions.is_open() {
            read += transactions.watch().len();
            thread::sleep(Duration::from_millis(10));
            assert!(transactions.commit().is_none_or(|writes| writes.is_empty()), "there was no time for it");
        }
        assert!(read < ids.len(), "all was read");
        assert!(writer.join().unwrap().is_err());
    });
}
