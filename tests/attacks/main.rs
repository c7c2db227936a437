//! Attacks on the HTTP edge of the real binary, over TCP, over a Unix socket and on TLS, while probes ask as honest
//! clients do. A target of its own, because an attack needs the machine for itself and targets run one after the other.
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
use parking_lot::Mutex;
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

/// Held by the test that has the machine for itself.
static MACHINE: Mutex<()> = Mutex::new(());

/// Runs the same attacks over both transports, one after the other.
fn over_both(attack: fn(Transport)) {
    let _alone = MACHINE.lock();
    raise_descriptor_limit();
    attack(Transport::Tcp);
    attack(Transport::Unix);
}

#[test]
fn the_server_survives_and_answers() {
    over_both(attack_over);
}

#[test]
fn clients_that_do_not_read_lock_nobody_out() {
    over_both(readers::run);
}

#[test]
fn expensive_questions_hold_up_nobody() {
    let _alone = MACHINE.lock();
    raise_descriptor_limit();
    questions::run();
}

#[test]
fn no_handshake_locks_anybody_out() {
    let _alone = MACHINE.lock();
    raise_descriptor_limit();
    handshakes::run();
}
