//! What the embedded store keeps when the server is killed, the disk is full, or its file cannot be used.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::client::{Connection, Request};
use crate::eventually::{SOON, eventually};
use crate::server::{Server, Setup};

const ROUNDS: usize = 20;
const WRITERS: usize = 16;

/// So many acknowledged writes come before the kill in each round.
const WRITES_PER_ROUND: usize = 60;

/// What a client knows of a target after its last request about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Registered,
    Deleted,
    /// The server was killed before it answered.
    Nothing,
}

#[test]
fn every_acknowledged_write_survives_20_kills() {
    let setup = Setup::new();
    let known = Mutex::new(HashMap::new());
    for round in 0..ROUNDS {
        let mut server = setup.start();
        check(&server, &known.lock().unwrap());
        let acknowledged = AtomicUsize::new(0);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let connection = server.connect();
                let (known, acknowledged) = (&known, &acknowledged);
                scope
                    .spawn(move || write_until_killed(connection, &format!("r{round}-w{writer}"), known, acknowledged));
            }
            // A different moment in each round.
            eventually(SOON, || acknowledged.load(Ordering::Relaxed) >= WRITES_PER_ROUND + round);
            server.process().signal(Signal::SIGKILL);
        });
    }
    check(&setup.start(), &known.lock().unwrap());
}

/// Every acknowledged registration is there, with nothing that was deleted and nothing that never was.
#[track_caller]
fn check(server: &Server, known: &HashMap<String, Known>) {
    let list = server.discover();
    let found: HashSet<_> = list.iter().map(|entry| entry["targets"][0].as_str().unwrap()).collect();
    for (target, what) in known {
        match what {
            Known::Registered => assert!(found.contains(target.as_str()), "{target} was acknowledged and is lost"),
            Known::Deleted => assert!(!found.contains(target.as_str()), "{target} was deleted and is there"),
            Known::Nothing => {}
        }
    }
    for target in found {
        assert!(known.contains_key(target), "{target} was never registered");
    }
}

/// Registers one target after the other, and deletes every third again, until the connection breaks.
fn write_until_killed(
    mut connection: Connection,
    name: &str,
    known: &Mutex<HashMap<String, Known>>,
    acknowledged: &AtomicUsize,
) {
    let mut write = |target: &str, request: Request, then: Known| {
        known.lock().unwrap().insert(target.to_owned(), Known::Nothing);
        if !connection.try_write(request.to_bytes()) || connection.is_at_end() {
            return false;
        }
        connection.read("PUT").has_status(200, target);
        known.lock().unwrap().insert(target.to_owned(), then);
        acknowledged.fetch_add(1, Ordering::Relaxed);
        true
    };
    for n in 0.. {
        let target = format!("{name}-{n}:9100");
        let id = inventor::registration::TargetId::of(std::slice::from_ref(&target));
        let put = Request::new("PUT", "/target").token().body(body(&target, 10));
        let delete = Request::new("DELETE", "/target").token().body(format!(r#"{{"id":"{id}"}}"#));
        if !write(&target, put, Known::Registered) || n % 3 == 0 && !write(&target, delete, Known::Deleted) {
            return;
        }
    }
}

/// A registration of one target with a label of this many bytes.
fn body(target: &str, label_bytes: usize) -> String {
    let label = "x".repeat(label_bytes);
    format!(r#"{{"static_config":{{"targets":["{target}"],"labels":{{"filler":"{label}"}}}}}}"#)
}

#[test]
fn with_a_full_disk_the_list_is_served_and_writes_work_again_when_there_is_room() {
    // The limit on the size of files stands for the disk. Without the trap the shell's signal would end the server.
    let setup = Setup::new();
    let full = setup.clone().after("trap '' XFSZ; ulimit -S -f 2048");
    let mut server = full.start();
    let register = |server: &Server, n: usize| server.put(body(&format!("host-{n}:9100"), 20_000)).status;
    let acknowledged = (0..1000).take_while(|n| register(&server, *n) == 200).count();
    assert!((10..1000).contains(&acknowledged), "{acknowledged} were acknowledged");

    for n in 0..5 {
        let response = server.put(body("one-more:9100", 60_000));
        response.has_status(503, n);
        assert!(response.header("Retry-After").is_some());
        server.get("/healthcheck").is(200, "OK");
        let found = server.discover().len();
        assert!((acknowledged..=acknowledged + 2).contains(&found), "{found} of {acknowledged} are served");
    }
    assert!(server.log().iter().any(|line| line.contains("the store failed")), "{:?}", server.log());

    let limits =
        Command::new("prlimit").args([&format!("--pid={}", server.process().id()), "--fsize=unlimited"]).status();
    assert!(limits.unwrap().success());
    eventually(SOON, || register(&server, 1000) == 200);
    eventually(SOON, || server.get("/-/ready").status == 200);
    let list = server.get("/discover").body;
    drop(server);
    let server = setup.start();
    assert_eq!(server.get("/discover").body, list);
    assert!(server.discover().len() > acknowledged);
}

#[test]
fn a_second_server_on_the_same_directory_ends_with_a_sentence() {
    let setup = Setup::new();
    let server = setup.start();
    let id = server.register(body("a:1", 1));
    let outcome = setup.run();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("inventor.redb is open in another process; stop it"), "{outcome:?}");
    server.find(format!(r#"{{"id":"{id}"}}"#)).has_status(200, "the first server works on");
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(setup.start().discover().len(), 1);
}

#[test]
fn with_a_damaged_file_the_start_ends_with_a_sentence_and_leaves_it() {
    let setup = Setup::new();
    let server = setup.start();
    server.register(body("a:1", 1));
    assert_eq!(server.terminate(), Some(0));
    let file = setup.path("data/inventor.redb");
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len();
    bytes.truncate(length - 4096);
    fs::write(&file, &bytes).unwrap();
    let outcome = setup.run();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("inventor.redb is damaged"), "{outcome:?}");
    assert!(outcome.stderr.contains("it was left untouched"), "{outcome:?}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn with_a_directory_that_cannot_be_written_the_start_ends_with_a_sentence() {
    let outcome = Setup::new().env("DATA_DIR", "/sys/inventor").run();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("cannot write /sys/inventor"), "{outcome:?}");
}
