//! Chaos: owners renew, writers register and delete, others go away without a word and somebody polls all the while,
//! and every fault happens at random, to Redis and to the disk. No poll is answered by a wrong list, no owner who renews
//! is dropped, nothing that was acknowledged is lost, and nothing dead stays for longer than by the rule of outages.
//!
//! A target of its own, because it needs the machine for itself. `CHAOS_SECONDS` says for how long each part lasts,
//! `CHAOS_IDLE` how many registrations there are beside, all of which every outage concerns, and `CHAOS_SEED` repeats the
//! dice of another run (`cargo test --test chaos -- --nocapture` prints seed and figures).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "other tests send more than complete requests")]
#[path = "../it/client.rs"]
mod client;
mod embedded;
#[path = "../it/ending.rs"]
mod ending;
#[path = "../it/eventually.rs"]
mod eventually;
#[allow(dead_code, reason = "other tests set clocks")]
#[path = "../it/faults.rs"]
mod faults;
mod outages;
#[allow(dead_code, reason = "other tests ask more of a process")]
#[path = "../it/process.rs"]
mod process;
mod redis;
#[allow(dead_code, reason = "other tests start more kinds of Redis")]
#[path = "../it/redis_server.rs"]
mod redis_server;
#[allow(dead_code, reason = "other tests start more kinds of servers")]
#[path = "../it/server.rs"]
mod server;
mod settling;
mod several;
mod tally;
mod users;
mod writers;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_DEFAULT: u64 = 30;

/// What the environment says: for how long, beside how many that do nothing, and with which dice.
struct Plan {
    time: Duration,
    idle: usize,
    seed: u64,
}

impl Plan {
    fn read() -> Plan {
        let number =
            |name| std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")));
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as u64;
        let seconds = number("CHAOS_SECONDS").unwrap_or(SECONDS_DEFAULT);
        let idle = number("CHAOS_IDLE").unwrap_or_default() as usize;
        Plan { time: Duration::from_secs(seconds), idle, seed: number("CHAOS_SEED").unwrap_or_else(now) }
    }
}

#[test]
fn over_a_redis_that_keeps_its_data() {
    let plan = Plan::read();
    redis::Ground::start(&["--appendonly", "yes", "--appendfsync", "always"], true, &plan).run(&plan);
}

#[test]
fn over_a_redis_that_forgets() {
    let plan = Plan::read();
    redis::Ground::start(&[], false, &plan).run(&plan);
}

#[test]
fn over_a_file() {
    let plan = Plan::read();
    embedded::Ground::start(&plan).run(&plan);
}
