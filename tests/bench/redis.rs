//! A real Redis on a Unix socket of its own, without persistence, so that it is as fast as it can be.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::registrations;

/// How long Redis may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many documents are planted before the replies are read.
const PLANTED_AT_ONCE: usize = 1_000;

/// The lifetime of what is planted, the server's default, in seconds.
const TTL_SECONDS: &str = "21600";

/// A running Redis; killed when dropped.
pub(crate) struct Redis {
    child: Child,
    socket: PathBuf,
    // In the system's temporary directory, because the path of a socket must be short.
    _directory: TempDir,
}

impl Redis {
    /// `None` when it is not installed.
    pub(crate) fn start() -> Option<Redis> {
        let directory = TempDir::new().expect("there is room for temporary files");
        let socket = directory.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        let redis = Redis { child, socket, _directory: directory };
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(&redis.socket).is_err() {
            assert!(Instant::now() < end, "Redis has not come up within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(1));
        }
        Some(redis)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stores the first `count` registrations as the server would.
    pub(crate) fn plant(&self, count: usize) {
        let mut stream = UnixStream::connect(&self.socket).expect("Redis accepts connections");
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
        command.arg("-s").arg(&self.socket).args(["-t", "set", "-P", "1", "-r", "100000", "--csv"]);
        command.args(["-c", &connections.to_string(), "-d", &value_bytes.to_string(), "-n", &count.to_string()]);
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
