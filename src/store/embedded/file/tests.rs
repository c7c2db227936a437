//! The file alone, without a writer.

use super::*;

#[test]
fn the_parts_of_a_file_are_the_whole_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = DocumentFile::open_or_create(directory.path()).unwrap();
    // Among them are the first and the last id there can be, and those at which parts begin and end.
    let edges = (0..=u8::MAX).flat_map(|first| [[first; 16], [first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]);
    let ids: std::collections::BTreeSet<TargetId> = edges.map(TargetId::from_bytes).collect();
    file.change(1, |records| ids.iter().try_for_each(|id| records.put(*id, 7, &id.to_bytes()))).unwrap();
    for count in [1, 2, 3, 4, 7, 256] {
        let parts: Vec<Part> = Part::all(count).collect();
        assert_eq!(parts.len(), count);
        let mut found = Vec::new();
        for part in parts {
            let before = found.len();
            file.for_each(part, |id, deadline, _, document| {
                assert_eq!((deadline, document), (7, id.to_bytes().as_slice()));
                found.push(id);
            })
            .unwrap();
            let even = ids.len() / count;
            let here = found.len() - before;
            assert!((even / 2..=2 * even).contains(&here), "{count}: {here}");
        }
        assert!(found.iter().eq(&ids), "{count}");
    }
}

fn id(n: u8) -> TargetId {
    TargetId::from_bytes([n; 16])
}

#[test]
fn the_deadline_that_an_owner_gave_stands_beside_the_one_that_outages_have_moved() {
    let directory = tempfile::tempdir().unwrap();
    let file = DocumentFile::open_or_create(directory.path()).unwrap();
    let stored = |file: &DocumentFile| {
        let mut all = Vec::new();
        file.for_each(Part::all(1).next().unwrap(), |_, deadline, original, _| all.push((deadline, original))).unwrap();
        all
    };
    file.change(1, |records| (1..=4).try_for_each(|n| records.put(id(n), 100, b"x"))).unwrap();
    file.change(2, |records| (1..=4).try_for_each(|n| records.lengthen(id(n), 200))).unwrap();
    file.change(3, |records| records.lengthen(id(1), 300).and_then(|()| records.lengthen(id(1), 250))).unwrap();
    file.change(4, |records| records.put(id(2), 400, b"x")).unwrap();
    file.change(5, |records| records.remove(id(3)).map(drop)).unwrap();
    assert_eq!(stored(&file), [(300, Some(100)), (400, None), (200, Some(100))]);
    // An older version renews it, without knowing the other table.
    let transaction = file.database.begin_write().unwrap();
    transaction.open_table(DOCUMENTS).unwrap().insert(id(4).to_bytes(), (500, b"x".as_slice())).unwrap();
    transaction.commit().unwrap();
    assert_eq!(stored(&file), [(300, Some(100)), (400, None), (500, None)]);
    file.change(6, |records| records.lengthen(id(4), 600)).unwrap();
    assert_eq!(stored(&file), [(300, Some(100)), (400, None), (600, Some(500))]);
}

#[test]
fn a_look_at_deadlines_is_bounded_by_what_it_has_to_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = DocumentFile::open_or_create(directory.path()).unwrap();
    file.change(1, |records| (0..9).try_for_each(|n| records.put(id(n), n.into(), &[0; 100]))).unwrap();
    let after = |last, count, bytes| {
        let found = file.deadlines_after(last, count, bytes).unwrap();
        found.into_iter().map(|(_, deadline)| deadline).collect::<Vec<u64>>()
    };
    assert_eq!(after(None, 4, 1000), [0, 1, 2, 3]);
    assert_eq!(after(Some(id(3)), 4, 150), [4, 5]);
    assert_eq!(after(Some(id(5)), 4, 0), [6]);
    assert_eq!(after(Some(id(6)), 4, 1000), [7, 8]);
    assert!(after(Some(id(8)), 4, 1000).is_empty());
}
