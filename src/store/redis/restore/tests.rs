//! When what is missing was lost, and what is put back of it.

use super::*;

fn restart(gap_seconds: u64, append_only: bool) -> Restart {
    Restart { gap: Duration::from_secs(gap_seconds), append_only }
}

fn missing(name: &str, seconds: Option<u64>) -> Missing {
    let id = TargetId::of(&[name.to_owned()]);
    Missing { id, document: name.into(), expires_in: seconds.map(Duration::from_secs) }
}

#[test]
fn a_server_that_keeps_nothing_lost_whatever_is_missing_after_a_short_absence() {
    assert!(restart(60, false).lost(99, 1));
    assert!(!restart(61, false).lost(99, 1));
    assert!(!restart(0, true).lost(99, 1));
}

#[test]
fn when_at_least_half_is_missing_it_was_lost() {
    for append_only in [false, true] {
        assert!(restart(3600, append_only).lost(0, 1));
        assert!(restart(3600, append_only).lost(50, 50));
        assert!(!restart(3600, append_only).lost(51, 50));
    }
}

#[test]
fn when_nothing_is_missing_nothing_was_lost() {
    assert!(!restart(0, false).lost(0, 0));
    assert!(!restart(0, false).lost(10, 0));
}

#[test]
fn time_that_passes_while_restoring_counts() {
    let now = Instant::now();
    let mut restore =
        Restore::new(vec![missing("short", Some(5)), missing("long", Some(60)), missing("ever", None)], now);
    let mut left: Vec<_> = restore.take(10, now + Duration::from_secs(5)).into_iter().map(|m| m.expires_in).collect();
    left.sort();
    assert_eq!(left, [None, Some(Duration::from_secs(55))], "what ran out meanwhile is not put back");
    assert!(restore.is_done());
}

#[test]
fn what_someone_wrote_or_deleted_meanwhile_is_not_put_back() {
    let now = Instant::now();
    let mut restore = Restore::new(vec![missing("a", None), missing("b", None)], now);
    restore.forget(missing("a", None).id);
    assert_eq!(restore.take(1, now).len(), 1);
    assert!(restore.is_done());
}
