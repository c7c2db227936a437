//! Outages as those see them who register and those who poll: whoever renews at least twice per lifetime is listed
//! throughout, nothing expires while nobody can renew, and whoever does not renew goes in time. By cause.

mod clock;
mod deletions;
mod disk;
mod redis;
mod stops;

use std::thread;
use std::time::{Duration, Instant};

use crate::eventually::{SOON, eventually};
use crate::owners::{Owners, Polls, names, registration};
use crate::server::{Server, Setup};

/// The lifetime of registrations where nothing else is said, and how often they are renewed.
const TTL: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(500);

/// A lifetime within which there is time for something before its end, and for half of it after that.
const LONG_TTL: Duration = Duration::from_secs(9);

/// How long an outage lasts in which everything would expire.
const LONGER_THAN_TTL: Duration = Duration::from_secs(6);

/// How much later than by the rule something may be gone, for want of a moment's attention.
const SLACK: Duration = Duration::from_secs(2);

/// How much earlier than by the rule something may be gone: a server counts what is left of a lifetime from the moment at
/// which it asked.
const EARLY: Duration = Duration::from_millis(100);

/// A lifetime for [`Setup::env`].
fn with_ttl(setup: Setup, ttl: Duration) -> Setup {
    setup.env("TTL_SECONDS", &ttl.as_secs().to_string())
}

#[track_caller]
fn is_listed(server: &Server, name: &str) -> bool {
    names(&server.get("/discover")).contains(name)
}

/// Waits until lists are marked as possibly out of date, and the server says that it is not ready.
#[track_caller]
fn is_marked(server: &Server) {
    eventually(SOON, || server.get("/discover").header("X-Inventor-Stale").is_some());
    eventually(SOON, || server.get("/-/ready").status == 503);
}

/// Waits until the server is ready and its lists are up to date.
#[track_caller]
fn is_fresh(server: &Server) {
    eventually(SOON, || {
        server.get("/-/ready").status == 200 && server.get("/discover").header("X-Inventor-Stale").is_none()
    });
}

/// Waits until something is no longer listed, which it must not be later than this after a moment; returns how long after
/// it that was seen. Time in which nobody had the processor does not count.
#[track_caller]
fn is_gone(server: &Server, name: &str, since: Instant, most: Duration) -> Duration {
    let (mut asked, mut stood_still) = (Instant::now(), Duration::ZERO);
    loop {
        // However long the answer takes, this is when it was asked for.
        let late = (asked - since).saturating_sub(stood_still);
        if !is_listed(server, name) {
            return since.elapsed();
        }
        assert!(late <= most, "{name} is still listed after {late:?}, and {stood_still:?} in which nothing ran");
        let slept = Instant::now();
        thread::sleep(Duration::from_millis(10));
        stood_still += slept.elapsed().saturating_sub(Duration::from_millis(100));
        asked = Instant::now();
    }
}

/// Whose renewal was refused stays listed for half a lifetime after the outage, and not much longer than that after the
/// server is fresh.
#[track_caller]
fn lives_for_half_a_lifetime(server: &Server, ttl: Duration, name: &str, healed: Instant, fresh: Instant) {
    let lived_on = is_gone(server, name, fresh, ttl / 2 + SLACK) + (fresh - healed);
    assert!(lived_on >= ttl / 2 - EARLY, "dropped {lived_on:?} after its renewal was refused");
}

/// An outage of longer than a lifetime: six owners renew all the while, one goes away before it.
#[track_caller]
fn outlive(server: &Server, body: fn(&str) -> String, begin: impl FnOnce(), end: impl FnOnce()) {
    let owners = Owners::renewing(server, 6, INTERVAL, body);
    server.register(registration("silent"));
    let polls = Polls::expecting(server, owners.names());
    begin();
    let began = Instant::now();
    is_marked(server);
    while began.elapsed() < LONGER_THAN_TTL {
        assert!(is_listed(server, "silent"), "nothing expires while nobody can renew");
        assert!(server.get("/discover").header("X-Inventor-Stale").is_some(), "it is still on");
        server.get("/-/ready").has_status(503, "it is still on");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(owners.answered(503) > 0, "renewals are refused meanwhile");
    // It may be over for the server before whoever ends it is told so.
    let (ended, renewed) = (Instant::now(), owners.answered(200));
    end();
    is_fresh(server);
    let fresh = Instant::now();
    let lived_on = is_gone(server, "silent", fresh, TTL / 2 + SLACK) + (fresh - ended);
    assert!(lived_on >= TTL / 2 - EARLY, "whoever could not renew has half a lifetime for it, not {lived_on:?}");
    eventually(SOON, || owners.answered(200) > renewed);
    polls.were_right();
}
