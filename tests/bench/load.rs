//! Load from several connections at once, and what came of it.

use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::ClockId;
use nix::unistd::Pid;
use rustls::ClientConfig;

use crate::connection::{Connection, Unavailable};

/// A process that answers.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) process: u32,
    /// How it is spoken to, if that is by TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Target {
    pub(crate) fn connect(&self) -> Connection {
        Connection::open_with(self.address, self.tls.as_ref())
    }
}

/// What connections got that asked again as soon as they were answered.
#[derive(Default)]
pub(crate) struct Load {
    /// Requests answered per second, summed over the connections.
    pub(crate) rate: f64,
    /// Bytes of bodies per second.
    pub(crate) bytes_per_second: f64,
    /// How long each request took, in seconds.
    pub(crate) latencies: Vec<f64>,
    /// How many further requests were answered by a 503.
    pub(crate) failed: usize,
    /// Processor time that the answering process used for each request, in seconds.
    pub(crate) processor: f64,
    /// Processor time that this process used for each request, in seconds.
    pub(crate) own_processor: f64,
}

impl Load {
    /// The time within which this share of the requests was answered, in seconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        quantile(self.latencies.clone(), share)
    }

    /// The medians of several loads, and all their latencies.
    pub(crate) fn median(loads: &[Load]) -> Load {
        Load {
            rate: median(loads.iter().map(|load| load.rate)),
            bytes_per_second: median(loads.iter().map(|load| load.bytes_per_second)),
            latencies: loads.iter().flat_map(|load| load.latencies.iter().copied()).collect(),
            failed: loads.iter().map(|load| load.failed).sum(),
            processor: median(loads.iter().map(|load| load.processor)),
            own_processor: median(loads.iter().map(|load| load.own_processor)),
        }
    }
}

/// The value in the middle; of an even number of values, the upper one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values.collect(), 0.5)
}

/// The value below which this share of the values is.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Loads a server for a while from this many connections, each of which has asked once before the time begins.
pub(crate) fn run<R: AsRef<[u8]>>(
    target: Target,
    connections: usize,
    duration: Duration,
    request: impl Fn() -> R + Sync,
) -> Load {
    run_each(&target, connections, duration, || {
        let mut connection = target.connect();
        let request = &request;
        move || connection.exchange(request().as_ref())
    })
}

/// The same, with another connection for each request.
pub(crate) fn run_anew(target: &Target, clients: usize, duration: Duration, request: &[u8]) -> Load {
    run_each(target, clients, duration, || || target.connect().exchange(request))
}

/// Loads a server for a while from this many clients, each of which has asked once before the time begins.
fn run_each<C: FnMut() -> Result<usize, Unavailable>>(
    target: &Target,
    clients: usize,
    duration: Duration,
    client: impl Fn() -> C + Sync,
) -> Load {
    let barrier = Barrier::new(clients);
    let client = || {
        let mut ask = client();
        // Whether it went well shows in the ones that count.
        let _ = ask();
        barrier.wait();
        ask_for(duration, ask)
    };
    let (before, own_before) = (processor_seconds(target.process), processor_seconds(process::id()));
    let mut total = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let mut total = Load::default();
        for client in clients {
            let load = client.join().expect("a client got its answers");
            total.rate += load.rate;
            total.bytes_per_second += load.bytes_per_second;
            total.latencies.extend(load.latencies);
            total.failed += load.failed;
        }
        total
    });
    let requests = (total.latencies.len() + total.failed + clients) as f64;
    total.processor = (processor_seconds(target.process) - before) / requests;
    total.own_processor = (processor_seconds(process::id()) - own_before) / requests;
    total
}

fn ask_for(duration: Duration, mut ask: impl FnMut() -> Result<usize, Unavailable>) -> Load {
    let start = Instant::now();
    let mut load = Load::default();
    let mut bytes = 0;
    while start.elapsed() < duration {
        let sent = Instant::now();
        match ask() {
            Ok(body_bytes) => {
                load.latencies.push(sent.elapsed().as_secs_f64());
                bytes += body_bytes;
            }
            Err(Unavailable) => load.failed += 1,
        }
    }
    // A connection's own time, since its last answer may come long after the others' when answers are large.
    let seconds = start.elapsed().as_secs_f64();
    load.rate = load.latencies.len() as f64 / seconds;
    load.bytes_per_second = bytes as f64 / seconds;
    load
}

/// Sends requests evenly spaced in time, `rate` per second from several connections, while `work` runs; the connections
/// take the addresses in turns. Returns what came of the work, and of the requests.
pub(crate) fn beside<R: AsRef<[u8]>, T>(
    addresses: &[SocketAddr],
    connections: usize,
    rate: f64,
    request: impl Fn() -> R + Sync,
    work: impl FnOnce() -> T,
) -> (T, Load) {
    let (due, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let start = Instant::now();
    let write = |address: SocketAddr| {
        let mut connection = Connection::open(address);
        let mut load = Load::default();
        loop {
            let at = due.fetch_add(1, Ordering::Relaxed) as f64 / rate;
            thread::sleep((start + Duration::from_secs_f64(at)).saturating_duration_since(Instant::now()));
            if done.load(Ordering::Relaxed) {
                return load;
            }
            let sent = Instant::now();
            match connection.exchange(request().as_ref()) {
                Ok(_) => load.latencies.push(sent.elapsed().as_secs_f64()),
                Err(Unavailable) => load.failed += 1,
            }
        }
    };
    thread::scope(|scope| {
        let write = &write;
        let of_turn = |turn: usize| addresses[turn % addresses.len()];
        let writers: Vec<_> = (0..connections).map(|turn| scope.spawn(move || write(of_turn(turn)))).collect();
        let result = work();
        done.store(true, Ordering::Relaxed);
        let seconds = start.elapsed().as_secs_f64();
        let mut total = Load::default();
        for writer in writers {
            let load = writer.join().expect("a writer got its answers");
            total.latencies.extend(load.latencies);
            total.failed += load.failed;
        }
        total.rate = total.latencies.len() as f64 / seconds;
        (result, total)
    })
}

/// Sends each of `count` requests until it succeeds, from several connections; returns how many per second were answered.
pub(crate) fn each(
    target: &Target,
    connections: usize,
    count: usize,
    request: impl Fn(usize) -> Vec<u8> + Sync,
) -> f64 {
    let next = AtomicUsize::new(0);
    let client = || {
        let mut connection = target.connect();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            let request = request(at);
            while connection.exchange(&request).is_err() {}
        }
    };
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(client);
        }
    });
    count as f64 / start.elapsed().as_secs_f64()
}

/// Processor time that a process has used, in seconds.
pub(crate) fn processor_seconds(process: u32) -> f64 {
    let process = Pid::from_raw(i32::try_from(process).expect("Linux numbers processes so"));
    let clock = ClockId::pid_cpu_clock_id(process).expect("a running process has such a clock");
    Duration::from(clock.now().expect("a clock tells the time")).as_secs_f64()
}
