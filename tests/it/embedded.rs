//! The embedded store on real files: the contract, restarts, and what goes wrong with files and directories.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use inventor::registration::Ttl;
use inventor::store::Store;
use inventor::store::embedded::{EmbeddedStore, OpenError};
use tempfile::TempDir;

use crate::eventually::{SOON, eventually};
use crate::store_contract::{Recorder, get, hour, id, put, store_contract};

store_contract!(with_new_store);

fn with_new_store(fact: fn(&dyn Store, &Recorder)) {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    fact(&store, &mirror);
}

/// Opens the store in a directory, with a new mirror.
#[track_caller]
fn open(directory: &Path) -> (EmbeddedStore, Arc<Recorder>) {
    let mirror = Arc::new(Recorder::default());
    (try_open(directory, mirror.clone()).unwrap_or_else(|e| panic!("{e}")), mirror)
}

fn try_open(directory: &Path, mirror: Arc<Recorder>) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(directory, mirror, &prometheus::Registry::new())
}

/// Opens the store and expects that to fail.
#[track_caller]
fn refused(directory: &Path) -> OpenError {
    let mirror = Arc::new(Recorder::default());
    match try_open(directory, mirror.clone()) {
        Ok(_) => panic!("the store opened"),
        Err(error) => {
            assert_eq!(mirror.loaded_count(), 0);
            error
        }
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("inventor.redb")
}

#[test]
fn documents_survive_a_restart() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    put(&store, id("a"), "first");
    put(&store, id("b"), "second");
    store.put(id("c"), b"for ever".into(), Ttl::from_seconds(0), SystemTime::now()).unwrap();
    assert_eq!(store.delete(id("a"), SystemTime::now()), Ok(true));
    drop(store);
    let (store, mirror) = open(directory.path());
    assert_eq!(mirror.all(), [(id("b"), b"second".into()), (id("c"), b"for ever".into())].into());
    assert_eq!(get(&store, id("b")).as_deref(), Some("second"));
    assert_eq!(mirror.rest(id("c")), None);
}

#[test]
fn thousands_of_documents_are_loaded() {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    thread::scope(|scope| {
        for writer in 0..16 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..200 {
                    put(store, id(&format!("{writer}-{n}")), &format!("{writer} {n}"));
                }
            });
        }
    });
    drop(store);
    let (_store, loaded) = open(directory.path());
    assert_eq!(loaded.all().len(), 3200);
    assert_eq!(loaded.all(), mirror.all());
}

#[test]
fn time_spent_stopped_counts() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    store.put(id("ran out"), b"a".into(), Ttl::from_seconds(3599), an_hour_ago).unwrap();
    store.put(id("has time"), b"b".into(), Ttl::from_seconds(3700), an_hour_ago).unwrap();
    drop(store);
    let (store, mirror) = open(directory.path());
    assert_eq!(mirror.all(), [(id("has time"), b"b".into())].into());
    let rest = mirror.rest(id("has time")).unwrap();
    assert!(rest <= Duration::from_secs(100) && rest > Duration::from_secs(70), "{rest:?}");
    assert_eq!(get(&store, id("ran out")), None);
}

#[test]
fn a_lifetime_ends_with_its_second() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    let now = SystemTime::now();
    store.put(id("a"), b"a".into(), Ttl::from_seconds(60), now).unwrap();
    assert_eq!(store.get(id("a"), now + Duration::from_millis(59_999)), Ok(Some(b"a".into())));
    assert_eq!(store.get(id("a"), now + Duration::from_secs(60)), Ok(None));
    assert_eq!(store.delete(id("a"), now + Duration::from_secs(60)), Ok(false));
}

#[test]
fn directory_and_file_are_for_their_user_alone() {
    let outer = TempDir::new().unwrap();
    let directory = outer.path().join("new/data");
    let (_store, _) = open(&directory);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(file(&directory)).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["inventor.redb"], "nothing is left of the creation");
    assert_eq!(fs::metadata(file(&directory)).unwrap().nlink(), 1);
}

#[test]
fn a_file_that_is_open_is_refused_and_stays_open() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("inventor.redb is open in another process"), "{error}");
    put(&store, id("a"), "still works");
    drop(store);
    let (_store, mirror) = open(directory.path());
    assert_eq!(mirror.shown(id("a")), Some(b"still works".into()));
}

#[test]
fn of_many_that_create_the_file_at_once_one_gets_it() {
    for _ in 0..10 {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("data");
        let stores: Vec<_> = thread::scope(|scope| {
            let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| try_open(&path, Arc::default()))).collect();
            opening.into_iter().map(|opening| opening.join().unwrap()).collect()
        });
        assert_eq!(stores.iter().filter(|store| store.is_ok()).count(), 1);
        for error in stores.into_iter().filter_map(Result::err) {
            assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }
}

