//! The disk is full, fails or hangs, and comes back.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{
    INTERVAL, LONG_TTL, LONGER_THAN_TTL, SLACK, TTL, is_fresh, is_gone, is_listed, is_marked,
    lives_for_half_a_lifetime, outlive, with_ttl,
};
use crate::eventually::{SOON, eventually};
use crate::faults::{self, Disk};
use crate::owners::{by_id, large_registration, registration};
use crate::server::{Server, Setup};

#[track_caller]
fn start(ttl: Duration) -> (Server, Disk) {
    let (setup, disk, _) = faults::inject(with_ttl(Setup::new(), ttl));
    (setup.start(), disk)
}

#[test]
fn a_disk_that_hangs_empties_no_list() {
    let (server, disk) = start(TTL);
    outlive(&server, registration, || disk.hang(), || disk.heal());
}

#[test]
fn a_disk_that_fails_empties_no_list() {
    let (server, disk) = start(TTL);
    outlive(&server, registration, || disk.fail(), || disk.heal());
}

#[test]
fn a_disk_that_can_be_read_and_not_written_empties_no_list() {
    let (server, disk) = start(TTL);
    outlive(&server, registration, || disk.fill(), || disk.heal());
}

#[test]
fn a_full_disk_empties_no_list() {
    let setup = with_ttl(Setup::new(), TTL);
    let small = SmallDisk::under(&setup);
    let mut server = small.setup.start();
    let process = server.process().id().to_string();
    let fill = || {
        small.fill(&process);
        // The file has some room to spare.
        let mut more = 0..100;
        assert!(more.any(|n| server.put(large_registration(&format!("more-{n}"))).status == 503), "there is no room");
    };
    outlive(&server, large_registration, fill, || small.free(&process));
}

/// A file system of a few MiB for the server alone, or, where nobody may mount one, a limit on the size of its files.
struct SmallDisk {
    setup: Setup,
    mounted: bool,
    data: PathBuf,
}

impl SmallDisk {
    fn under(setup: &Setup) -> SmallDisk {
        let data = setup.path("data");
        fs::create_dir(&data).expect("the directory can be written to");
        let mount = format!("mount -t tmpfs -o size=4m,mode=700 inventor {}", data.display());
        let tried = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).stderr(Stdio::null()).status();
        let mounted = tried.is_ok_and(|status| status.success());
        let prelude = if mounted {
            // The shell after this one sees what is mounted, and becomes the server.
            format!(r#"exec unshare -rm sh -c '{mount} && exec "$0" "$@"' "$0" "$@""#)
        } else {
            // Without the trap the shell's signal would end the server.
            "trap '' XFSZ".to_owned()
        };
        SmallDisk { setup: setup.clone().after(&prelude), mounted, data }
    }

    /// The file with which the disk is filled, as the server's process sees it.
    fn ballast(&self, process: &str) -> PathBuf {
        let path = self.data.join("ballast");
        PathBuf::from(format!("/proc/{process}/root{}", path.display()))
    }

    fn fill(&self, process: &str) {
        if self.mounted {
            let written = fs::write(self.ballast(process), vec![0; 8 << 20]);
            assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        } else {
            limit_file_size(process, "0:unlimited");
        }
    }

    fn free(&self, process: &str) {
        if self.mounted {
            fs::remove_file(self.ballast(process)).expect("the ballast is there");
        } else {
            limit_file_size(process, "unlimited");
        }
    }
}

#[track_caller]
fn limit_file_size(process: &str, limit: &str) {
    let outcome = Command::new("prlimit").args([&format!("--pid={process}"), &format!("--fsize={limit}")]).status();
    assert!(outcome.expect("util-linux is installed").success());
}

#[test]
fn a_refused_renewal_is_a_sign_of_life() {
    let (server, disk) = start(LONG_TTL);
    for name in ["alive", "other"] {
        server.register(registration(name));
    }
    let registered = Instant::now();
    // The outage is short, and over before the lifetime is.
    thread::sleep(LONG_TTL - Duration::from_secs(3));
    disk.fail();
    server.put(registration("alive")).has_status(503, "a renewal");
    let healed = Instant::now();
    disk.heal();
    is_fresh(&server);
    let fresh = Instant::now();
    lives_for_half_a_lifetime(&server, LONG_TTL, "alive", healed, fresh);
    assert!(!is_listed(&server, "other"), "who has not tried has no longer than {:?}", registered.elapsed());
}

