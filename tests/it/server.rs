//! The server under test: the built binary in a clean environment, on a port and in a directory of its own.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Connection, Request, Response};
use crate::process::Process;

/// How a server is started. One setup can start several servers one after the other on the same data.
#[derive(Clone)]
pub(crate) struct Setup {
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    /// Shell commands that come before the server in its process.
    prelude: Option<String>,
    directory: Arc<TempDir>,
}

impl Setup {
    /// A server with the token `secret`, the embedded store, and nothing of the surrounding environment.
    pub(crate) fn new() -> Setup {
        let directory = Arc::new(temporary_directory());
        let setup = Setup { environment: Vec::new(), arguments: Vec::new(), prelude: None, directory };
        let data_dir = setup.path("data");
        setup
            .env("APP_ENV", "test")
            .env("API_TOKEN", "secret")
            .env("LISTEN_ADDR", "127.0.0.1")
            .env("LISTEN_PORT", "0")
            .env("DATA_DIR", data_dir.to_str().expect("temporary directories have plain names"))
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Setup {
        self = self.without(name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a variable.
    pub(crate) fn without(mut self, name: &str) -> Setup {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Adds a command line argument.
    pub(crate) fn argument(mut self, argument: &str) -> Setup {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Has a shell run these commands, such as `ulimit`, in the process that then becomes the server.
    pub(crate) fn after(mut self, prelude: &str) -> Setup {
        self.prelude = Some(prelude.to_owned());
        self
    }

    /// A path in the directory that the server works in; the directory goes with the setup.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file into the directory that the server works in; whoever looks finds all of it, or what was there before.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let new = self.path(".new");
        std::fs::write(&new, content).expect("the directory can be written to");
        std::fs::rename(new, &path).expect("a file can take this place");
        path
    }

    /// Starts the server and waits until it listens.
    #[track_caller]
    pub(crate) fn start(&self) -> Server {
        self.started(self.launch())
    }

    /// Starts the server and waits for nothing.
    #[track_caller]
    pub(crate) fn launch(&self) -> Process {
        Process::start(&mut self.command())
    }

    /// Starts the server with a listening socket as systemd passes it: the descriptor 3, announced by variables.
    #[track_caller]
    pub(crate) fn start_with(&self, socket: impl Into<OwnedFd>) -> Server {
        self.started(self.pass(socket.into()))
    }

    /// Starts the binary with a passed socket; it is expected to end by itself.
    #[track_caller]
    pub(crate) fn run_with(&self, socket: impl Into<OwnedFd>) -> Outcome {
        Outcome::of(self.pass(socket.into()))
    }

    #[track_caller]
    fn pass(&self, socket: OwnedFd) -> Process {
        let plain = self.command();
        let mut command = Command::new("sh");
        let pass = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@""#;
        command.args(["-c", pass]).arg(plain.get_program()).args(plain.get_args());
        command.env_clear().current_dir(self.directory.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start_reading(Stdio::from(socket), &mut command)
    }

    #[track_caller]
    fn started(&self, mut process: Process) -> Server {
        let line = process.line_with(&["server started", "address"]);
        let json = serde_json::from_str::<Value>(&line).unwrap_or_default();
        let plain = line.split_once(" address=").and_then(|(_, rest)| rest.split(' ').next());
        let addresses = json["address"].as_str().or(plain).unwrap_or_default();
        let addresses = addresses.split(',').map(str::to_owned).collect();
        Server { process, addresses, _directory: Arc::clone(&self.directory) }
    }

    /// Starts the binary, which is expected to end by itself, and waits for that.
    #[track_caller]
    pub(crate) fn run(&self) -> Outcome {
        Outcome::of(self.launch())
    }

    /// The command that starts the binary.
    pub(crate) fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_inventor");
        let mut command = Command::new(if self.prelude.is_some() { "/bin/sh" } else { binary });
        if let Some(prelude) = &self.prelude {
            command.args(["-c", &format!(r#"{prelude}; exec "$0" "$@""#), binary]);
        }
        command.env_clear().current_dir(self.directory.path()).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// In memory where there is such a place: how long a disk takes to sync while all other tests use it as well is not what
/// these tests are about, and a write that waits too long for it is a 503.
fn temporary_directory() -> TempDir {
    let in_memory = TempDir::new_in("/dev/shm");
    in_memory.or_else(|_| TempDir::new()).expect("there is room for temporary files")
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; `None` when a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    #[track_caller]
    fn of(mut process: Process) -> Outcome {
        let code = process.wait().code();
        Outcome { code, stdout: process.stdout().join("\n"), stderr: process.stderr().join("\n") }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    process: Process,
    addresses: Vec<String>,
    // Keeps the directory while the server works in it.
    _directory: Arc<TempDir>,
}

impl Server {
    /// Starts a server with these variables besides the usual ones.
    #[track_caller]
    pub(crate) fn start(environment: &[(&str, &str)]) -> Server {
        environment.iter().fold(Setup::new(), |setup, (name, value)| setup.env(name, value)).start()
    }

    /// What it said it listens on.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The address that it can be reached at.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        let address = &self.addresses[0];
        address.parse().unwrap_or_else(|e| panic!("the server listens on {address}: {e}"))
    }

    /// The running program.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// Asks it to end, as systemd and Kubernetes do, and returns its exit code.
    #[track_caller]
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.process.signal(Signal::SIGTERM);
        self.process.wait().code()
    }

    /// Opens a connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address())
    }

    /// Sends one request on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Response {
        self.connect().send(request)
    }

    /// GET without a token.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.send(&Request::new("GET", target))
    }

    /// PUT /target with this body and the right token.
    #[track_caller]
    pub(crate) fn put(&self, body: impl AsRef<[u8]>) -> Response {
        self.send(&Request::new("PUT", "/target").token().body(body))
    }

    /// Registers and returns the id.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub(crate) fn register(&self, body: impl AsRef<[u8]>) -> String {
        let response = self.put(body);
        response.has_status(200, "PUT /target");
        response.json()["id"].as_str().expect("the answer has an id").to_owned()
    }

    /// GET /target with this body and the right token.
    #[track_caller]
    pub(crate) fn find(&self, body: impl AsRef<[u8]>) -> Response {
        self.send(&Request::new("GET", "/target").token().body(body))
    }

    /// DELETE /target with this body and the right token.
    #[track_caller]
    pub(crate) fn delete(&self, body: impl AsRef<[u8]>) -> Response {
        self.send(&Request::new("DELETE", "/target").token().body(body))
    }

    /// The entries of /discover that this token may see.
    #[track_caller]
    pub(crate) fn discover_as(&self, token: &str) -> Vec<Value> {
        let response = self.send(&Request::new("GET", "/discover").header("Authorization", format!("Bearer {token}")));
        response.has_status(200, "GET /discover");
        response.json().as_array().expect("the list is an array").clone()
    }

    /// The entries of /discover.
    #[track_caller]
    pub(crate) fn discover(&self) -> Vec<Value> {
        let response = self.get("/discover");
        response.has_status(200, "GET /discover");
        response.json().as_array().expect("the list is an array").clone()
    }

    /// The value of a metric without labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics");
        let value = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("there is no {name}"))
    }
}
