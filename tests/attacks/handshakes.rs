//! Attacks on TLS: handshakes that are half, slow, garbage or too many, and clients that do not read what was encrypted
//! for them.

use std::io::{Read, Write};
use std::thread;
use std::time::Instant;

use socket2::Socket;

use crate::readers;
use crate::target::{Settings, Target, Transport, attack_time};
use crate::wire::session;

/// How many clients read nothing: so many come soon, each by its handshake.
const CROWD: usize = 128;

/// How many connections are spoilt, each in another way.
const SPOILT: usize = 1500;

pub(crate) fn run() {
    let settings = |connections_max| Settings {
        connections_max,
        list_bytes: 2_000_000,
        target_info: false,
        ..Settings::new(Transport::Tls)
    };
    let target = Target::start(settings(1024));
    let hello = hello(&target);
    target.attack("3000 connections with half a handshake", || silent(&target, 3000, &hello[..hello.len() / 2]));
    target.attack("1100 connections that say no more than hello", || silent(&target, 1100, &hello));
    target.attack("3000 dripping handshakes", || dripping(&target, &hello));
    target.attack("1500 connections with garbage in their handshake", || garbage(&target, &hello));
    target.attack("new handshakes all the time, and no request", || endless(&target));
    drop(target);
    let target = Target::start(settings(CROWD));
    target.attack("128 of 128 clients read nothing", || readers::do_not_read(&target, "/discover", CROWD));
}

/// What a client says first.
fn hello(target: &Target) -> Vec<u8> {
    let mut bytes = Vec::new();
    session(target.config().expect("it speaks TLS")).write_tls(&mut bytes).unwrap();
    bytes
}

fn silent(target: &Target, count: usize, hello: &[u8]) {
    let _clients: Vec<Socket> = (0..count).map(|_| target.send(hello)).collect();
    thread::sleep(attack_time());
}

fn dripping(target: &Target, hello: &[u8]) {
    let clients: Vec<Socket> = (0..3000).map(|_| target.connect()).collect();
    for byte in &hello[..4] {
        // Most of them have been closed to make room.
        clients.iter().for_each(|mut client| drop(client.write(&[*byte])));
        thread::sleep(attack_time() / 4);
    }
}

fn garbage(target: &Target, hello: &[u8]) {
    let mut random = fastrand::Rng::with_seed(21);
    for _ in 0..SPOILT {
        let mut bytes = hello.to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(1..=bytes.len()));
        bytes.extend((0..random.usize(..600)).map(|_| random.u8(..)));
        let client = target.send(&bytes);
        let _ = client.shutdown(std::net::Shutdown::Write);
        // An alert, the server's part of the handshake, or nothing; and then the end.
        let _ = (&client).read_to_end(&mut Vec::new()).map_err(|error| {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection stays open");
        });
    }
}

fn endless(target: &Target) {
    let shake_hands = || {
        let begun = Instant::now();
        while begun.elapsed() < attack_time() {
            let mut client = target.connect();
            let mut session = session(target.config().expect("it speaks TLS"));
            // Whoever makes room is cut off.
            let _ = session.complete_io(&mut client);
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(shake_hands))));
}
