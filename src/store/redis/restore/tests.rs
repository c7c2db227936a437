//! When what is missing was lost.

use std::time::SystemTime;

use super::*;
use crate::registration::{Content, LabelNames, Registration, TtlBounds};

fn restart(gap_seconds: u64, append_only: bool) -> Restart {
    Restart { gap: Duration::from_secs(gap_seconds), last_contact: Instant::now(), append_only }
}

fn missing(name: &str, written_at: Option<Instant>, updated_at: u64) -> Kept {
    let body = format!(r#"{{"static_config":{{"targets":["{name}"]}}}}"#);
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    Kept {
        id: registration.id(),
        content: Content::new(&registration),
        updated_at: SystemTime::UNIX_EPOCH + Duration::from_secs(updated_at),
        deadline: None,
        moved_from: None,
        written_at,
    }
}

fn comparison(missing: Vec<Kept>, latest_write: Option<Instant>, latest_update: Option<u64>) -> Comparison {
    let latest_update = latest_update.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    Comparison { missing, latest_write, latest_update }
}

fn old(count: usize) -> Vec<Kept> {
    let long_ago = Some(Instant::now() - Duration::from_secs(100));
    (0..count).map(|n| missing(&n.to_string(), long_ago, 5)).collect()
}

#[test]
fn when_at_least_half_is_missing_it_was_lost() {
    let now = Some(Instant::now());
    for append_only in [false, true] {
        assert_eq!(restart(3600, append_only).lost(0, comparison(old(1), now, Some(9))).len(), 1);
        assert_eq!(restart(3600, append_only).lost(50, comparison(old(50), now, Some(9))).len(), 50);
        assert_eq!(restart(3600, append_only).lost(51, comparison(old(50), now, Some(9))).len(), 0);
    }
}

#[test]
fn after_a_moment_what_was_written_last_was_lost_and_what_was_written_before_was_deleted() {
    let saved = Instant::now();
    let later = |n: u64| Some(saved + Duration::from_millis(n));
    let gone = || vec![missing("before", Some(saved - Duration::from_millis(1)), 7), missing("after", later(1), 7)];
    let lost = |restart: Restart| restart.lost(10, comparison(gone(), Some(saved), Some(7)));
    assert_eq!(lost(restart(60, false)).iter().map(|kept| kept.id).collect::<Vec<_>>(), [gone()[1].id]);
    assert!(lost(restart(61, false)).is_empty());
    assert!(lost(restart(0, true)).is_empty());
}

#[test]
fn of_what_never_runs_out_the_clock_of_its_owner_tells_when_it_was_written() {
    let gone = || vec![missing("before", None, 6), missing("same second", None, 7), missing("after", None, 8)];
    let lost = restart(0, false).lost(10, comparison(gone(), Some(Instant::now()), Some(7)));
    assert_eq!(lost.len(), 2, "in doubt nothing is given up");
}
