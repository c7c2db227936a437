//! Which missing registrations count as lost, and what is written back.

use std::time::SystemTime;

use super::*;
use crate::registration::{Content, LabelNames, Registration, TtlBounds};

const HALF: Duration = Duration::from_secs(1800);

/// A process that came up a moment ago and has loaded this many keys, after the end of the old one was seen.
fn restart(loaded_keys: Option<usize>) -> Restart {
    let origin = Origin { loaded_keys, ..Origin::default() };
    Restart {
        gap: Duration::ZERO,
        unseen: Duration::ZERO,
        unseen_before: Duration::ZERO,
        apart: Duration::ZERO,
        seen: Seen::default(),
        last_contact: Instant::now(),
        saw_end: true,
        after_a_loss: false,
        foreign: 0,
        replicated: None,
        origin,
    }
}

fn found(registrations: usize) -> Found {
    Found { registrations, foreign: 0 }
}

fn missing(name: &str, written_at: Option<Instant>, updated_at: u64) -> Missing {
    let body = format!(r#"{{"static_config":{{"targets":["{name}"]}}}}"#);
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    let kept = Kept {
        id: registration.id(),
        content: Content::new(&registration),
        updated_at: SystemTime::UNIX_EPOCH + Duration::from_secs(updated_at),
        deadline: None,
        moved_from: None,
        written_at,
    };
    Missing { kept, half_lifetime: HALF }
}

/// Registrations that are found, written one second after the other before `saved`, and these that are missing.
fn comparison(found: usize, missing: Vec<Missing>, saved: Instant) -> Comparison {
    let shown = found + missing.len();
    let latest_update = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7));
    Comparison { missing, shown, known: found, latest_write: Some(saved), latest_update }
}

/// The names of the lost registrations. Of the missing ones, one is older than those found, two are newer.
fn lost(restart: &Restart, found: usize) -> Vec<&'static str> {
    lost_beside(restart, found, 0)
}

/// The same when other programs have keys there now.
fn lost_beside(restart: &Restart, found: usize, foreign: usize) -> Vec<&'static str> {
    let saved = Instant::now();
    let later = |n: u64| Some(saved + Duration::from_millis(n));
    let gone = [
        missing("before", Some(saved - Duration::from_millis(1)), 7),
        missing("after", later(1), 7),
        missing("last", later(2), 7),
    ];
    let ids = gone.each_ref().map(|missing| missing.kept.id);
    let (found, comparison) = (Found { registrations: found, foreign }, comparison(found, gone.into(), saved));
    let lost = restart.lost(found, comparison, Vec::new(), Instant::now());
    let is_lost = |id: &TargetId| lost.iter().any(|kept| kept.id == *id);
    ["before", "after", "last"].into_iter().zip(ids).filter(|(_, id)| is_lost(id)).map(|(name, _)| name).collect()
}

#[test]
fn a_process_that_came_up_with_all_that_was_known_has_lost_nothing() {
    assert!(lost(&restart(Some(13)), 10).is_empty(), "13 were known");
    // Most of them may have been deleted since.
    assert!(lost(&restart(Some(4)), 1).is_empty());
}

#[test]
fn a_process_that_keeps_an_old_append_only_file_has_lost_nothing() {
    let origin = Origin { fresh_append_only_file: Some(false), ..Origin::default() };
    assert!(lost(&Restart { origin, ..restart(None) }, 1).is_empty());
}

#[test]
fn a_process_that_came_up_with_nothing_has_lost_everything() {
    let fresh = Origin { fresh_append_only_file: Some(true), ..Origin::default() };
    for restart in [restart(Some(0)), Restart { origin: fresh, ..restart(None) }] {
        assert_eq!(lost(&restart, 0).len(), 3);
        // Others have registered meanwhile.
        assert_eq!(lost(&restart, 10).len(), 3);
        let unseen = Restart { saw_end: false, gap: 10 * UNSEEN_MAX, ..restart };
        assert_eq!(lost(&unseen, 0).len(), 3);
    }
    // Other programs' keys are no registrations.
    let shared = Restart { foreign: 500, ..restart(Some(500)) };
    assert_eq!(lost_beside(&shared, 10, 500).len(), 3);
}

