//! How much goes into a round.

use std::time::SystemTime;

use super::*;
use crate::registration::{Content, LabelNames, Registration, TtlBounds};

#[test]
fn large_documents_are_put_back_in_several_rounds() {
    let text = "<".repeat(50_000);
    let large = |n: u32| {
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
    };
    let now = Instant::now();
    let mut settling = Settling::new((0..20).map(large).collect(), now);
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
    (0..20).for_each(|_| portion.adapt_watching(portion.ids, 0, 2 * WATCHING_TURN));
    assert_eq!(portion.ids, SLOW_ROUND_IDS);
    portion.adapt_watching(SLOW_ROUND_IDS, 2 * ROUND_BYTES, 2 * WATCHING_TURN);
    assert_eq!(portion.ids, SLOW_ROUND_IDS / 2, "large values are a matter of their own");
    (0..20).for_each(|_| portion.adapt_watching(portion.ids, 0, Duration::ZERO));
    assert_eq!(portion.ids, ROUND_IDS_MAX);
}
