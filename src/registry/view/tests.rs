//! Time is passed in, so that hours go by without sleeping.

use super::*;

const RULES: Rules =
    Rules { names: LabelNames::Legacy, ttl: Ttl::DEFAULT, outage_keep: Duration::from_secs(24 * 3600) };

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A loaded view and the time of its start.
fn view() -> (View, Instant) {
    let view = View::new(RULES);
    let start = Instant::now();
    view.loaded_at(start);
    (view, start)
}

fn id(n: u8) -> TargetId {
    TargetId::of(&[format!("host-{n}:9100")])
}

fn put(n: u8, group: &str, expires_in: Option<Duration>) -> Change {
    let value = format!(r#"{{"targets":["host-{n}:9100"],"labels":{{}},"target_group":"{group}"}}"#);
    Change::Put { id: id(n), value: value.into_bytes(), expires_in }
}

fn text(snapshot: &Snapshot) -> String {
    String::from_utf8(snapshot.json().parts.concat()).unwrap()
}

#[track_caller]
fn check_shown(view: &View, now: Instant, numbers: &[u8]) {
    let list = text(&view.all(now).unwrap().0);
    let mut shown: Vec<(TargetId, u8)> = numbers.iter().map(|n| (id(*n), *n)).collect();
    shown.sort();
    let entries: Vec<String> =
        shown.iter().map(|(_, n)| format!(r#"{{"targets":["host-{n}:9100"],"labels":{{}}}}"#)).collect();
    assert_eq!(list, format!("[{}]\n", entries.join(",")));
}

#[test]
fn nothing_is_shown_before_the_first_full_load() {
    let view = View::new(RULES);
    let now = Instant::now();
    view.apply_at(vec![put(1, "g", None)], now);
    assert_eq!(view.all(now).unwrap_err(), NotLoaded);
    assert_eq!(view.group("g", now).unwrap_err(), NotLoaded);
    view.lost_at(now);
    assert_eq!(view.all(now).unwrap_err(), NotLoaded);
    view.loaded_at(now);
    check_shown(&view, now, &[1]);
}

#[test]
fn a_registration_ends_with_its_lifetime_and_not_a_moment_before() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(seconds(60))), put(2, "g", Some(seconds(61)))], start);
    check_shown(&view, start + seconds(60) - Duration::from_nanos(1), &[1, 2]);
    check_shown(&view, start + seconds(60), &[2]);
    check_shown(&view, start + seconds(61), &[]);
    assert_eq!(view.expire(start + seconds(61)), [id(1), id(2)]);
    assert_eq!(view.counts(start + seconds(61)).groups, 0);
}

#[test]
fn a_renewal_moves_the_deadline_and_renders_nothing_anew() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(seconds(60)))], start);
    let before = view.all(start).unwrap().0;
    view.apply_at(vec![put(1, "g", Some(seconds(60)))], start + seconds(30));
    let after = view.all(start + seconds(89)).unwrap().0;
    assert!(Arc::ptr_eq(&before, &after));
    check_shown(&view, start + seconds(90), &[]);
}

#[test]
fn a_change_of_group_leaves_the_old_group() {
    let (view, now) = view();
    view.apply_at(vec![put(1, "old", None), put(2, "old", None)], now);
    view.apply_at(vec![put(1, "new", None)], now);
    let group = |name| text(&view.group(name, now).unwrap().0);
    assert_eq!(group("old"), "[{\"targets\":[\"host-2:9100\"],\"labels\":{}}]\n");
    assert_eq!(group("new"), "[{\"targets\":[\"host-1:9100\"],\"labels\":{}}]\n");
    assert_eq!(group("none"), "[]\n");
    check_shown(&view, now, &[1, 2]);
}

