//! What a condition compares and what it decodes.

use std::time::Duration;

use super::*;
use crate::registration::{LabelNames, Registration, TtlBounds};
use crate::registry::{GroupPattern, Rules};
use crate::store::{Change, Mirror, Stored};

fn content(text: &str) -> (TargetId, Content) {
    let static_config = serde_json::json!({"targets": ["a:1"], "labels": {"text": text}, "target_group": "g"});
    let body = serde_json::json!({ "static_config": static_config }).to_string();
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    (registration.id(), Content::new(&registration))
}

fn principal(group: &str) -> Principal {
    let scope = Scope::Groups(vec![GroupPattern::Name(group.to_owned())]);
    Principal { name: "somebody".into(), scope }
}

/// Whether both are one in memory: neither was decoded from a value.
fn are_one(one: &Content, other: &Content) -> bool {
    std::ptr::eq(one.targets_json(), other.targets_json())
}

#[test]
fn what_was_seen_or_is_shown_is_not_decoded_again_however_often_it_was_renewed() {
    let view = Arc::new(View::new(Rules::USUAL, &prometheus::Registry::new()));
    view.loaded();
    let (id, shown) = content(&"<".repeat(1000));
    let updated_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let stored = Stored::Own { content: shown.clone(), updated_at, by: None };
    view.apply(vec![Change::Put { id, stored, deadline: None, original: None }]);
    let renewed = shown.document(id, updated_at + Duration::from_secs(60));
    let (other_id, other) = content("other");
    assert_eq!(id, other_id);

    let writer = principal("g");
    for seen in [None, Some(Seen::Showing(shown.clone(), None)), Some(Seen::Showing(other.clone(), None))] {
        let seen = seen.into_iter().map(|seen| (id, seen)).collect();
        let condition = Condition::of(&view, &writer, seen).unwrap();
        let (read, written_at) = condition.read(id, &renewed, Instant::now()).unwrap();
        assert!(are_one(&read, &shown));
        assert_eq!(written_at, Some(updated_at + Duration::from_secs(60)));
        // A value that is neither is decoded, and one that is no document stays unreadable.
        let (read, _) = condition.read(id, &content("third").1.document(id, updated_at), Instant::now()).unwrap();
        assert_eq!(read, content("third").1);
        assert!(condition.read(id, b"{}", Instant::now()).is_none());
        assert!(condition.read(id, &renewed[..renewed.len() - 1], Instant::now()).is_none());
    }
    let condition = Condition::of(&view, &principal("h"), HashMap::new()).unwrap();
    assert_eq!(condition.check(id, Some(&renewed)), Err(Objection::Forbidden));
    let condition = Condition::of(&view, &writer, [(id, Seen::Showing(other, None))].into()).unwrap();
    assert_eq!(condition.check(id, Some(&renewed)), Err(Objection::Changed));
    let condition = Condition::of(&view, &writer, [(id, Seen::Showing(shown, None))].into()).unwrap();
    assert_eq!(condition.check(id, Some(&renewed)), Ok(()));
}