#[test]
fn outages_in_a_row_keep_nothing_for_longer_than_they_last() {
    let (server, disk) = start(TTL);
    server.register(registration("silent"));
    let registered = Instant::now();
    let mut sum = Duration::ZERO;
    // The lifetime ends within the first, and what that has added within the second.
    thread::sleep(TTL - Duration::from_secs(1));
    for _ in 0..2 {
        let began = Instant::now();
        disk.fail();
        server.put(registration("another")).has_status(503, "a write");
        thread::sleep(Duration::from_millis(1200));
        disk.heal();
        is_fresh(&server);
        sum += began.elapsed();
        thread::sleep(Duration::from_millis(300));
    }
    println!("outages of {sum:?}");
    is_gone(&server, "silent", registered, TTL + sum + SLACK);
}

#[test]
fn after_an_outage_the_file_agrees_with_the_list() {
    let (setup, disk, _) = faults::inject(with_ttl(Setup::new(), TTL));
    let server = setup.start();
    for name in ["deleted", "kept"] {
        server.register(registration(name));
    }
    disk.fill();
    server.put(registration("another")).has_status(503, "a write");
    thread::sleep(LONGER_THAN_TTL);
    disk.heal();
    is_fresh(&server);
    let fresh = Instant::now();
    server.find(by_id("kept")).has_status(200, "what is listed is found");
    server.delete(by_id("deleted")).is(200, "true\n");
    assert!(!is_listed(&server, "deleted"));
    assert_eq!(server.terminate(), Some(0));
    let server = setup.start();
    assert!(is_listed(&server, "kept"), "it had half a lifetime left");
    assert!(!is_listed(&server, "deleted"));
    is_gone(&server, "kept", fresh, SOON);
    server.find(by_id("kept")).has_status(404, "what is gone is not found");
}

#[test]
fn the_file_shrinks_at_a_start_after_most_registrations_have_gone() {
    let setup = Setup::new();
    let length = || fs::metadata(setup.path("data/inventor.redb")).expect("there is a file").len();
    let server = setup.start();
    let names: Vec<String> = (0..400).map(|n| format!("host-{n}")).collect();
    names.iter().for_each(|name| drop(server.register(large_registration(name))));
    // What is left stands all over the file.
    let gone = names.iter().enumerate().filter(|(n, _)| n % 40 != 0);
    gone.for_each(|(_, name)| server.delete(by_id(name)).is(200, "true\n"));
    assert_eq!(server.terminate(), Some(0));
    let before = length();
    assert!(before > 8_000_000, "{before} bytes");
    let server = setup.start();
    assert_eq!(server.discover().len(), 10);
    // While it is open it may have some room to spare.
    eventually(SOON, || length() < before / 4);
    server.register(registration("still-works"));
}

#[test]
fn an_outage_is_over_when_the_disk_takes_writes_again() {
    let (server, disk) = start(Duration::from_secs(60));
    for trouble in [Disk::hang, Disk::fail, Disk::fill] {
        server.register(registration("a"));
        trouble(&disk);
        server.put(registration("b")).has_status(503, "a write");
        is_marked(&server);
        // Nobody asks for anything that would have to be written.
        thread::sleep(INTERVAL);
        disk.heal();
        is_fresh(&server);
        server.register(registration("b"));
    }
}

#[test]
fn a_server_that_starts_on_a_full_disk_is_not_ready() {
    // The file may be overwritten, and not grow: an ordinary write finds no room, and a small one may.
    let setup = with_ttl(Setup::new(), TTL * 100).after("trap '' XFSZ; ulimit -f 8192");
    let server = setup.start();
    let mut names = (0..10_000).map(|n| format!("large-{n}"));
    assert!(names.any(|name| server.put(large_registration(&name)).status == 503), "there is no room");
    assert_eq!(server.terminate(), Some(0));
    let server = setup.start();
    server.get("/discover").has_status(200, "the list is there");
    let ready = server.get("/-/ready").status;
    assert_eq!((ready, server.put(large_registration("one-more")).status), (503, 503));
    assert_eq!(server.get("/-/ready").status, 503);
}
