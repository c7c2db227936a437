//! The server under load: the built binary in a clean environment, and what the system says of its process.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::ClientConfig;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::connection::{TOKEN, poll};
use crate::load::{Target, processor_seconds};
use crate::wire::trusting;

/// How often to look whether the server has come up.
const LOOK: Duration = Duration::from_micros(500);

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where registrations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Embedded,
    Redis,
}

impl Store {
    /// What the server's log calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Store::Embedded => "embedded",
            Store::Redis => "redis",
        }
    }
}

/// How a server is started, several times one after the other on the same data.
pub(crate) struct Setup {
    store: Store,
    redis_url: Option<String>,
    certificates: Option<Certificates>,
    directory: TempDir,
}

impl Setup {
    /// On a file of its own, on the disk where cargo builds.
    pub(crate) fn embedded() -> Setup {
        Setup { store: Store::Embedded, redis_url: None, certificates: None, directory: directory() }
    }

    /// The same, by TLS.
    pub(crate) fn with_tls() -> Setup {
        Setup { certificates: Some(Certificates::new()), ..Setup::embedded() }
    }

    /// What its servers show to clients, if they speak TLS.
    pub(crate) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// On a Redis.
    pub(crate) fn redis(address: SocketAddr) -> Setup {
        Setup {
            store: Store::Redis,
            redis_url: Some(format!("redis://{address}")),
            certificates: None,
            directory: directory(),
        }
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn start(&self) -> Server {
        self.start_and_look(LOOK)
    }

    /// Starts a server and waits until it is ready, but looks less often: several may be starting.
    pub(crate) fn start_and_look(&self, look: Duration) -> Server {
        // The log goes to a file, as in service, so that nobody has to be woken to read it.
        let path = self.directory.path().join("log");
        let log = File::create(&path).expect("the directory can be written to");
        let mut command = Command::new(env!("CARGO_BIN_EXE_inventor"));
        command
            .env_clear()
            .envs([("APP_ENV", "benchmark"), ("API_TOKEN", TOKEN), ("LISTEN_ADDR", "127.0.0.1"), ("LISTEN_PORT", "0")])
            .env("DATA_DIR", self.directory.path().join("data"))
            .envs(self.redis_url.iter().map(|url| ("REDIS_URL", url)))
            .envs(self.certificates.iter().flat_map(|certificates| {
                [("TLS_CERT", certificates.path("server.crt")), ("TLS_KEY", certificates.path("server.key"))]
            }))
            .envs(further_settings())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let start = Instant::now();
        let child = command.spawn().expect("the server can be run");
        let (address, tls) = (([127, 0, 0, 1], 0).into(), self.certificates.as_ref().map(trusting));
        let mut server = Server { child, address, tls, took: Took::default(), log: path, look };
        server.address = server.wait_for(Server::logged_address);
        server.wait_until_ready();
        server.took = Took { time: start.elapsed(), processor: processor_seconds(server.child.id()) };
        assert!(server.logged("store").is_some(), "the start is logged with the store");
        server
    }

    /// Whether servers of this setup use the store that they were told to.
    pub(crate) fn is_obeyed_by(&self, server: &Server) -> bool {
        server.logged("store").as_deref() == Some(self.store.name())
    }

    /// Where the server keeps its data.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// What `BENCH_ENV` says, for trying out settings.
fn further_settings() -> Vec<(String, String)> {
    let settings = env::var("BENCH_ENV").unwrap_or_default();
    let pair = |setting: &str| setting.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    settings.split_whitespace().map(|setting| pair(setting).expect("BENCH_ENV holds NAME=value")).collect()
}

/// A directory on the disk where cargo builds; the system's own temporary directory may be no disk at all.
pub(crate) fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room for temporary files")
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    took: Took,
    log: PathBuf,
    look: Duration,
}

/// What a start cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    pub(crate) time: Duration,
    /// Processor time, in seconds.
    pub(crate) processor: f64,
}

/// Resident memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The most since [`Server::forget_peak`].
    pub(crate) peak: u64,
}

impl Server {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who is to be loaded.
    pub(crate) fn target(&self) -> Target {
        Target { address: self.address, process: self.child.id(), tls: self.tls.clone() }
    }

    /// From the start of the process to its first answer that it is ready.
    pub(crate) fn took_to_start(&self) -> Took {
        self.took
    }

    /// The resident memory of the process.
    pub(crate) fn memory(&self) -> Memory {
        let status = fs::read_to_string(self.proc("status")).expect("a running process has a status");
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux reports memory");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("memory is a number of kB")
        };
        Memory { now: 1024 * kilobytes("VmRSS:"), peak: 1024 * kilobytes("VmHWM:") }
    }

    /// Starts the peak anew at the memory of this moment.
    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").expect("Linux resets the peak of one's own processes");
    }

    /// Ends it as an operator does, and waits for the end.
    pub(crate) fn end(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait_for(|server| server.child.try_wait().expect("a child can be asked for its status"));
        assert!(status.success(), "the server ended with {status}");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).expect("Linux numbers processes so"));
        kill(process, signal).expect("the server was still running");
    }

    /// Waits until it is ready, as after a start.
    pub(crate) fn wait_until_ready(&mut self) {
        self.wait_for(Server::is_ready);
    }

    fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.child.id()).into()
    }

    fn is_ready(&mut self) -> Option<()> {
        let (status, _) = self.target().connect().fetch(&poll("/-/ready"));
        (status == 200).then_some(())
    }

    fn logged_address(&mut self) -> Option<SocketAddr> {
        let ended = self.child.try_wait().expect("a child can be asked for its status");
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        assert!(ended.is_none(), "the server ended at once:\n{}", log());
        self.logged("address")?.parse().ok()
    }

    /// A value in the line that tells of the start.
    fn logged(&self, key: &str) -> Option<String> {
        let log = fs::read_to_string(&self.log).ok()?;
        let (complete, _) = log.rsplit_once('\n')?;
        let line = complete.lines().find(|line| line.contains("server started"))?;
        let (_, value) = line.split_once(&format!(" {key}="))?;
        value.split(' ').next().map(str::to_owned)
    }

    fn wait_for<T>(&mut self, mut what: impl FnMut(&mut Server) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = what(self) {
                return found;
            }
            if Instant::now() > end {
                panic!("not within {PATIENCE:?}; the log:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            thread::sleep(self.look);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
