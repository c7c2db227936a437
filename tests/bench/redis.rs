//! A real Redis on a port of its own, without persistence, so that it is as fast as it can be.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ::redis::{Client, Connection};
use tempfile::TempDir;

use crate::registrations;

/// How long Redis may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many documents are planted before the replies are read.
const PLANTED_AT_ONCE: usize = 1_000;

/// How many keys `redis-benchmark` writes to.
const KEYS: &str = "100000";

/// The lifetime of what is planted, the server's default, in seconds.
const TTL_SECONDS: &str = "21600";

/// How often a port is chosen anew because someone else was faster.
const PORT_TRIES: usize = 20;

/// A running Redis; killed when dropped.
pub(crate) struct Redis {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Redis {
    /// `None` when it is not installed.
    pub(crate) fn start() -> Option<Redis> {
        for _ in 0..PORT_TRIES {
            let directory = TempDir::new().expect("there is room for temporary files");
            let free = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
            let address = free.local_addr().expect("a listener has an address");
            drop(free);
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.args(["--port", &address.port().to_string()]).current_dir(directory.path());
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
            let mut redis = Redis { child, address, _directory: directory };
            if redis.comes_up() {
                return Some(redis);
            }
        }
        panic!("no port is free");
    }

    fn comes_up(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < end, "Redis has not come up within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(1));
        }
        // Who answers is someone else when this one ended because the port was taken.
        self.child.try_wait().expect("a child can be asked for its status").is_none()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, to see its processor time.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection for looking at it.
    pub(crate) fn connect(&self) -> Connection {
        let client = Client::open(format!("redis://{}", self.address)).expect("it is an address");
        client.get_connection().expect("Redis accepts connections")
    }

    /// Stores the first `count` registrations as the server would.
    pub(crate) fn plant(&self, count: usize) {
        let mut stream = TcpStream::connect(self.address).expect("Redis accepts connections");
        let mut replies = BufReader::new(stream.try_clone().expect("a socket has two ends"));
        let numbers: Vec<usize> = (0..count).collect();
        for numbers in numbers.chunks(PLANTED_AT_ONCE) {
            let mut commands = Vec::new();
            for number in numbers {
                let (key, value) = registrations::document(*number);
                write_command(&mut commands, &[b"SET", key.as_bytes(), &value, b"EX", TTL_SECONDS.as_bytes()]);
            }
            stream.write_all(&commands).expect("Redis reads commands");
            for _ in numbers {
                let mut reply = String::new();
                replies.read_line(&mut reply).expect("Redis replies");
                assert_eq!(reply, "+OK\r\n");
            }
        }
    }

    /// SETs per second and their p99 in seconds by `redis-benchmark`: connections of one command at a time,
    /// values of this size.
    pub(crate) fn benchmark(&self, connections: usize, value_bytes: usize, count: usize) -> (f64, f64) {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", "127.0.0.1", "-p", &self.address.port().to_string(), "-t", "set", "-P", "1", "--csv"]);
        command.args([
            "-c",
            &connections.to_string(),
            "-d",
            &value_bytes.to_string(),
            "-n",
            &count.to_string(),
            "-r",
            KEYS,
        ]);
        let output = command.output().expect("redis-benchmark comes with redis-server");
        let text = String::from_utf8_lossy(&output.stdout);
        // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",...
        let line = text.lines().find(|line| line.starts_with("\"SET\"")).expect("redis-benchmark reports SET");
        let field = |at: usize| line.split(',').nth(at).and_then(|field| field.trim_matches('"').parse::<f64>().ok());
        let (Some(rate), Some(p99)) = (field(1), field(6)) else { panic!("redis-benchmark wrote {text}") };
        (rate, p99 / 1000.0)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail only when it has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Encodes a command in RESP.
fn write_command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}