#[test]
fn what_expired_leaves_the_file() {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    store.put(id("reported"), b"a".into(), Ttl::from_seconds(1), SystemTime::now()).unwrap();
    put(&store, id("live"), "b");
    eventually(SOON, || mirror.shown(id("reported")).is_none());
    store.expired(vec![id("reported"), id("live"), id("never there")]);
    // A get in the past of a document that is still in the file would find it.
    let before = SystemTime::now() - Duration::from_secs(60);
    eventually(SOON, || store.get(id("reported"), before) == Ok(None));
    assert_eq!(get(&store, id("live")).as_deref(), Some("b"));
    store.put(id("stopped"), b"c".into(), Ttl::from_seconds(1), before).unwrap();
    drop(store);
    let (store, _) = open(directory.path());
    eventually(SOON, || store.get(id("stopped"), before) == Ok(None));
    assert_eq!(get(&store, id("live")).as_deref(), Some("b"));
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
    let (store, _) = open(directory.path());
    thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in (writer..documents).step_by(8) {
                    put(store, id(&n.to_string()), &"x".repeat(300));
                }
            });
        }
    });
    drop(store);
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
    let (store, _) = open(directory.path());
    for n in 0..40 {
        put(&store, id(&n.to_string()), &"x".repeat(300));
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
        let mirror = Arc::new(Recorder::default());
        match try_open(directory.path(), mirror.clone()) {
            Ok(_store) => {
                let all = mirror.all();
                assert_eq!(all.len(), documents, "documents are missing with a flip at {position}");
                assert!(all.values().all(|value| value == &[b'x'; 300]), "the flip at {position} shows");
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
    let (store, _) = open(directory.path());
    put(&store, id("a"), "of the future");
    drop(store);
    set_format(directory.path(), 2);
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
    assert!(error.to_string().contains("has format 2, and this version of inventor knows format 1"), "{error}");
    set_format(directory.path(), 1);
    let (_store, mirror) = open(directory.path());
    assert_eq!(mirror.shown(id("a")), Some(b"of the future".into()));
}

fn set_format(directory: &Path, format: u64) {
    let database = redb::Database::open(file(directory)).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("format", format).unwrap();
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
        assert!(error.to_string().contains("cannot be written"), "{error}");
    }
}

#[test]
fn an_unfinished_creation_is_no_damage() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(".inventor.redb.1.1.new"), "half").unwrap();
    let (store, _) = open(directory.path());
    put(&store, id("a"), "works");
}

#[test]
fn a_store_whose_file_is_gone_refuses_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let (store, mirror) = open(directory.path());
    put(&store, id("kept"), "before");
    fs::rename(file(directory.path()), directory.path().join("elsewhere")).unwrap();
    assert!(store.put(id("unknown"), b"during".into(), hour(), SystemTime::now()).is_err());
    eventually(SOON, || mirror.lost_count() == 1);
    assert!(store.health().unwrap_err().to_string().contains("inventor.redb"), "{:?}", store.health());
    assert!(store.get(id("kept"), SystemTime::now()).is_err());
    assert!(store.delete(id("kept"), SystemTime::now()).is_err());
    assert_eq!(mirror.shown(id("kept")), Some(b"before".into()), "what was shown stays");
    assert!(!file(directory.path()).exists(), "no new file takes its place");

    fs::rename(directory.path().join("elsewhere"), file(directory.path())).unwrap();
    eventually(SOON, || store.health().is_ok());
    assert_eq!((mirror.lost_count(), mirror.loaded_count()), (1, 2));
    assert_eq!(get(&store, id("kept")).as_deref(), Some("before"));
    assert_eq!(mirror.shown(id("unknown")), store.get(id("unknown"), SystemTime::now()).unwrap());
    put(&store, id("new"), "after");
    drop(store);
    let (_store, reopened) = open(directory.path());
    assert_eq!(reopened.all(), mirror.all());
}

#[test]
fn after_another_file_took_its_place_the_mirror_shows_that_one() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(directory.path());
    put(&store, id("old"), "value");
    put(&store, id("changed"), "before");
    store.put(id("short"), b"x".into(), Ttl::from_seconds(1), SystemTime::now()).unwrap();
    drop(store);
    let copy = directory.path().join("copy");
    fs::copy(file(directory.path()), &copy).unwrap();

    let (store, mirror) = open(directory.path());
    put(&store, id("changed"), "after");
    put(&store, id("new"), "value");
    fs::rename(&copy, file(directory.path())).unwrap();
    assert!(store.put(id("lost"), b"x".into(), hour(), SystemTime::now()).is_err());
    eventually(SOON, || store.health().is_ok());
    assert_eq!(mirror.shown(id("new")), None);
    assert_eq!(mirror.shown(id("changed")), Some(b"before".into()));
    eventually(SOON, || mirror.shown(id("short")).is_none());
    assert_eq!(mirror.all().len(), 2);
}
