//! What is written back, and what is not.

use std::time::{Duration, SystemTime};

use super::*;
use crate::registration::{Content, LabelNames, Registration, TtlBounds};

fn kept(name: &str, deadline: Option<Instant>) -> Kept {
    let body = format!(r#"{{"static_config":{{"targets":["{name}"]}}}}"#);
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    let content = Content::new(&registration);
    Kept {
        id: registration.id(),
        content,
        updated_at: SystemTime::UNIX_EPOCH,
        deadline,
        moved_from: None,
        written_at: None,
    }
}

/// What was lost, and all that an outage moved, if there was one.
fn owed(lost: Vec<Kept>, moved: Option<Vec<Kept>>, now: Instant) -> Settling {
    let mut settling = Settling::new(lost, now);
    settling.owe(moved.map(|moved| Settlement { moved, is_last: true }));
    settling
}

#[test]
fn what_runs_out_meanwhile_is_not_written() {
    let now = Instant::now();
    let after = |seconds| Some(now + Duration::from_secs(seconds));
    let lost = vec![kept("short", after(5)), kept("long", after(60)), kept("ever", None)];
    let mut settling = owed(lost, None, now);
    let taken = settling.take(10, now + Duration::from_secs(5));
    assert_eq!(taken.len(), 2);
    assert!(settling.is_done());
}

#[test]
fn what_somebody_wrote_or_deleted_meanwhile_is_not_written() {
    let now = Instant::now();
    let mut settling = owed(vec![kept("a", None), kept("b", None)], None, now);
    settling.forget(kept("a", None).id);
    assert_eq!(settling.take(1, now).len(), 1);
    assert!(settling.is_done());
}

#[test]
fn what_is_refused_stays_owed() {
    let now = Instant::now();
    let mut settling = owed(vec![kept("a", None)], Some(Vec::new()), now);
    let kept = settling.take(1, now).remove(0);
    settling.give_back(kept);
    assert!(!settling.is_done());
    assert_eq!(settling.end, Some(now));
}

#[test]
fn what_is_gone_although_it_had_time_was_deleted() {
    let now = Instant::now();
    let moved = |name, from| Kept { moved_from: Some(from), ..kept(name, Some(now + Duration::from_secs(60))) };
    let lengthened = vec![moved("ran out", now), moved("had time", now + Duration::from_secs(1))];
    let mut settling = owed(vec![kept("lost", None)], Some(lengthened), now);
    ["ran out", "had time", "lost"].iter().for_each(|name| settling.note_gone(kept(name, None).id, now));
    assert_eq!(settling.take(3, now).iter().map(|kept| kept.id).collect::<Vec<_>>(), [kept("ran out", None).id]);
}

#[test]
fn more_is_asked_for_until_the_mirror_has_said_all() {
    let now = Instant::now();
    let mut settling = Settling::new(vec![kept("lost", None)], now);
    assert_eq!(settling.lacks(1), None, "there is something to do");
    assert_eq!(settling.lacks(3), Some((now, 2)));
    settling.owe(Some(Settlement { moved: Vec::new(), is_last: false }));
    assert_eq!(settling.take(3, now).len(), 1);
    assert!(!settling.is_done(), "an answer without anything is not the last one");
    settling.owe(Some(Settlement { moved: Vec::new(), is_last: true }));
    assert!(settling.is_done() && settling.lacks(3).is_none());
    let later = now + Duration::from_secs(1);
    settling.begin_again(later);
    assert_eq!(settling.lacks(3), Some((later, 3)), "the outage has gone on");
}
