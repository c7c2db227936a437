//! Attacks by number and by patience: many connections, and few that are slow.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::target::{Target, Transport, attack_time, read_some};

pub(crate) fn run(target: &Target) {
    target.attack("950 idle clients and 50 that poll", || clients(target));
    target.attack("3000 silent connections", || silent(target));
    target.attack("3000 dripping connections", || dripping(target));
    target.attack("64 slow bodies", || slow_bodies(target));
    target.attack("64 slow readers of a 20 MB list", || slow_readers(target));
    target.attack("2000 connections reset before, 500 during, 200 after the request", || resets(target));
    target.attack("500,000 pipelined requests without reading", || pipelined(target));
}

fn clients(target: &Target) {
    let poll = |client: &Socket| {
        { client }.write_all(b"GET /group?name=probe HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        assert!(read_some(client).starts_with(b"HTTP/1.1 200 OK\r\n"), "a poll is answered");
    };
    let clients: Vec<Socket> = (0..1000).map(|_| target.connect()).collect();
    clients.iter().for_each(poll);
    let begun = Instant::now();
    while begun.elapsed() < attack_time() {
        clients.iter().take(50).for_each(poll);
        thread::sleep(Duration::from_millis(100));
    }
    clients.iter().for_each(poll);
}

fn silent(target: &Target) {
    let _clients: Vec<Socket> = (0..3000).map(|_| target.connect()).collect();
    thread::sleep(attack_time());
}

fn dripping(target: &Target) {
    let clients: Vec<Socket> = (0..3000).map(|_| target.connect()).collect();
    for byte in b"GET /" {
        // Most of them have been closed to make room.
        clients.iter().for_each(|mut client| drop(client.write(&[*byte])));
        thread::sleep(attack_time() / 4);
    }
}

fn slow_bodies(target: &Target) {
    let head = "PUT /target HTTP/1.1\r\nHost: a\r\nx-api-token: secret\r\nContent-Length: 60000\r\n\r\n";
    let clients: Vec<Socket> = (0..64).map(|_| target.send(head)).collect();
    let begun = Instant::now();
    while begun.elapsed() < attack_time() {
        clients.iter().for_each(|mut client| client.write_all(b"{").expect("the body is not late yet"));
        thread::sleep(Duration::from_millis(200));
    }
}

fn slow_readers(target: &Target) {
    let clients: Vec<Socket> = (0..64).map(|_| target.send("GET /discover HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let begun = Instant::now();
    while begun.elapsed() < attack_time() {
        clients.iter().for_each(|client| assert!(!read_some(client).is_empty(), "a slow reader is cut off too early"));
        thread::sleep(Duration::from_millis(200));
    }
}

fn resets(target: &Target) {
    let request = "GET /discover HTTP/1.1\r\nHost: a\r\n\r\n";
    for (count, sent) in [(2000, ""), (500, &request[..20]), (200, request)] {
        for _ in 0..count {
            let client = target.send(sent);
            if target.transport() == Transport::Tcp {
                client.set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
}

fn pipelined(target: &Target) {
    let client = target.connect();
    client.set_write_timeout(Some(attack_time())).unwrap();
    let some = "GET /group?name=probe HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    // The server stops reading when its answers are not read, so the last ones are never taken.
    let taken = (0..500).take_while(|_| (&client).write_all(some.as_bytes()).is_ok()).count();
    assert!(taken < 500, "the server has taken half a million requests whose answers nobody reads");
}
