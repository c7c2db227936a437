//! Selections, compared with the simplest evaluation, and how they are remembered.

use std::cell::Cell;

use super::*;
use crate::registration::{Content, LabelNames, Registration, TargetId, TtlBounds};
use crate::registry::allowance::{Asker, QuestionTurns};
use crate::registry::criteria::Scope;
use crate::registry::label_selector::LabelSelector;
use crate::registry::list::{List, Listed};
use crate::registry::render::Form;

/// A client that leaves after this many questions whether it still waits.
struct Patience(Cell<usize>);

impl Asker for Patience {
    fn is_waiting(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

fn new() -> Selections {
    Selections::new(&prometheus::Registry::new())
}

fn criteria(selector: &str, form: Form) -> Criteria {
    let labels = LabelSelector::parse(selector).unwrap();
    Criteria { labels, ..Criteria::of(Scope::All, form) }
}

fn shown(n: u32, value: u32, bulk: usize) -> Listed {
    let bulk = "x".repeat(bulk);
    let labels = format!(r#"{{"v":"{}","w":"{}","bulk":"{bulk}"}}"#, value % 3, value % 5);
    let body = format!(r#"{{"static_config":{{"targets":["host-{n}:9100"],"labels":{labels}}}}}"#);
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    Listed { id: registration.id(), content: Content::new(&registration) }
}

fn select_within(
    selections: &Selections,
    criteria: &Criteria,
    list: &mut List,
    patience: usize,
) -> Result<Arc<Snapshot>, Unanswered> {
    let (asker, turns) = (Patience(Cell::new(patience)), QuestionTurns::new());
    selections.select(criteria, false, &Allowance::new(&asker, &turns), || Ok(list.snapshot()))
}

fn select(selections: &Selections, criteria: &Criteria, list: &mut List) -> Arc<Snapshot> {
    select_within(selections, criteria, list, usize::MAX).unwrap()
}

fn expected(criteria: &Criteria, list: &mut List) -> Vec<TargetId> {
    let source = list.snapshot();
    source.registrations().filter(|(id, content)| criteria.meets(*id, content)).map(|(id, _)| id).collect()
}

#[test]
fn a_selection_is_what_meets_the_criteria_whatever_changes_between_polls() {
    let selections = new();
    let all: Vec<Criteria> =
        [("v=1", Form::Plain), ("!x", Form::Described), ("w!=0,v in (0,2)", Form::Plain), ("x", Form::Plain)]
            .map(|(selector, form)| criteria(selector, form))
            .into();
    let (mut list, mut ids) = (List::default(), Vec::new());
    for step in 0..3000_u32 {
        // It grows over some borders, and then it shrinks again.
        if step < 2000 {
            let shown = shown(step.wrapping_mul(2_654_435_761) % 1500, step, 0);
            ids.push(shown.id);
            list.insert(shown);
        } else {
            list.remove(ids.swap_remove(step as usize % ids.len()));
        }
        if step % 37 == 0 {
            // Not all are polled each time.
            let polled = all.iter().filter(|_| fastrand::bool());
            for criteria in polled {
                let found: Vec<TargetId> =
                    select(&selections, criteria, &mut list).registrations().map(|(id, _)| id).collect();
                assert_eq!(found, expected(criteria, &mut list), "step {step}");
            }
        }
    }
}

#[test]
fn a_poll_works_out_only_what_has_changed() {
    let (selections, criteria) = (new(), criteria("v=1", Form::Described));
    let mut list = List::default();
    (0..3000).for_each(|n| list.insert(shown(n, n, 0)));
    let before = select(&selections, &criteria, &mut list);
    assert!(Arc::ptr_eq(&before, &select(&selections, &criteria, &mut list)), "nothing has changed");
    assert_eq!((selections.builds.get(), selections.hits.get()), (1, 1));
    list.insert(shown(7, 8, 0));
    let after = select(&selections, &criteria, &mut list);
    let changed = before.segments().iter().zip(after.segments()).filter(|(a, b)| !Arc::ptr_eq(a, b));
    assert_eq!((changed.count(), before.segments().len() > 4), (1, true));
    assert_ne!(before.rendering(false).hash, after.rendering(false).hash);
}

#[test]
fn selections_that_have_all_of_a_segment_share_it() {
    let selections = new();
    let mut list = List::default();
    (0..3000).for_each(|n| list.insert(shown(n, n, 0)));
    for form in [Form::Plain, Form::Described] {
        let lists = ["bulk", "!x", "v!=9"].map(|selector| select(&selections, &criteria(selector, form), &mut list));
        let parts = lists.map(|list| list.rendering(false).parts);
        let shared = parts[0].iter().zip(parts[1].iter().zip(parts[2].iter()));
        let shared = shared.filter(|(a, (b, c))| a.len() > 2 && Arc::ptr_eq(a, b) && Arc::ptr_eq(a, c));
        assert_eq!(shared.count(), list.snapshot().segments().len());
    }
}

#[test]
fn what_was_worked_out_when_somebody_left_is_known_to_the_next_one() {
    let (selections, criteria) = (new(), criteria("bulk,v=1", Form::Plain));
    let mut list = List::default();
    (0..3000).for_each(|n| list.insert(shown(n, n, 3000)));
    // Some 20 MB are examined, and the client is asked after every quarter of one.
    let mut tries = 0;
    let found = loop {
        tries += 1;
        match select_within(&selections, &criteria, &mut list, 15) {
            Ok(found) => break found,
            Err(given_up) => assert_eq!(given_up, Unanswered::Left),
        }
        assert!(tries < 20, "each try goes on where the last one ended");
    };
    assert!(tries > 3, "{tries} tries");
    assert_eq!(found.registrations().map(|(id, _)| id).collect::<Vec<_>>(), expected(&criteria, &mut list));
}

#[test]
fn those_that_are_polled_are_remembered_and_all_together_are_bounded() {
    let selections = new();
    let mut list = List::default();
    (0..300).for_each(|n| list.insert(shown(n, n, 3000)));
    let polled = criteria("bulk", Form::Plain);
    let first = select(&selections, &polled, &mut list);
    select(&selections, &polled, &mut list);
    let bytes_max = BYTES_MIN.max(LISTS_MAX * list.snapshot().byte_count());
    for n in 0..60 {
        select(&selections, &criteria(&format!("!n{n},w!=0"), Form::Described), &mut list);
        assert!(selections.size().1 <= bytes_max);
    }
    let (count, bytes) = selections.size();
    assert!((30..50).contains(&count) && bytes > bytes_max / 2, "{count} selections of {bytes} bytes");
    assert!(Arc::ptr_eq(&first, &select(&selections, &polled, &mut list)), "it is polled");
    selections.forget_unused(Instant::now() + UNUSED_MAX);
    assert_eq!(selections.size(), (0, 0));
    assert_eq!(select(&selections, &polled, &mut list).rendering(false).hash, first.rendering(false).hash);
}

#[test]
fn what_was_given_up_at_its_beginning_takes_no_more_than_is_counted() {
    let (selections, criteria) = (new(), criteria("bulk", Form::Described));
    let mut list = List::default();
    (0..3000).for_each(|n| list.insert(shown(n, n, 3000)));
    assert!(select_within(&selections, &criteria, &mut list, 1).is_err());
    let selection = selections.selection(&criteria, Instant::now());
    let selection = selection.lock();
    let unknown = selection.parts.iter().filter(|part| part.of.upgrade().is_none());
    let own = unknown.clone().filter(|part| !Arc::ptr_eq(&part.selected, &selection.nothing));
    assert_eq!((unknown.count() > 4, own.count()), (true, 0), "each of them takes memory");
}

#[test]
fn what_is_asked_for_in_vain_is_bounded_too() {
    let (selections, turns) = (new(), QuestionTurns::new());
    for n in 0..BYTES_MIN / SELECTION_BYTES + 1 {
        let asker = Patience(Cell::new(usize::MAX));
        let criteria = criteria(&format!("!n{n}"), Form::Plain);
        let found = selections.select(&criteria, false, &Allowance::new(&asker, &turns), || Err(Unanswered::NotLoaded));
        assert_eq!(found.err(), Some(Unanswered::NotLoaded));
    }
    let (count, bytes) = selections.size();
    assert!(bytes <= BYTES_MIN && (1000..BYTES_MIN / SELECTION_BYTES).contains(&count), "{count} of {bytes} bytes");
}

#[test]
fn a_selection_that_is_worked_out_holds_up_no_other() {
    let selections = new();
    let mut list = List::default();
    list.insert(shown(1, 1, 0));
    let held = selections.selection(&criteria("v", Form::Plain), Instant::now());
    let _held = held.lock();
    assert_eq!(select(&selections, &criteria("w", Form::Plain), &mut list).len(), 1);
    let late = select_within(&selections, &criteria("v", Form::Plain), &mut list, 3);
    assert_eq!(late.err(), Some(Unanswered::Left));
}
