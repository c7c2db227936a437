//! A list, compared with the simplest one.

use std::collections::BTreeMap;

use super::*;
use crate::registration::{LabelNames, Registration, TtlBounds};

fn shown(n: u32, value: u32) -> Listed {
    let body = format!(r#"{{"static_config":{{"targets":["host-{n}:9100"],"labels":{{"v":"{value}"}}}}}}"#);
    let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
    Listed { id: registration.id(), content: Content::new(&registration) }
}

fn text(snapshot: &Snapshot) -> String {
    String::from_utf8(snapshot.rendering(false).parts.concat()).unwrap()
}

fn expected(model: &BTreeMap<TargetId, (u32, u32)>) -> String {
    let entry = |(n, value): &(u32, u32)| format!(r#"{{"targets":["host-{n}:9100"],"labels":{{"v":"{value}"}}}}"#);
    format!("[{}]\n", model.values().map(entry).collect::<Vec<_>>().join(","))
}

#[test]
fn a_list_equals_a_sorted_map_while_it_grows_changes_and_shrinks() {
    let (mut list, mut model) = (List::default(), BTreeMap::new());
    // Multiplying by an odd number visits all residues, in an order that looks random.
    for step in 0..6000_u32 {
        let (n, value) = (step.wrapping_mul(2_654_435_761) % 3000, step);
        let shown = shown(n, value);
        model.insert(shown.id, (n, value));
        list.insert(shown);
        if step % 500 == 0 {
            assert_eq!(text(&list.snapshot()), expected(&model));
        }
    }
    assert!(list.segments.len() > 1);
    let ids: Vec<TargetId> = model.keys().copied().collect();
    for (at, id) in ids.iter().enumerate() {
        list.remove(*id);
        list.remove(*id);
        model.remove(id);
        assert_eq!(list.len(), model.len());
        if at % 500 == 0 {
            assert_eq!(text(&list.snapshot()), expected(&model));
        }
    }
    assert_eq!(text(&list.snapshot()), "[]\n");
    assert_eq!(list.segments.len(), 1);
}

#[test]
fn a_list_goes_on_behind_an_id_and_what_is_skipped() {
    let mut entries: Vec<Listed> = (0..3000).map(|n| shown(n, 0)).collect();
    entries.sort_by_key(|shown| shown.id);
    let ids: Vec<TargetId> = entries.iter().map(|shown| shown.id).collect();
    let list = List::of_sorted(entries).snapshot();
    assert!(list.segments.len() > 4);
    for (from, after) in [(0, None), (1, Some(ids[0])), (1700, Some(ids[1699])), (3000, Some(ids[2999]))] {
        for skip in [0, 1, 255, 256, 700, 2999, 3000, usize::MAX] {
            let found: Vec<TargetId> = list.after(after, skip).map(|(id, _)| id).collect();
            assert_eq!(found, ids[from..].iter().skip(skip).copied().collect::<Vec<_>>(), "{from} {skip}");
        }
    }
    assert_eq!(List::default().snapshot().after(Some(ids[0]), 1).count(), 0);
}

#[test]
fn a_list_made_at_once_equals_one_that_grew() {
    for len in [0, 1, 2, 511, 512, 513, 1024, 1025, 3000] {
        let mut entries: Vec<Listed> = (0..len).map(|n| shown(n, 0)).collect();
        entries.sort_by_key(|shown| shown.id);
        let mut grown = List::default();
        entries.iter().for_each(|shown| grown.insert(shown.clone()));
        let mut made = List::of_sorted(entries);
        for _ in 0..2 {
            assert_eq!((made.len(), made.segments.len()), (grown.len(), grown.segments.len()), "{len}");
            assert_eq!(text(&made.snapshot()), text(&grown.snapshot()), "{len}");
            assert_eq!(made.snapshot().rendering(false).hash, grown.snapshot().rendering(false).hash, "{len}");
            // And so it stays.
            for list in [&mut made, &mut grown] {
                list.remove(shown(0, 0).id);
                list.insert(shown(len + 1, 0));
            }
        }
    }
}

#[test]
fn equal_lists_have_equal_hashes_however_they_came_about() {
    let (mut grown, mut fresh) = (List::default(), List::default());
    assert_eq!(grown.snapshot().rendering(false).hash, fresh.snapshot().rendering(false).hash);
    for n in 0..700 {
        grown.insert(shown(n, 0));
    }
    for n in 300..700 {
        grown.remove(shown(n, 0).id);
    }
    for n in 0..300 {
        fresh.insert(shown(n, 0));
    }
    assert_ne!(grown.segments.len(), fresh.segments.len());
    assert_eq!(grown.snapshot().rendering(false).hash, fresh.snapshot().rendering(false).hash);
    let before = fresh.snapshot().rendering(false).hash;
    fresh.insert(shown(0, 1));
    assert_ne!(fresh.snapshot().rendering(false).hash, before);
}

#[test]
fn a_snapshot_stays_what_it_was_and_shares_what_did_not_change() {
    let mut list = List::default();
    for n in 0..2000 {
        list.insert(shown(n, 0));
    }
    let before = list.snapshot();
    let (text_before, parts_before) = (text(&before), before.rendering(false).parts);
    list.insert(shown(7, 1));
    let parts_after = list.snapshot().rendering(false).parts;
    assert_eq!(text(&before), text_before);
    let changed = parts_before.iter().zip(parts_after.iter()).filter(|(a, b)| !Arc::ptr_eq(a, b) && a.len() > 2);
    assert_eq!(changed.count(), 1);
}

#[test]
fn the_series_are_compressed_once_per_change_of_their_segment() {
    let mut entries: Vec<Listed> = (0..3000).map(|n| shown(n, 0)).collect();
    entries.sort_by_key(|listed| listed.id);
    let mut list = List::of_sorted(entries);
    let parts = |list: &mut List| list.snapshot().exposition(b"text".to_vec(), true, true).0;
    let shared = |a: &[Arc<[u8]>], b: &[Arc<[u8]>]| a.iter().zip(b).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    let first = parts(&mut list);
    // The header and the text come before the series, and the end of the stream after them.
    assert_eq!(shared(&first, &parts(&mut list)), first.len() - 3);
    list.insert(shown(3000, 0));
    assert_eq!(shared(&first, &parts(&mut list)), list.segments.len() - 1, "all but the changed one");
}
