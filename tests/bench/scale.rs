//! `cargo bench -- scale`: several servers on one Redis, and what each of them costs it. Processor time for each write
//! is what carries over to other machines; delays do not once this one has no time left, which the tables say.
//!
//! `BENCH_REPLICAS` (1,2,4,8,16) are the numbers of servers, `BENCH_WRITES` (100,300,1000) the registrations renewed each
//! second, `BENCH_REGISTRATIONS` (100000) how many there are. `BENCH_SECONDS` (3) is how long each figure is taken, and
//! `BENCH_STALL` (10) for how many seconds a server stands still. `BENCH_ENV` is for the servers, as ever.

mod delay;
mod fleet;
mod info;
mod sheet;
mod stall;

use std::env;
use std::time::Duration;

use crate::load::{self, median, quantile};
use crate::puts::Writes;
use crate::redis::Redis;
use crate::report::Unit;
use crate::setting;
use delay::Delays;
use fleet::{Fleet, Used};
use info::Info;
use sheet::{Figure, Sheet};

/// How many connections renew, the same number to each server.
const WRITERS: usize = 16;

/// What a run is about.
struct Plan {
    registrations: usize,
    replicas: Vec<usize>,
    writes: Vec<usize>,
    /// How long each figure is taken.
    slice: Duration,
    stall: Duration,
}

impl Plan {
    fn read() -> Plan {
        let seconds = |name: &str, default: f64| Duration::from_secs_f64(setting(name, default));
        Plan {
            registrations: setting("BENCH_REGISTRATIONS", 100_000),
            replicas: numbers("BENCH_REPLICAS", "1,2,4,8,16"),
            writes: numbers("BENCH_WRITES", "100,300,1000"),
            slice: seconds("BENCH_SECONDS", 3.0),
            stall: seconds("BENCH_STALL", 10.0),
        }
    }
}

fn numbers(name: &str, default: &str) -> Vec<usize> {
    let text = env::var(name).unwrap_or_else(|_| default.to_owned());
    text.split(',').map(|number| number.trim().parse().unwrap_or_else(|e| panic!("{name}={text:?}: {e}"))).collect()
}

/// Measures, prints and writes it all.
pub(crate) fn measure() {
    let plan = Plan::read();
    let Some(redis) = Redis::start() else {
        return println!("redis-server is not installed: nothing was measured");
    };
    let mut sheet = Sheet::begin();
    plant(&mut sheet, &plan, &redis);
    for count in &plan.replicas {
        let fleet = start_together(&mut sheet, &redis, *count);
        let idle = stand_idle(&mut sheet, &plan, &fleet);
        for rate in &plan.writes {
            renew(&mut sheet, &plan, &fleet, idle, *rate);
        }
        if *count > 1 {
            stall::measure(&mut sheet, &plan, fleet);
        } else {
            fleet.end();
        }
    }
    sheet.end();
}

fn plant(sheet: &mut Sheet, plan: &Plan, redis: &Redis) {
    let empty = Info::of(redis);
    redis.plant(plan.registrations);
    let full = Info::of(redis);
    sheet.add(
        "Redis",
        vec![
            Figure::new("registrations", Unit::Number, plan.registrations as f64),
            Figure::new("memory", Unit::Bytes, full.memory),
            Figure::new("each", Unit::Bytes, (full.memory - empty.memory) / plan.registrations as f64),
        ],
    );
}