#[test]
fn what_others_have_put_back_meanwhile_says_nothing_about_the_order_of_writes() {
    assert_eq!(lost(&restart(Some(8)), 9).len(), 3, "8 were loaded, and one of those that were lost is back");
}

#[test]
fn keys_of_other_programs_that_come_and_go_say_nothing_about_registrations() {
    // 100 of them were loaded and have gone since, or 40 were written after the restart.
    for (restart, now) in [(Restart { foreign: 100, ..restart(Some(110)) }, 0), (restart(Some(11)), 40)] {
        assert_eq!(
            lost_beside(&restart, 10, now),
            ["after", "last"],
            "what was written last was lost, as far as one can know"
        );
        assert!(!restart.says_what_is_lost(Found { registrations: 10, foreign: now }), "and it is in doubt");
    }
}

#[test]
fn of_what_was_saved_the_order_of_writes_tells_what_was_lost() {
    let mut restart = restart(Some(11));
    assert_eq!(lost(&restart, 10), ["after", "last"], "what was written before was there, and was deleted");
    restart.origin.loaded_keys = None;
    assert_eq!(lost(&restart, 10), ["after", "last"]);
    restart.apart = 2 * UNSEEN_MAX;
    assert_eq!(lost(&restart, 10), ["after", "last"], "whoever interrupts a restore deletes nothing by that");
    restart.unseen = 2 * UNSEEN_MAX;
    assert!(lost(&restart, 10).is_empty(), "anybody can have deleted them since");
    let cut_off = Restart { saw_end: false, gap: 2 * UNSEEN_MAX, ..self::restart(Some(11)) };
    assert!(lost(&cut_off, 10).is_empty(), "anybody can have deleted them before");
}

#[test]
fn what_another_process_had_lost_is_put_back_whatever_the_order_of_writes() {
    let after_a_loss = |restart: Restart| Restart { after_a_loss: true, ..restart };
    assert_eq!(lost(&after_a_loss(restart(Some(11))), 10).len(), 3);
    let old = Origin { fresh_append_only_file: Some(false), ..Origin::default() };
    assert_eq!(lost(&after_a_loss(Restart { origin: old, ..restart(None) }), 10).len(), 3);
    assert!(lost(&after_a_loss(restart(Some(13))), 10).is_empty(), "all of it was back");
}

#[test]
fn a_replica_that_was_made_the_master_says_what_it_lacks() {
    let known = |offset| Some(Replicated { history: "old".to_owned(), offset, at: Instant::now() });
    let origin = Origin { former: Some(("old".to_owned(), 1000)), age: Duration::MAX, ..Origin::default() };
    let restart = Restart { replicated: known(1001), origin, ..restart(None) };
    assert_eq!(lost(&restart, 10), ["after", "last"]);
    // It has everything from before the offset was read, which was later than the missing registrations.
    let later = Some(Replicated { at: Instant::now() + Duration::from_secs(1), ..known(1000).unwrap() });
    assert!(lost(&Restart { replicated: later, ..restart.clone() }, 10).is_empty());
    assert_eq!(lost(&Restart { replicated: known(1000), ..restart }, 10), ["after", "last"], "they were written since");
}

