//! The benchmark: the real binary on both stores, loaded over loopback, and beside each figure what the machine
//! could do at most, measured in the same minute. `cargo bench` prints one table and writes it as JSON.
//!
//! `BENCH_MAX` (100000) is the largest number of registrations, `BENCH_MIN` (1000) the smallest. `BENCH_ONLY` is a
//! comma-separated list of texts of which one must occur in `section/store`, such as `polls`, `redis`, `put/embedded` or `tls`, which is about a number of registrations of its own.
//! `BENCH_ENV` holds further variables for the server, `NAME=value` each. `cargo bench -- scale` is about many servers on
//! one Redis instead, see `scale.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot go on fails by panicking"
)]

#[path = "../it/certificates.rs"]
mod certificates;
mod connection;
mod limits;
mod load;
mod memory;
mod nginx;
mod polls;
mod puts;
mod redis;
mod registrations;
mod report;
mod scale;
mod scrapes;
mod server;
mod starts;
mod tls;
#[allow(dead_code, reason = "attackers ask more of a connection")]
#[path = "../attacks/wire.rs"]
mod wire;

use std::env;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Instant;

use redis::Redis;
use report::Report;
use server::{Memory, Server, Setup, Store};

/// The numbers of registrations that are measured, as far as `BENCH_MIN` and `BENCH_MAX` let them.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// What `BENCH_ONLY` chooses from, for each store.
const SECTIONS: [&str; 6] = ["memory", "polls", "renewals", "metrics", "put", "start"];

/// How often the server and its limit take turns. The machine may be shared, so that only figures taken within
/// seconds of each other can be compared; the median of the rounds is shown.
const ROUNDS: usize = 3;

fn main() {
    match env::args().nth(1).as_deref() {
        // The limit for polls runs as a process of its own, like the server it is compared with.
        Some(limits::RAW_SENDER) => limits::send_raw(),
        Some("scale") => scale::measure(),
        _ => measure(),
    }
}

fn measure() {
    let start = Instant::now();
    let mut report = Report::begin();
    let (least, most) = (setting("BENCH_MIN", SIZES[0]), setting("BENCH_MAX", 100_000));
    let only = env::var("BENCH_ONLY").unwrap_or_default();
    for count in SIZES.into_iter().filter(|count| (least..=most).contains(count)) {
        for store in [Store::Embedded, Store::Redis] {
            let mut bench = Bench { report: &mut report, only: &only, store, count };
            if SECTIONS.iter().any(|section| bench.wants(section)) {
                match store {
                    Store::Embedded => measure_embedded(&mut bench),
                    Store::Redis => measure_redis(&mut bench),
                }
            }
        }
    }
    tls::measure(&mut report, &only);
    report.end(start.elapsed());
}

fn setting<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    let Ok(text) = env::var(name) else { return default };
    text.parse().unwrap_or_else(|e| panic!("{name}={text:?}: {e}"))
}

/// What is being measured, and where the figures go.
struct Bench<'a> {
    report: &'a mut Report,
    only: &'a str,
    store: Store,
    /// How many registrations there are.
    count: usize,
}

impl Bench<'_> {
    /// Whether a section is asked for.
    fn wants(&self, section: &str) -> bool {
        let name = format!("{section}/{}", self.store.name());
        self.only.is_empty() || self.only.split(',').any(|text| name.contains(text.trim()))
    }

    /// Whether a section is asked for, when its figures are next.
    fn begins(&self, section: &str) -> bool {
        let wanted = self.wants(section);
        if wanted {
            eprintln!("{section}, {}, {} registrations", self.store.name(), self.count);
        }
        wanted
    }
}

fn measure_embedded(bench: &mut Bench<'_>) {
    let setup = Setup::embedded();
    let server = setup.start();
    let empty = server.memory();
    puts::load(bench, &server);
    measure_running(bench, &server, &setup, empty);
    server.end();
    if bench.begins("start") {
        starts::measure(bench, &setup);
    }
}

fn measure_redis(bench: &mut Bench<'_>) {
    let Some(redis) = Redis::start() else {
        return bench.report.note("redis-server is not installed: nothing was measured on Redis");
    };
    let setup = Setup::redis(redis.address());
    let server = setup.start();
    if !setup.is_obeyed_by(&server) {
        return bench.report.note("This build keeps no registrations in Redis: nothing was measured there");
    }
    let empty = server.memory();
    server.end();
    redis.plant(bench.count);
    if bench.begins("start") {
        starts::measure(bench, &setup);
    }
    let server = setup.start();
    measure_running(bench, &server, &setup, empty);
    server.end();
}

fn measure_running(bench: &mut Bench<'_>, server: &Server, setup: &Setup, empty: Memory) {
    // First, while nobody has polled.
    if bench.begins("memory") {
        memory::after_load(bench, server, empty);
    }
    if bench.begins("polls") {
        polls::measure(bench, server);
    }
    if bench.begins("renewals") {
        polls::measure_under_writes(bench, server);
    }
    if bench.begins("metrics") {
        scrapes::measure(bench, server);
    }
    if bench.begins("put") {
        match bench.store {
            Store::Embedded => puts::measure_embedded(bench, server, setup),
            Store::Redis => puts::measure_redis(bench, server),
        }
    }
}