/// All at once, as after a power failure: does Redis stand still meanwhile?
fn start_together<'a>(sheet: &mut Sheet, redis: &'a Redis, count: usize) -> Fleet<'a> {
    eprintln!("{count} replicas");
    let before = Used::by(redis, &[]);
    let (fleet, pings) = info::pinging(redis, || Fleet::start(redis, count));
    let used = Used::by(redis, &fleet.replicas).since(before);
    let starts = || fleet.replicas.iter().map(|server| server.took_to_start());
    let seconds: Vec<f64> = starts().map(|took| took.time.as_secs_f64()).collect();
    sheet.add(
        "All start at once",
        vec![
            Figure::new("replicas", Unit::Number, count as f64),
            Figure::new("the first is ready", Unit::Seconds, quantile(seconds.clone(), 0.0)),
            Figure::new("all are ready", Unit::Seconds, quantile(seconds, 1.0)),
            Figure::new("processor of Redis", Unit::Seconds, used.redis),
            Figure::new("of each replica", Unit::Seconds, median(starts().map(|took| took.processor))),
            Figure::new("commands", Unit::Number, used.commands),
            Figure::new("sent by Redis", Unit::Bytes, used.sent),
            Figure::new("PING p50", Unit::Seconds, quantile(pings.clone(), 0.5)),
            Figure::new("PING p99", Unit::Seconds, quantile(pings.clone(), 0.99)),
            Figure::new("longest", Unit::Seconds, quantile(pings, 1.0)),
            Figure::of_machine(used.of_machine()),
        ],
    );
    fleet
}

/// Nobody writes: what it costs that the servers are there. Returns it for each second.
fn stand_idle(sheet: &mut Sheet, plan: &Plan, fleet: &Fleet<'_>) -> Used {
    let idle = fleet.used_each_second(plan.slice);
    let info = Info::of(fleet.redis);
    let count = fleet.replicas.len() as f64;
    sheet.add(
        "Nobody writes",
        vec![
            Figure::new("replicas", Unit::Number, count),
            Figure::new("processor of Redis, a second", Unit::Seconds, idle.redis),
            Figure::new("of each replica", Unit::Seconds, idle.replicas / count),
            Figure::new("memory of each", Unit::Bytes, median(fleet.replicas.iter().map(|it| it.memory().now as f64))),
            Figure::new("connections", Unit::Number, info.clients),
            Figure::new("of these tracking", Unit::Number, info.tracking_clients),
            Figure::new("memory for them", Unit::Bytes, info.clients_memory),
            Figure::new("for tracking", Unit::Bytes, info.tracking_memory),
        ],
    );
    idle
}

/// So many renewals each second, spread over the servers: what each costs, and when all the others show it.
fn renew(sheet: &mut Sheet, plan: &Plan, fleet: &Fleet<'_>, idle: Used, rate: usize) {
    let (addresses, writes) = (fleet.addresses(), Writes::renewals(plan.registrations));
    let (used, load) =
        load::beside(&addresses, WRITERS, rate as f64, || writes.next(), || fleet.used_each_second(plan.slice));
    let each = used.since(idle).each(load.rate);
    let (delays, _) =
        load::beside(&addresses, WRITERS, rate as f64, || writes.next(), || Delays::measure(&addresses, plan));
    sheet.add(
        "Renewals, spread over the replicas",
        vec![
            Figure::new("replicas", Unit::Number, fleet.replicas.len() as f64),
            Figure::new("asked", Unit::PerSecond, rate as f64),
            Figure::new("answered", Unit::PerSecond, load.rate),
            Figure::new("Redis, each", Unit::Seconds, each.redis),
            Figure::new("all replicas, each", Unit::Seconds, each.replicas),
            Figure::new("commands, each", Unit::Number, each.commands),
            Figure::new("sent by Redis, each", Unit::Bytes, each.sent),
            Figure::new("PUT p50", Unit::Seconds, load.quantile(0.5)),
            Figure::new("PUT p99", Unit::Seconds, load.quantile(0.99)),
            Figure::new("on all p50", Unit::Seconds, quantile(delays.seen.clone(), 0.5)),
            Figure::new("on all p99", Unit::Seconds, quantile(delays.seen, 0.99)),
            Figure::new("a look at all", Unit::Seconds, quantile(delays.looks, 0.5)),
            Figure::of_machine(used.of_machine()),
        ],
    );
}
