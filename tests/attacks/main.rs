//! Attacks on the HTTP edge of the real binary, over TCP, over a Unix socket and on TLS, while probes ask as honest
//! clients do. A target of its own, because attacks need the machine for themselves and targets run one after the other.
//! Each attack prints its figures (`cargo test --test attacks -- --nocapture`), and lasts for `ATTACK_SECONDS`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../it/certificates.rs"]
mod certificates;
#[path = "../it/eventually.rs"]
mod eventually;
mod floods;
mod handshakes;
mod hostile;
mod probe;
#[allow(dead_code, reason = "other tests ask more of a process")]
#[path = "../it/process.rs"]
mod process;
mod questions;
mod readers;
mod shortage;
mod target;
mod wire;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parking_lot::RwLock;
use target::{Settings, Target, Transport};

fn attack_over(transport: Transport) {
    let target = Target::start(Settings::new(transport));
    floods::run(&target);
    hostile::run(&target);
    shortage::run(&target);
}

/// Raises the number of descriptors that the attackers may have.
fn raise_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it may be raised as far as that");
}

/// Held by who has the machine for itself, and by those that mostly wait, of which as many run as there are test threads.
static MACHINE: RwLock<()> = RwLock::new(());

fn beside_others(attack: impl FnOnce()) {
    let _shared = MACHINE.read();
    raise_descriptor_limit();
    attack();
}

#[test]
fn the_server_survives_and_answers_over_tcp() {
    beside_others(|| attack_over(Transport::Tcp));
}

#[test]
fn the_server_survives_and_answers_over_a_unix_socket() {
    beside_others(|| attack_over(Transport::Unix));
}

#[test]
fn clients_that_do_not_read_lock_nobody_out_over_tcp() {
    beside_others(|| readers::run(Transport::Tcp));
}

#[test]
fn clients_that_do_not_read_lock_nobody_out_over_a_unix_socket() {
    beside_others(|| readers::run(Transport::Unix));
}

#[test]
fn no_handshake_locks_anybody_out() {
    beside_others(handshakes::run);
}

#[test]
fn expensive_questions_hold_up_nobody() {
    let _alone = MACHINE.write();
    raise_descriptor_limit();
    questions::run();
}
