//! Attacks on a server that the system gives too little: descriptors, threads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;

use socket2::Socket;

use crate::target::{Settings, Target, ThreadLimit, Transport, attack_time};

/// How many threads the system lets the server have: its own, up to twenty that tiny_http starts with and does not keep,
/// and some twenty for connections. An arrival may wait until each of them has spared one client for ten milliseconds.
const THREADS: usize = 104;

pub(crate) fn run(target: &Target) {
    with_limit(target, "nofile", 256, || {
        target.attack("400 connections with 256 descriptors", || crowd(target, 400));
    });
    // The system counts the threads of a user, and does not limit those of root.
    let own_user = fs::metadata("/proc/self").expect("this process has a user").uid();
    let user = if own_user == 0 { nobody(target.transport()) } else { own_user };
    let thread_limit = Some(ThreadLimit { user, threads: threads_of(user) + THREADS });
    let target = Target::start_fresh(Settings { thread_limit, ..Settings::new(target.transport()) });
    // What a first crowd leaves behind is kept for the next one.
    crowd(&target, 400);
    target.attack("400 connections and few threads", || crowd(&target, 400));
}

/// Runs something while the server has no more than this of a resource.
fn with_limit(target: &Target, resource: &str, limit: usize, run: impl FnOnce()) {
    let pid = target.process().id().to_string();
    let prlimit = |arguments: &[&str]| {
        let output = Command::new("prlimit").args(["--pid", &pid]).args(arguments).output().expect("prlimit is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("prlimit writes text").trim().to_owned()
    };
    let before = prlimit(&["--raw", "--noheadings", "--output", "SOFT", &format!("--{resource}")]);
    prlimit(&[&format!("--{resource}={limit}:")]);
    run();
    prlimit(&[&format!("--{resource}={before}:")]);
}

/// A user that runs nothing else: one for each transport, since attacks over two of them run at the same time.
fn nobody(transport: Transport) -> u32 {
    65534 - transport as u32
}

/// How many threads this user has.
fn threads_of(user: u32) -> usize {
    let processes = fs::read_dir("/proc").expect("there are processes").filter_map(Result::ok);
    let owned = processes.filter(|process| process.metadata().is_ok_and(|process| process.uid() == user));
    owned.filter_map(|process| Some(fs::read_dir(process.path().join("task")).ok()?.count())).sum()
}

fn crowd(target: &Target, count: usize) {
    let _clients: Vec<Socket> = (0..count).map(|_| target.connect()).collect();
    thread::sleep(attack_time());
}
