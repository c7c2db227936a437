//! The embedded store on real files: the contract, restarts, and faults while it runs.

mod faults;
mod refusals;
mod stopped;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use inventor::registration::Ttl;
use inventor::registry::Rules;
use inventor::store::embedded::{EmbeddedStore, OpenError};
use tempfile::TempDir;

use crate::eventually::{SOON, eventually};
use crate::store_contract::{Node, hour, id, rules, store_contract};

store_contract!(with_new_store);

fn with_new_store(fact: fn(&Node)) {
    let directory = TempDir::new().unwrap();
    fact(&open(directory.path()));
}

/// Opens the store in a directory.
#[track_caller]
fn open(directory: &Path) -> Node {
    try_open(rules(hour()), directory).unwrap_or_else(|e| panic!("{e}"))
}

fn try_open(rules: Rules, directory: &Path) -> Result<Node, OpenError> {
    Node::open(rules, |mirror, metrics| EmbeddedStore::open(directory, mirror, metrics))
}

fn file(directory: &Path) -> PathBuf {
    directory.join("inventor.redb")
}

#[test]
fn documents_survive_a_restart() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.put("a", "first");
    node.put("b", "second");
    node.try_put("c", "for ever", Ttl::from_seconds(0)).unwrap();
    assert_eq!(node.delete("a"), Ok(true));
    drop(node);
    let node = open(directory.path());
    assert_eq!(node.all(), [(id("b"), "second".into()), (id("c"), "for ever".into())].into());
    assert_eq!(node.get("b").as_deref(), Some("second"));
    assert_eq!(node.rest("c"), None);
}

#[test]
fn thousands_of_documents_are_loaded() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    thread::scope(|scope| {
        for writer in 0..16 {
            let node = &node;
            scope.spawn(move || (0..200).for_each(|n| node.put(&format!("{writer}-{n}"), &format!("{writer} {n}"))));
        }
    });
    let shown = node.all();
    drop(node);
    let all = open(directory.path()).all();
    assert_eq!(all.len(), 3200);
    assert_eq!(all, shown);
}

#[test]
fn directory_and_file_are_for_their_user_alone() {
    let outer = TempDir::new().unwrap();
    let directory = outer.path().join("new/data");
    let _node = open(&directory);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(file(&directory)).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["inventor.redb"], "nothing is left of the creation");
    assert_eq!(fs::metadata(file(&directory)).unwrap().nlink(), 1);
}

#[test]
fn what_ran_out_leaves_the_file() {
    let directory = TempDir::new().unwrap();
    let node = open(directory.path());
    node.try_put("short", "text", Ttl::from_seconds(1)).unwrap();
    node.put("long", "text");
    eventually(SOON, || node.metric("inventor_store_commit_changes") == 3.0);
    assert_eq!((node.shown("short"), node.count()), (None, 1));
    drop(node);
    assert_eq!(records(directory.path()), [id("long").to_bytes()]);
}

/// The keys in the file of a closed store.
#[track_caller]
fn records(directory: &Path) -> Vec<[u8; 16]> {
    use redb::{ReadableDatabase, ReadableTable};
    let database = redb::Database::open(file(directory)).unwrap();
    let table = database.begin_read().unwrap().open_table(DOCUMENTS).unwrap();
    table.iter().unwrap().map(|record| record.unwrap().0.value()).collect()
}

/// What stands in the file: documents, each with its deadline, in milliseconds of the file's own clock.
const DOCUMENTS: redb::TableDefinition<[u8; 16], (u64, &[u8])> = redb::TableDefinition::new("documents");

/// The format of the file, and when it was last written.
const META: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");

/// The deadlines that owners gave, of those that outages have moved.
const ORIGINALS: redb::TableDefinition<[u8; 16], (u64, u64)> = redb::TableDefinition::new("originals");
