//! How much goes into a round.

use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::registration::{Content, LabelNames, Registration, TtlBounds};
use crate::store::Change;

fn kept(n: u32, text: &str) -> Kept {
    let body = format!(r#"{{"static_config":{{"targets":["{n}"],"labels":{{"a":"{text}"}}}}}}"#);
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    Kept {
        id: registration.id(),
        content: Content::new(&registration),
        updated_at: SystemTime::UNIX_EPOCH,
        deadline: None,
        moved_from: None,
        written_at: None,
    }
}

#[test]
fn large_documents_are_put_back_in_several_rounds() {
    let text = "<".repeat(50_000);
    let now = Instant::now();
    let mut settling = Settling::new((0..20).map(|n| kept(n, &text)).collect(), now);
    settling.owe(None);
    let mut rounds = 0;
    while !settling.is_done() {
        let mut round = Round::default();
        round.settle(&mut settling, 1000, now, true);
        let bytes = round.pipeline.get_packed_pipeline().len();
        assert!(bytes <= SETTLED_BYTES + DOCUMENT_BYTES_MAX, "{bytes}");
        rounds += 1;
    }
    assert_eq!(rounds, 2);
}

#[test]
fn what_a_round_commits_is_not_put_back_by_it() {
    let (all, now) = ([1, 2, 3].map(|n| kept(n, "x")), Instant::now());
    let [deleted, ..] = all.each_ref().map(|kept| kept.id);
    let mut settling = Settling::new(all.into(), now);
    settling.owe(None);
    let settle = |settling: &mut Settling, commits: &[TargetId]| {
        let updates: Vec<Update> = commits.iter().map(|id| Update::Delete { id: *id, by: None }).collect();
        let mut round = Round::default();
        round.commit(vec![Write::unasked(updates, Arc::new(|_, _| true), now + ANSWER_MAX)]);
        round.settle(settling, 1000, now, true);
        round
            .pipeline
            .cmd_iter()
            .filter(|command| matches!(command.args_iter().next(), Some(::redis::Arg::Simple(b"SET"))))
            .count()
    };
    assert_eq!(settle(&mut settling, &[deleted]), 2);
    assert!(!settling.is_done(), "whether it is deleted is not known yet");
    assert_eq!(settle(&mut settling, &[]), 1);
    assert!(settling.is_done());
}

#[test]
fn a_portion_that_was_too_large_is_made_as_small_as_it_has_to_be_at_once() {
    let mut portion = Portion::default();
    for _ in 0..10 {
        portion.adapt(portion.ids, 1000);
    }
    assert_eq!(portion.ids, ROUND_IDS_MAX);
    portion.adapt(ROUND_IDS_MAX, 100 * ROUND_BYTES);
    assert_eq!(portion.ids, 10);
    portion.adapt(10, 20 * ROUND_BYTES);
    assert_eq!(portion.ids, 1, "one is always read");
}

#[test]
fn where_values_are_watched_slow_rounds_become_shorter() {
    let mut portion = Portion { ids: ROUND_IDS_MAX };
    (0..20).for_each(|_| portion.adapt_watching(portion.ids, 0, 2 * TURN));
    assert_eq!(portion.ids, SLOW_ROUND_IDS);
    portion.adapt_watching(SLOW_ROUND_IDS, 2 * ROUND_BYTES, 2 * TURN);
    assert_eq!(portion.ids, SLOW_ROUND_IDS / 2, "large values are a matter of their own");
    (0..20).for_each(|_| portion.adapt_watching(portion.ids, 0, Duration::ZERO));
    assert_eq!(portion.ids, ROUND_IDS_MAX);
}

#[test]
fn a_round_reads_no_more_than_it_may_however_large_the_values_are() {
    let ids: BTreeSet<TargetId> = (0..1000).map(|n: u32| TargetId::of(&[n.to_string()])).collect();
    let read = |ids: &BTreeSet<TargetId>, whole: &BTreeSet<TargetId>| {
        let mut round = Round::default();
        round.fetch(ids, whole.clone());
        let (mut bytes, mut answers) = (0, Vec::new());
        for command in round.pipeline.cmd_iter() {
            let arguments: Vec<_> = command.args_iter().collect();
            let [_, _, _, ::redis::Arg::Simple(last)] = arguments[..] else {
                answers.push(Value::Int(-1));
                continue;
            };
            // Each value is as large as it can be.
            let size = std::str::from_utf8(last).unwrap().parse::<usize>().unwrap().min(DOCUMENT_BYTES_MAX - 1) + 1;
            bytes += size;
            answers.push(Value::BulkString(vec![b'x'; size]));
        }
        assert!(bytes <= ROUND_BYTES_MAX + ROUND_BYTES + ids.len(), "{bytes}");
        round.read(answers, Instant::now()).unwrap()
    };
    let (together, none) = (read(&ids, &BTreeSet::new()), BTreeSet::new());
    assert!(together.changes.is_empty() && together.again == ids);
    let mut portion = Portion { ids: ROUND_IDS_MAX };
    portion.adapt(together.count, together.bytes);
    assert!(portion.ids <= ROUND_IDS_MAX / 2, "{} of them are read next time", portion.ids);
    let whole: BTreeSet<TargetId> = ids.iter().take(AGAIN_MAX).copied().collect();
    assert_eq!(read(&none, &whole).changes.len(), AGAIN_MAX);
    assert_eq!(read(&ids, &whole).changes.len(), AGAIN_MAX, "beside others");
    let few: BTreeSet<TargetId> = ids.iter().take(ROUND_BYTES_MAX / DOCUMENT_BYTES_MAX).copied().collect();
    assert_eq!(read(&few, &none).changes.len(), few.len());
}

#[test]
fn what_was_put_between_the_two_questions_is_not_taken_for_an_empty_value() {
    let (id, now) = (TargetId::NIL, Instant::now());
    let read = |value: &str, left: i64, is_again: bool| {
        let (mut round, id) = (Round::default(), BTreeSet::from([id]));
        let again = if is_again { id.clone() } else { BTreeSet::new() };
        round.fetch(&id, again);
        round.read(vec![Value::BulkString(value.into()), Value::Int(left)], now).unwrap()
    };
    for left in [-1, 1, 60_000] {
        let first = read("", left, false);
        assert!(first.changes.is_empty(), "{left}");
        assert_eq!(first.again, [id].into());
        assert!(matches!(read("", left, true).changes[..], [Change::Put { .. }]), "it is empty");
    }
    assert!(matches!(read("", -2, false).changes[..], [Change::Gone(_)]));
    assert!(matches!(read("", 0, false).changes[..], [Change::Gone(_)]), "it expires at this very moment");
    assert!(matches!(read("x", 5, false).changes[..], [Change::Put { .. }]));
}
