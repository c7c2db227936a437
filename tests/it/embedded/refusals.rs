//! Files and directories in which the embedded store does not open: what it says, and that it leaves them alone.

use std::fs;
use std::path::Path;
use std::thread;

use inventor::registry::Registry;
use inventor::store::embedded::{EmbeddedStore, OpenError};
use tempfile::TempDir;

use super::{META, file, open, try_open};
use crate::store_contract::{hour, is_loaded, rules};

/// Opens the store and expects that to fail.
#[track_caller]
fn refused(directory: &Path) -> OpenError {
    let metrics = prometheus::Registry::new();
    let registry = Registry::new(rules(hour()), &metrics);
    let error = EmbeddedStore::open(directory, registry.view.clone(), &metrics).err().expect("the store does not open");
    assert!(!is_loaded(&registry));
    error
}

#[test]
fn a_file_that_is_open_is_refused_and_stays_open() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("inventor.redb is open in another process"), "{error}");
    node.put("a", "still works");
    drop(node);
    let node = open(directory.path());
    assert_eq!(node.shown("a").as_deref(), Some("still works"));
}

#[test]
fn of_many_that_create_the_file_at_once_one_gets_it() {
    for _ in 0..10 {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("data");
        let stores: Vec<_> = thread::scope(|scope| {
            let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| try_open(rules(hour()), &path))).collect();
            opening.into_iter().map(|opening| opening.join().unwrap()).collect()
        });
        assert_eq!(stores.iter().filter(|store| store.is_ok()).count(), 1);
        for error in stores.into_iter().filter_map(Result::err) {
            assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }
}

/// Expects that opening is refused as damage and leaves the bytes as they are.
#[track_caller]
fn refused_as_damaged(bytes: &[u8]) {
    let directory = TempDir::new().unwrap();
    fs::write(file(directory.path()), bytes).unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert_eq!(fs::read(file(directory.path())).unwrap(), bytes, "the file was changed");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// The bytes of a closed file with these many documents.
fn file_with(documents: usize) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    thread::scope(|scope| {
        for writer in 0..8 {
            let node = &node;
            scope.spawn(move || {
                for n in (writer..documents).step_by(8) {
                    node.put(&n.to_string(), &"x".repeat(300));
                }
            });
        }
    });
    drop(node);
    fs::read(file(directory.path())).unwrap()
}

#[test]
fn an_empty_file_is_damage() {
    refused_as_damaged(b"");
}

#[test]
fn what_is_no_database_is_damage() {
    refused_as_damaged(b"this is not a database");
    refused_as_damaged(&[0; 100_000]);
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u8).collect();
    refused_as_damaged(&noise);
}

#[test]
fn a_truncated_file_is_damage() {
    let whole = file_with(300);
    for length in [1, 10, 100, 4095, 4096, 8192, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        refused_as_damaged(&whole[..length]);
    }
}

#[test]
fn a_file_with_zeros_in_its_middle_is_damage() {
    let mut bytes = file_with(300);
    let middle = bytes.len() / 2;
    bytes[middle - 20_000..middle + 20_000].fill(0);
    refused_as_damaged(&bytes);
}

#[test]
fn a_flipped_bit_in_a_closed_file_is_refused_or_harmless() {
    flip_bits_of(&file_with(300), 300);
}

#[test]
fn a_flipped_bit_in_a_file_after_a_crash_is_refused_or_harmless() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    for n in 0..40 {
        node.put(&n.to_string(), &"x".repeat(300));
    }
    // What is in the file of a running store is what a crash leaves.
    flip_bits_of(&fs::read(file(directory.path())).unwrap(), 40);
}

/// Flips bits all over a file with this many documents: none may ever be missing or wrong.
fn flip_bits_of(whole: &[u8], documents: usize) {
    let positions: Vec<_> = (0..320).step_by(3).chain((320..whole.len()).step_by(3001)).collect();
    let mut refused = 0;
    for position in positions {
        let mut bytes = whole.to_vec();
        bytes[position] ^= 1 << (position % 8);
        let directory = TempDir::new().unwrap();
        fs::write(file(directory.path()), &bytes).unwrap();
        match try_open(rules(hour()), directory.path()) {
            Ok(node) => {
                let all = node.all();
                assert_eq!(all.len(), documents, "documents are missing with a flip at {position}");
                assert!(all.values().all(|value| *value == "x".repeat(300)), "the flip at {position} shows");
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Format { .. }), "{position}: {error:?}");
                assert!(fs::read(file(directory.path())).unwrap() == bytes, "opening wrote, with a flip at {position}");
            }
        }
    }
    assert!(refused > 20, "only {refused} flips were noticed");
}

#[test]
fn a_newer_format_is_refused_and_kept() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("a", "of the future");
    drop(node);
    set_format(directory.path(), 2);
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
    assert!(error.to_string().contains("has format 2, but this version of inventor supports format 1"), "{error}");
    set_format(directory.path(), 1);
    let node = open(directory.path());
    assert_eq!(node.shown("a").as_deref(), Some("of the future"));
}

fn set_format(directory: &Path, format: u64) {
    let database = redb::Database::open(file(directory)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_database_of_another_program_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(redb::Database::create(file(directory.path())).unwrap());
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn an_older_format_of_the_database_is_refused() {
    let mut bytes = file_with(3);
    // Each of the two commit slots begins with its version.
    (bytes[64], bytes[192]) = (2, 2);
    let directory = TempDir::new().unwrap();
    fs::write(file(directory.path()), &bytes).unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
    assert_eq!(fs::read(file(directory.path())).unwrap(), bytes);
}

#[test]
fn what_is_no_directory_is_refused() {
    let directory = TempDir::new().unwrap();
    let plain = directory.path().join("plain");
    fs::write(&plain, "precious").unwrap();
    for path in [plain.clone(), plain.join("data")] {
        let error = refused(&path);
        assert!(matches!(error, OpenError::NotADirectory { .. }), "{error:?}");
        assert!(error.to_string().contains("set DATA_DIR to a directory"), "{error}");
    }
    assert_eq!(fs::read(&plain).unwrap(), b"precious");
}

#[test]
fn where_nothing_can_be_written_it_is_refused() {
    // Nobody can create files below /sys, whatever his rights.
    for path in ["/sys/inventor", "/sys"] {
        let error = refused(Path::new(path));
        assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}

#[test]
fn an_unfinished_creation_is_no_damage() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(".inventor.redb.1.1.new"), "half").unwrap();
    let node = open(directory.path());
    node.put("a", "works");
}
