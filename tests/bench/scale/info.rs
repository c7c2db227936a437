//! What Redis says of itself, and how long it lets others wait.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ::redis::cmd;

use crate::redis::Redis;

/// The pause between two PINGs.
const PING_EVERY: Duration = Duration::from_millis(2);

/// What INFO and CLIENT LIST say.
pub(super) struct Info {
    /// Memory in use, in bytes.
    pub(super) memory: f64,
    pub(super) clients: f64,
    pub(super) tracking_clients: f64,
    /// What all connections take, in bytes.
    pub(super) clients_memory: f64,
    /// What the connections take that hear of changes.
    pub(super) tracking_memory: f64,
    /// The most that waits for one connection to take it.
    pub(super) longest_output: f64,
    /// Commands since the start.
    pub(super) commands: f64,
    /// Bytes sent since the start.
    pub(super) sent: f64,
}

impl Info {
    pub(super) fn of(redis: &Redis) -> Info {
        let mut connection = redis.connect();
        let info: String = cmd("INFO").query(&mut connection).expect("Redis knows INFO");
        let list: String = cmd("CLIENT").arg("LIST").query(&mut connection).expect("Redis knows CLIENT LIST");
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("INFO has no {name}"))
        };
        let of_client = |line: &str, name: &str| {
            let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("CLIENT LIST has no {name}"))
        };
        // Of each pair, one asks for the reports and the other takes them; without redirection it is one and the same.
        let flags = |line: &str| line.split(' ').find_map(|field| field.strip_prefix("flags=")).map(str::to_owned);
        let asking: Vec<&str> =
            list.lines().filter(|line| flags(line).is_some_and(|flags| flags.contains('t'))).collect();
        let taking: Vec<f64> = asking.iter().map(|line| of_client(line, "redir")).collect();
        let tracks = |line: &&str| asking.contains(line) || taking.contains(&of_client(line, "id"));
        Info {
            memory: field("used_memory"),
            clients: field("connected_clients"),
            tracking_clients: field("tracking_clients"),
            clients_memory: field("mem_clients_normal"),
            tracking_memory: list.lines().filter(tracks).map(|line| of_client(line, "tot-mem")).sum(),
            longest_output: list.lines().map(|line| of_client(line, "omem")).fold(0.0, f64::max),
            commands: field("total_commands_processed"),
            sent: field("total_net_output_bytes"),
        }
    }
}

/// How long Redis takes to answer PING, again and again while some work is done; with what came of the work.
pub(super) fn pinging<T>(redis: &Redis, work: impl FnOnce() -> T) -> (T, Vec<f64>) {
    let mut connection = redis.connect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut pings = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                cmd("PING").exec(&mut connection).expect("Redis answers");
                pings.push(asked.elapsed().as_secs_f64());
                thread::sleep(PING_EVERY);
            }
            pings
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, pings.join().expect("Redis answers"))
    })
}

/// Bytes that the system holds because a program has not read them yet, on connections with Redis in either direction.
pub(super) fn waiting_in_system(redis: &Redis) -> f64 {
    let sockets = fs::read_to_string("/proc/net/tcp").expect("Linux lists connections");
    let port = format!(":{:04X}", redis.address().port());
    // number, local address, remote address, state, bytes to be sent : bytes to be read, ...
    let waiting = sockets.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_open = fields[3] == "01" && (fields[1].ends_with(&port) || fields[2].ends_with(&port));
        let bytes = |hex: &str| u64::from_str_radix(hex, 16).expect("the bytes are hexadecimal") as f64;
        let (sent, received) = fields[4].split_once(':').expect("there are two queues");
        if is_open { bytes(sent) + bytes(received) } else { 0.0 }
    });
    waiting.sum()
}