#[test]
fn in_doubt_nothing_is_put_back_for_longer_than_half_a_lifetime() {
    let now = Instant::now();
    let deadlines = |restart: Restart| {
        let mut long = missing("long", None, 8);
        long.kept.deadline = Some(now + 3 * HALF / 2);
        let mut short = missing("short", None, 8);
        short.kept.deadline = Some(now + HALF / 2);
        let gone = vec![missing("for ever", None, 8), long, short];
        let lost = restart.lost(found(0), comparison(0, gone, now), Vec::new(), now);
        let left = lost.iter().map(|kept| kept.deadline.map(|deadline| deadline - now));
        left.collect::<Vec<_>>()
    };
    assert_eq!(deadlines(restart(Some(0))), [None, Some(3 * HALF / 2), Some(HALF / 2)]);
    let halved = [Some(HALF), Some(HALF), Some(HALF / 2)];
    assert_eq!(deadlines(Restart { saw_end: false, ..restart(Some(0)) }), halved);
    assert_eq!(deadlines(restart(None)), halved, "it does not say what it has loaded");
    let unseen = |times: u32| Restart { unseen: CERTAIN_WITHIN / 2 * times, after_a_loss: true, ..restart(Some(0)) };
    assert_eq!(
        deadlines(unseen(3)),
        halved,
        "it, or another process, was there for so long before anybody here saw it"
    );
    assert_eq!(deadlines(Restart { apart: 2 * CERTAIN_WITHIN, ..restart(Some(0)) }), halved, "it was left alone");
    assert_eq!(deadlines(unseen(2)), [None, Some(3 * HALF / 2), Some(HALF / 2)]);
    // Time without a process counts for none.
    let apart = Restart { gap: 2 * UNSEEN_MAX, after_a_loss: true, ..restart(Some(0)) };
    assert_eq!(deadlines(apart), [None, Some(3 * HALF / 2), Some(HALF / 2)]);
}

#[test]
fn what_has_expired_early_was_lost_whatever_else_was() {
    let early = vec![missing("early", None, 1)];
    let lost = restart(Some(13)).lost(found(10), comparison(10, Vec::new(), Instant::now()), early, Instant::now());
    assert_eq!(lost.len(), 1);
}

#[test]
fn what_was_there_before_an_interruption_is_not_put_back() {
    let [one, other] = ["one", "other"].map(|name| missing(name, None, 8));
    let restart = Restart { seen: Seen { there: HashSet::from([one.kept.id]), ..Seen::default() }, ..restart(Some(0)) };
    let (now, kept) = (Instant::now(), other.kept.id);
    let lost = Restoring::new(restart).lost(found(0), comparison(0, vec![one, other], now), Vec::new(), now);
    assert_eq!(lost.iter().map(|kept| kept.id).collect::<Vec<_>>(), [kept]);
}

#[test]
fn deletions_since_the_restart_make_the_losses_no_smaller() {
    let saved = Instant::now();
    let ids = ["third", "fourth", "fifth"].map(|name| TargetId::of(&[name.to_owned()]));
    // Of 13 that were shown, 10 were loaded. Others have put one of the last three back, and three are deleted.
    let lost = |deletions: Vec<Change>, shown: usize| {
        let mut restoring = Restoring::new(restart(Some(10)));
        restoring.begin(|_| HashSet::from([ids[0], ids[1]]));
        restoring.note(&mut deletions.clone());
        let gone = ["first", "second"].map(|name| missing(name, Some(saved - Duration::from_millis(1)), 7));
        let comparison = Comparison { shown, ..comparison(8, gone.into(), saved) };
        restoring.lost(found(8), comparison, Vec::new(), saved).len()
    };
    let deleted = || ids.iter().map(|id| Change::Deleted { id: *id, by: None }).collect();
    assert_eq!(lost(deleted(), 13), 2, "11 were there, in no order");
    assert_eq!(lost(Vec::new(), 13), 0, "8 were there, and these were written before the latest of them");
    assert_eq!(lost(deleted(), 10), 1, "one that was not shown was loaded: one more of the others was not");
}

#[test]
fn what_was_put_back_and_is_gone_was_deleted() {
    let id = TargetId::of(&["one".to_owned()]);
    let believes = |restoring: &mut Restoring| {
        let mut changes = vec![Change::Gone(id)];
        restoring.note(&mut changes);
        !changes.is_empty()
    };
    let mut restoring = Restoring::new(restart(Some(0)));
    assert!(!believes(&mut restoring), "nobody knows whether it was there");
    restoring.saw([id]);
    assert!(believes(&mut restoring));
}

#[test]
fn of_what_nobody_saw_written_the_clock_of_its_owner_tells_when_that_was() {
    let gone = vec![missing("before", None, 6), missing("same second", None, 7), missing("after", None, 8)];
    let now = Instant::now();
    let lost = restart(Some(11)).lost(found(10), comparison(10, gone, now), Vec::new(), now);
    assert_eq!(lost.len(), 2, "in doubt nothing is given up");
}

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

