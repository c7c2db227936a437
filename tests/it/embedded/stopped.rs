//! A server that was stopped on its file: owners could not renew meanwhile.

use std::path::Path;
use std::time::{Duration, SystemTime};

use inventor::registration::Ttl;
use inventor::store::Update;
use redb::ReadableTable;
use tempfile::TempDir;

use super::{DOCUMENTS, META, ORIGINALS, file, open, records, try_open};
use crate::eventually::{SOON, eventually};
use crate::store_contract::{hour, id, put, rules};

/// Has everything in the file of a closed store have happened so much earlier.
#[track_caller]
pub(super) fn age(directory: &Path, hours: u64) {
    age_by(directory, hours, hours);
}

/// The same, but the file was last told before that that the server is at work.
#[track_caller]
fn age_by(directory: &Path, hours: u64, told_hours_ago: u64) {
    let earlier_by = |hours: u64, millis: u64| if millis == 0 { 0 } else { millis - hours * 3_600_000 };
    let database = redb::Database::open(file(directory)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(META).unwrap();
        let alive = meta.get("alive").unwrap().expect("the file says when it was written").value();
        meta.insert("alive", earlier_by(told_hours_ago, alive)).unwrap();
        let mut documents = transaction.open_table(DOCUMENTS).unwrap();
        let mut records = Vec::new();
        for record in documents.iter().unwrap() {
            let (key, value) = record.unwrap();
            let (deadline, document) = value.value();
            records.push((key.value(), deadline, document.to_vec()));
        }
        for (key, deadline, document) in records {
            documents.insert(key, (earlier_by(hours, deadline), document.as_slice())).unwrap();
        }
        let mut originals = transaction.open_table(ORIGINALS).unwrap();
        let moved: Vec<_> =
            originals.iter().unwrap().map(Result::unwrap).map(|(k, v)| (k.value(), v.value())).collect();
        for (key, (original, to)) in moved {
            originals.insert(key, (earlier_by(hours, original), earlier_by(hours, to))).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[track_caller]
fn is_about(rest: Option<Duration>, minutes: u64) {
    let (rest, most) = (rest.expect("it has a lifetime"), Duration::from_secs(60 * minutes));
    // Documents were written in the minute before, and nothing that lives is lengthened by that.
    assert!(rest <= most + Duration::from_secs(60) && rest > most - Duration::from_secs(60), "{rest:?}");
}

#[test]
fn what_ran_out_while_the_server_was_stopped_has_what_it_had_left_and_half_a_lifetime_at_most() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("an hour", "text");
    node.try_put("a minute", "text", Ttl::from_seconds(60)).unwrap();
    node.try_put("a day", "text", Ttl::from_seconds(24 * 3600)).unwrap();
    node.try_put("ever", "text", Ttl::from_seconds(0)).unwrap();
    drop(node);
    age(directory.path(), 10);

    let node = open(directory.path());
    assert_eq!(node.count(), 4);
    assert_eq!(node.stale(), None, "the outage is over");
    is_about(node.rest("an hour"), 30);
    is_about(node.rest("a minute"), 1);
    is_about(node.rest("a day"), 14 * 60);
    assert_eq!(node.rest("ever"), None);
    assert_eq!(node.get("a minute").as_deref(), Some("text"), "the file has the new deadline as well");
    // A second start lengthens nothing further.
    drop(node);
    let node = open(directory.path());
    is_about(node.rest("an hour"), 30);
    assert_eq!(node.delete("a minute"), Ok(true));
}

/// Until an outage is settled the file is not told that the server is at work, and what is written meanwhile seems to be
/// written in the midst of an outage.
#[test]
fn after_a_crash_in_the_midst_of_a_settlement_nobody_is_taken_for_another_server() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    let mut renewal = put("renewed", "text", hour());
    if let Update::Put { updated_at, .. } = &mut renewal {
        *updated_at = SystemTime::now() - Duration::from_secs(10 * 3600);
    }
    node.write(vec![renewal]).unwrap();
    drop(node);
    age_by(directory.path(), 10, 20);
    let node = open(directory.path());
    assert_eq!(node.count(), 1, "it was renewed, and then nobody could renew");
    is_about(node.rest("renewed"), 30);
}

#[test]
fn a_short_stop_lengthens_nothing_by_more_than_itself() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.try_put("short", "text", Ttl::from_seconds(600)).unwrap();
    drop(node);
    let node = open(directory.path());
    let rest = node.rest("short").unwrap();
    assert!(rest <= Duration::from_secs(600) && rest > Duration::from_secs(500), "{rest:?}");
}

#[test]
fn what_had_run_out_before_the_stop_stays_away() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.try_put("gone", "text", Ttl::from_seconds(1)).unwrap();
    eventually(SOON, || node.shown("gone").is_none());
    drop(node);
    age(directory.path(), 10);
    let node = open(directory.path());
    assert_eq!((node.shown("gone"), node.get("gone"), node.count()), (None, None, 0));
    assert_eq!(node.delete("gone"), Ok(false));
}

#[test]
fn nothing_is_kept_longer_than_outages_may_keep_it() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("an hour", "text");
    node.try_put("two days", "text", Ttl::from_seconds(48 * 3600)).unwrap();
    drop(node);
    age(directory.path(), 30);
    let node = open(directory.path());
    assert_eq!((node.shown("an hour"), node.get("an hour")), (None, None));
    assert_eq!(node.count(), 1);
    eventually(SOON, || node.metric("inventor_store_commit_changes") >= 1.0);
    drop(node);
    assert_eq!(records(directory.path()), [id("two days").to_bytes()], "it has left the file");

    let node = try_open(rules(hour()), directory.path()).unwrap();
    is_about(node.rest("two days"), 18 * 60);
}

#[test]
fn several_stops_keep_nothing_longer_than_outages_may_keep_it() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("silent", "text");
    node.put("renewed", "text");
    drop(node);
    // After each of them half a lifetime is left: the limit of a day counts from the hour that their owners gave them.
    for _ in 0..3 {
        age(directory.path(), 7);
        let node = open(directory.path());
        is_about(node.rest("silent"), 30);
        is_about(node.rest("renewed"), 30);
    }
    let node = open(directory.path());
    node.put("renewed", "text");
    drop(node);
    age(directory.path(), 7);
    let node = open(directory.path());
    assert_eq!((node.shown("silent"), node.get("silent")), (None, None));
    is_about(node.rest("renewed"), 30);
}
