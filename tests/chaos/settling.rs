//! Outages that concern hundreds of thousands of registrations, whose new deadlines take the store many seconds to write:
//! one outage, over when they are written, while owners renew and somebody polls; and the dead go when the rule says.
//!
//! `SETTLED_REGISTRATIONS` says how many there are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Request;
use crate::ending::Ending;
use crate::eventually::eventually;
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};
use crate::several::Several;

const REGISTRATIONS_DEFAULT: usize = 50_000;

/// The default lifetime at the server. Everything here has less than half of it left, so that an outage concerns it.
const TTL: Duration = Duration::from_secs(200);

/// What those have left that are never renewed: time enough to write and to load them.
const LEFT: Duration = Duration::from_secs(60);

/// How long the store stands still.
const OUTAGE: Duration = Duration::from_secs(6);

/// How long it may take after that until everything is written, and how late something may be gone.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// How many owners renew all the while, and how often.
const OWNERS: usize = 20;
const RENEWED_EVERY: Duration = Duration::from_secs(1);

fn count() -> usize {
    std::env::var("SETTLED_REGISTRATIONS").map_or(REGISTRATIONS_DEFAULT, |text| text.parse().expect("a number"))
}

fn dead() -> Several {
    Several { group: "dead", count: count(), left: LEFT, lifetime: None }
}

fn setup() -> Setup {
    Setup::new().env("TTL_SECONDS", &TTL.as_secs().to_string()).env("RUST_LOG", "info")
}

/// What was seen of a server while it settled.
struct Users<'a> {
    server: &'a Server,
    ended: AtomicBool,
    polls: AtomicUsize,
}

impl<'a> Users<'a> {
    fn new(server: &'a Server) -> Users<'a> {
        Users { server, ended: AtomicBool::new(false), polls: AtomicUsize::new(0) }
    }

    /// Owners renew, and every list of theirs is whole, until `work` is done.
    fn during(&self, work: impl FnOnce()) {
        let body = |n: usize| {
            format!(r#"{{"static_config":{{"targets":["owner-{n}:9100"],"target_group":"owners","ttl_seconds":10}}}}"#)
        };
        (0..OWNERS).for_each(|n| drop(self.server.register(body(n))));
        thread::scope(|scope| {
            let _ending = Ending(&self.ended);
            for n in 0..OWNERS {
                scope.spawn(move || {
                    while !self.ended.load(Ordering::Relaxed) {
                        self.server.put(body(n));
                        thread::sleep(RENEWED_EVERY);
                    }
                });
            }
            scope.spawn(|| {
                while !self.ended.load(Ordering::Relaxed) {
                    let list = self.server.get("/group?name=owners");
                    list.has_status(200, "a poll");
                    assert_eq!(list.json().as_array().map(Vec::len), Some(OWNERS), "an owner who renews is listed");
                    self.polls.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(10));
                }
            });
            work();
        });
        assert!(self.polls.load(Ordering::Relaxed) > 100, "somebody polls all the while");
    }
}

fn is_ready(server: &Server) -> bool {
    server.get("/-/ready").status == 200
}

#[track_caller]
fn registrations(server: &Server) -> u64 {
    let status = server.send(&Request::new("GET", "/api/v1/status"));
    status.json()["registrations"].as_u64().unwrap_or_default()
}

fn told(server: &Server, what: &str) -> usize {
    server.log().iter().filter(|line| line.contains(what)).count()
}

/// The dead are listed until the end of the lifetime that an outage of this length has given them, and not for long after.
#[track_caller]
fn go_in_time(server: &Server, stored: [Instant; 2], outage: Duration, live: usize) {
    let live = live as u64;
    let first = stored[0] + LEFT + outage;
    while Instant::now() + Duration::from_secs(2) < first {
        let shown = registrations(server);
        assert_eq!(shown, live + count() as u64, "nothing goes before its time");
        thread::sleep(Duration::from_millis(500));
    }
    let last = stored[1] + LEFT + outage + GONE_WITHIN;
    eventually(last.saturating_duration_since(Instant::now()), || registrations(server) == live);
}

#[test]
fn a_redis_that_stood_still_is_settled_once() {
    let redis = RedisServer::start();
    let begun = Instant::now();
    dead().write_to_redis(&redis);
    let stored = [begun, Instant::now()];
    let server = setup().env("REDIS_URL", &redis.url()).start();
    eventually(SETTLED_WITHIN, || is_ready(&server));
    Users::new(&server).during(|| {
        redis.freeze();
        let frozen = Instant::now();
        thread::sleep(OUTAGE);
        redis.thaw();
        let thawed = Instant::now();
        eventually(OUTAGE, || told(&server, "takes no writes") > 0);
        eventually(SETTLED_WITHIN, || is_ready(&server));
        println!("Redis: ready {:?} after it went on, {} registrations", thawed.elapsed(), count());
        go_in_time(&server, stored, thawed - frozen, OWNERS);
    });
    assert_eq!([told(&server, "takes no writes"), told(&server, "takes writes again")], [1, 1], "{:?}", server.log());
}

#[test]
fn a_file_whose_server_was_stopped_is_settled_once() {
    let setup = setup();
    let begun = Instant::now();
    dead().write_to_file(&setup);
    let stored = [begun, Instant::now()];
    let closed = Instant::now();
    thread::sleep(OUTAGE);
    let started = Instant::now();
    let mut server = setup.start();
    Users::new(&server).during(|| {
        eventually(SETTLED_WITHIN, || is_ready(&server));
        println!("A file: ready {:?} after the start, {} registrations", started.elapsed(), count());
        let moved = eventually_moved(&server);
        assert!(moved >= count(), "{moved}");
        go_in_time(&server, stored, started - closed, OWNERS);
    });
    assert_eq!(told(&server, "takes no writes"), 0, "{:?}", server.log());
    assert_eq!(told(&server, "nobody could renew"), 1, "{:?}", server.log());
    server.process().signal(nix::sys::signal::Signal::SIGTERM);
}

/// How many deadlines the server says that it has moved. It is ready a moment before it says so.
#[track_caller]
fn eventually_moved(server: &Server) -> usize {
    eventually(OUTAGE, || told(server, "nobody could renew") > 0);
    let log = server.log();
    let line = log.iter().find(|line| line.contains("nobody could renew")).expect("it says so");
    let moved = line.split(" moved=").nth(1).and_then(|rest| rest.split(' ').next()).expect("how many");
    moved.parse().expect("a number")
}