/// Settles losses, and all deadlines that an outage moved, if there was one.
fn owed(lost: Vec<Kept>, moved: Option<Vec<Kept>>, now: Instant) -> Settling {
    let mut settling = Settling::new(lost, now);
    settling.owe(moved.map(|moved| Settlement { moved, is_last: true }));
    settling
}

/// Everything that must be written.
fn taken(settling: &mut Settling, now: Instant) -> Vec<Kept> {
    iter::from_fn(|| settling.next(now)).collect()
}

#[test]
fn what_runs_out_meanwhile_is_not_written() {
    let now = Instant::now();
    let after = |seconds| Some(now + Duration::from_secs(seconds));
    let lost = vec![kept("short", after(5)), kept("long", after(60)), kept("ever", None)];
    let mut settling = owed(lost, None, now);
    assert_eq!(taken(&mut settling, now + Duration::from_secs(5)).len(), 2);
    assert!(settling.is_done());
}

#[test]
fn what_somebody_wrote_or_deleted_meanwhile_is_not_written() {
    let now = Instant::now();
    let mut settling = owed(vec![kept("a", None), kept("b", None)], None, now);
    settling.forget(kept("a", None).id);
    assert_eq!(taken(&mut settling, now).len(), 1);
    assert!(settling.is_done());
}

#[test]
fn what_redis_would_have_for_too_long_is_moved_back_also_when_it_has_expired_meanwhile() {
    let (now, hour) = (Instant::now(), Duration::from_secs(3600));
    let too_late = |name, from: Duration| Kept { moved_from: Some(now + from + hour), ..kept(name, Some(now + from)) };
    let second = Duration::from_secs(1);
    let of = |outage: Option<Vec<Kept>>| {
        let mut settling = owed(Vec::new(), outage, now);
        settling.move_back(vec![too_late("a", second), too_late("b", 3 * second), too_late("c", 3 * second)]);
        settling.note_put(kept("b", None).id, Some(now + hour));
        settling.note_put(kept("c", None).id, Some(now + 3 * second));
        taken(&mut settling, now + 2 * second).len()
    };
    assert_eq!(of(None), 2, "somebody has renewed one of them");
    assert_eq!(of(Some(Vec::new())), 1, "in an outage, what has expired is kept");
}

#[test]
fn what_is_refused_stays_owed() {
    let now = Instant::now();
    let mut settling = owed(vec![kept("a", None)], Some(Vec::new()), now);
    taken(&mut settling, now).into_iter().for_each(|kept| settling.give_back(kept));
    assert!(!settling.is_done());
    assert_eq!(settling.end, Some(now));
}

#[test]
fn what_is_gone_although_it_had_time_was_deleted() {
    let now = Instant::now();
    let moved = |name, from| Kept { moved_from: Some(from), ..kept(name, Some(now + Duration::from_secs(60))) };
    let lengthened = vec![moved("expired", now), moved("had time", now + Duration::from_secs(1))];
    let mut settling = owed(vec![kept("lost", None)], Some(lengthened), now);
    ["expired", "had time", "lost"].iter().for_each(|name| settling.note_gone(kept(name, None).id, now));
    assert_eq!(taken(&mut settling, now).iter().map(|kept| kept.id).collect::<Vec<_>>(), [kept("expired", None).id]);
}

#[test]
fn more_is_asked_for_until_the_mirror_has_said_all() {
    let now = Instant::now();
    let mut settling = Settling::new(vec![kept("lost", None)], now);
    assert_eq!(settling.lacks(1), None, "there is something to do");
    assert_eq!(settling.lacks(3), Some((now, 2)));
    settling.owe(Some(Settlement { moved: Vec::new(), is_last: false }));
    assert_eq!(taken(&mut settling, now).len(), 1);
    assert!(!settling.is_done(), "an answer without anything is not the last one");
    settling.owe(Some(Settlement { moved: Vec::new(), is_last: true }));
    assert!(settling.is_done() && settling.lacks(3).is_none());
    let later = now + Duration::from_secs(1);
    settling.begin_again(later);
    assert_eq!(settling.lacks(3), Some((later, 3)), "the outage has gone on");
}