#[test]
fn what_ran_out_while_the_store_was_lost_is_kept_until_owners_could_renew() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(seconds(60))), put(2, "g", Some(seconds(9000)))], start);
    view.lost_at(start + seconds(30));
    let (list, stale) = view.all(start + seconds(100)).unwrap();
    assert_eq!(stale, Some(seconds(70)));
    assert!(text(&list).contains("host-1"));
    // The store has dropped it, and says so when it is back; that is no reason to forget it.
    let back = start + seconds(200);
    assert!(view.missing_from_at(&HashSet::from([id(2)]), back).is_empty());
    view.apply_at(vec![Change::Remove(id(1))], back);
    view.loaded_at(back);
    let grace = Ttl::DEFAULT.duration().unwrap();
    view.apply_at(vec![Change::Remove(id(1))], back + seconds(1));
    assert!(text(&view.all(back + seconds(1)).unwrap().0).contains("host-1"));
    assert!(!text(&view.all(back + grace).unwrap().0).contains("host-1"));
}

#[test]
fn keeping_has_an_end() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(seconds(60)))], start);
    view.lost_at(start);
    check_shown(&view, start + seconds(60) + RULES.outage_keep - seconds(1), &[1]);
    check_shown(&view, start + seconds(60) + RULES.outage_keep, &[]);
}

#[test]
fn without_keeping_an_outage_changes_no_lifetime() {
    let view = View::new(Rules { outage_keep: Duration::ZERO, ..RULES });
    let start = Instant::now();
    view.loaded_at(start);
    view.apply_at(vec![put(1, "g", Some(seconds(60)))], start);
    view.lost_at(start);
    check_shown(&view, start + seconds(59), &[1]);
    check_shown(&view, start + seconds(60), &[]);
}

#[test]
fn a_kept_registration_can_be_deleted_and_renewed() {
    let (view, start) = view();
    view.apply_at(vec![put(1, "g", Some(seconds(60))), put(2, "g", Some(seconds(60)))], start);
    view.lost_at(start);
    let back = start + seconds(100);
    view.loaded_at(back);
    assert!(view.remove_kept(id(1), back));
    assert!(!view.remove_kept(id(1), back));
    view.apply_at(vec![put(2, "g", Some(seconds(60)))], back);
    assert!(!view.remove_kept(id(2), back));
    check_shown(&view, back + seconds(59), &[2]);
    check_shown(&view, back + seconds(60), &[]);
}

#[test]
fn an_unfit_value_is_left_out_and_counted_until_it_is_repaired() {
    let (view, now) = view();
    view.apply_at(vec![put(1, "g", None), put(2, "g", None)], now);
    for value in [
        "",
        "null",
        "{}",
        "[]",
        r#"{"targets":[]}"#,
        r#"{"targets":[""]}"#,
        r#"{"targets":["a"],"labels":{"x-y":"z"}}"#,
        r#"{"targets":["a"],"labels":{"":"z"}}"#,
        r#"{"targets":["a"],"labels":{"x":1}}"#,
        r#"{"targets":["a"],"updated_at":1}"#,
        r#"{"targets":["a"]}x"#,
        r#"{"targets":["a"],"id":"x"}"#,
    ] {
        view.apply_at(vec![Change::Put { id: id(1), value: value.into(), expires_in: None }], now);
        check_shown(&view, now, &[2]);
        assert_eq!(view.counts(now).quarantined, 1, "{value}");
    }
    view.apply_at(vec![put(1, "g", None)], now);
    check_shown(&view, now, &[1, 2]);
    assert_eq!(view.counts(now).quarantined, 0);
}

#[test]
fn what_a_store_lost_can_be_given_back_as_it_was() {
    let (view, now) = view();
    let registration = crate::registration::Registration::parse(
        br#"{"static_config":{"targets":["a:1"]}}"#,
        LabelNames::Legacy,
        Default::default(),
    );
    let (id, content) = (TargetId::of(&["a:1".into()]), Content::new(&registration.unwrap()));
    let document = content.document(id, SystemTime::UNIX_EPOCH + seconds(1_795_411_155));
    let change = Change::Put { id, value: document.clone(), expires_in: Some(seconds(60)) };
    view.apply_at(vec![change, put(2, "g", None)], now);
    let missing = view.missing_from_at(&HashSet::from([self::id(2)]), now + seconds(20));
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].id, &missing[0].document), (id, &document));
    assert_eq!(missing[0].expires_in, Some(seconds(40)));
}
