//! Real Redis servers for tests: on a Unix socket in a directory of their own, stopped, killed and started again at
//! will, and gone with the test.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use redis::{Connection, FromRedisValue, IntoConnectionInfo};
use tempfile::TempDir;

use crate::eventually::{SOON, eventually_some};
use crate::process::Process;

/// A Redis that can be started more than once on the same data.
pub(crate) struct RedisServer {
    arguments: Vec<String>,
    directory: TempDir,
    process: Option<Process>,
}

impl RedisServer {
    /// Starts a Redis that keeps nothing over a restart.
    #[track_caller]
    pub(crate) fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// Starts a Redis with these arguments, and waits until it answers.
    #[track_caller]
    pub(crate) fn start_with(arguments: &[&str]) -> RedisServer {
        let mut server = RedisServer::prepare(arguments);
        server.run();
        server
    }

    /// A Redis that is not started yet.
    pub(crate) fn prepare(arguments: &[&str]) -> RedisServer {
        let directory = TempDir::new().expect("there is room for temporary files");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        RedisServer { arguments, directory, process: None }
    }

    /// Starts it (again), and waits until it answers.
    #[track_caller]
    pub(crate) fn run(&mut self) {
        self.launch();
        // An error is an answer, too: this user may not be let in.
        eventually_some(SOON, || self.try_connect().map_or_else(|e| (!e.is_io_error()).then_some(()), |_| Some(())));
    }

    /// Starts it (again) without waiting for it.
    #[track_caller]
    pub(crate) fn launch(&mut self) {
        let mut command = Command::new("redis-server");
        command.current_dir(self.directory.path()).args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
        self.process = Some(Process::start(command.args(&self.arguments)));
    }

    /// Adds arguments for the next start.
    pub(crate) fn arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// A path in the directory that it works in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Kills it as a crash would, and waits until it is gone.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to end in an orderly way, and waits until it is gone.
    #[track_caller]
    pub(crate) fn shut_down(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::SIGTERM);
        process.wait();
    }

    /// Stops it in its tracks: its sockets stay open and nothing is answered.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    #[track_caller]
    pub(crate) fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::SIGCONT);
    }

    /// A connection for the test itself, as another program would have it.
    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("Redis accepts connections")
    }

    fn try_connect(&self) -> redis::RedisResult<Connection> {
        let connection = redis::Client::open(self.url().into_connection_info()?)?.get_connection_with_timeout(SOON)?;
        connection.set_read_timeout(Some(SOON))?;
        Ok(connection)
    }

    /// Does one command given as words, on a connection of its own.
    #[track_caller]
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        command(&mut self.connect(), words)
    }
}

/// Does one command given as words.
#[track_caller]
pub(crate) fn command<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query(connection).unwrap_or_else(|e| panic!("{words:?}: {e}"))
}
