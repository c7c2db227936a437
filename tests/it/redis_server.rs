//! Real Redis servers for tests: each in a directory of its own with a Unix socket, frozen, killed and started again at
//! will, and gone with the test.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use redis::{Connection, FromRedisValue, IntoConnectionInfo};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::eventually::{SOON, eventually};
use crate::process::Process;

/// A Redis that can be started more than once on the same data.
pub(crate) struct RedisServer {
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// The port of a node of a cluster.
    node: Option<u16>,
    directory: TempDir,
    process: Option<Process>,
    /// The ports that it listens on, kept while it is down too.
    ports: Vec<Port>,
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

    /// Starts a Redis that listens on a port as well, which is passed to it by this option.
    #[track_caller]
    pub(crate) fn start_on_port(option: &str, arguments: &[&str]) -> (RedisServer, u16) {
        let port = Port::reserve();
        let mut server = RedisServer::prepare(&[&[option, &port.number.to_string()], arguments].concat());
        let number = server.keep(port);
        server.run();
        (server, number)
    }

    /// Starts a node of a cluster that has no slots and knows no others. Returns its ports as well, for clients and for
    /// other nodes.
    #[track_caller]
    pub(crate) fn start_node(arguments: &[&str]) -> (RedisServer, u16, u16) {
        let bus = Port::reserve();
        let bus_port = bus.number.to_string();
        let of_node = ["--cluster-enabled", "yes", "--cluster-port", &bus_port, "--cluster-node-timeout", "2000"];
        let (mut node, port) = RedisServer::start_on_port("--port", &[&of_node, arguments].concat());
        let bus = node.keep(bus);
        node.node = Some(port);
        (node, port, bus)
    }

    /// Starts the only node of a cluster, which has all slots, and waits until it is well. Returns its port as well.
    #[track_caller]
    pub(crate) fn start_cluster(arguments: &[&str]) -> (RedisServer, u16) {
        let (node, port, _) = RedisServer::start_node(arguments);
        let _: () = node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        eventually(SOON, || node.is_well());
        (node, port)
    }

    /// Whether its cluster is well by its own account.
    #[track_caller]
    pub(crate) fn is_well(&self) -> bool {
        self.command::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    }

    /// The variable by which a server finds it.
    pub(crate) fn setting(&self) -> (&'static str, String) {
        match self.node {
            Some(port) => ("REDIS_CLUSTER", format!("127.0.0.1:{port}")),
            None => ("REDIS_URL", self.url()),
        }
    }

    /// Starts a Sentinel with this configuration.
    #[track_caller]
    pub(crate) fn start_sentinel(configuration: &str) -> (RedisServer, u16) {
        let port = Port::reserve();
        let mut server = RedisServer::prepare(&["--sentinel", "--port", &port.number.to_string()]);
        std::fs::write(server.path("redis.conf"), configuration).expect("the directory can be written to");
        let number = server.keep(port);
        server.run();
        (server, number)
    }

    /// A Redis that is not started yet.
    pub(crate) fn prepare(arguments: &[&str]) -> RedisServer {
        let directory = TempDir::new().expect("there is room for temporary files");
        std::fs::write(directory.path().join("redis.conf"), "").expect("the directory can be written to");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        RedisServer { arguments, environment: Vec::new(), node: None, directory, process: None, ports: Vec::new() }
    }

    /// Starts it (again), and waits until it answers.
    #[track_caller]
    pub(crate) fn run(&mut self) {
        self.launch();
        eventually(SOON, || self.answers() || self.has_ended());
        assert!(!self.has_ended(), "Redis ended");
    }

    /// Keeps a port from all others for as long as this value lives.
    fn keep(&mut self, port: Port) -> u16 {
        let number = port.number;
        self.ports.push(port);
        number
    }

    /// Starts it (again) without waiting for it.
    #[track_caller]
    pub(crate) fn launch(&mut self) {
        let mut command = Command::new("redis-server");
        command.current_dir(self.directory.path()).args(["redis.conf", "--unixsocket", "redis.sock"]);
        if !self.arguments.iter().any(|argument| argument == "--port") {
            command.args(["--port", "0"]);
        }
        if !self.arguments.iter().any(|argument| argument == "--sentinel") {
            command.args(["--save", ""]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start(command.args(&self.arguments)));
    }

    fn has_ended(&mut self) -> bool {
        !self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Whether it answers and has read its data; an error is an answer, too, since not everyone may be let in.
    fn answers(&self) -> bool {
        let pong = self.try_connect(None).and_then(|mut connection| redis::cmd("PING").exec(&mut connection));
        pong.map_or_else(|error| !error.is_io_error() && error.code() != Some("LOADING"), |()| true)
    }

    /// Ends it in order; it saves everything before.
    #[track_caller]
    pub(crate) fn stop_and_save(&mut self) {
        // The answer is the end of the connection.
        let _ = redis::cmd("SHUTDOWN").arg("SAVE").exec(&mut self.connect());
        self.process.as_mut().expect("it runs").wait();
        self.process = None;
    }

    /// Adds arguments for the next start.
    pub(crate) fn arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Adds variables for the next start.
    pub(crate) fn environment(&mut self, variables: impl IntoIterator<Item = (&'static str, String)>) {
        self.environment.extend(variables);
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("redis.sock")
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Kills it as a crash would, and waits until it is gone.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process = None;
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
        self.connect_with(None)
    }

    /// A connection with a password.
    #[track_caller]
    pub(crate) fn connect_with(&self, password: Option<&str>) -> Connection {
        self.try_connect(password).expect("Redis accepts connections")
    }

    fn try_connect(&self, password: Option<&str>) -> redis::RedisResult<Connection> {
        let mut info = self.url().into_connection_info()?;
        if let Some(password) = password {
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let connection = redis::Client::open(info)?.get_connection_with_timeout(SOON)?;
        connection.set_read_timeout(Some(SOON))?;
        Ok(connection)
    }

    /// Whether this section of INFO has this text; not while it closes connections, as Sentinels have it do.
    #[track_caller]
    pub(crate) fn says(&self, section: &str, text: &str) -> bool {
        let info =
            self.try_connect(None).and_then(|mut redis| redis::cmd("INFO").arg(section).query::<String>(&mut redis));
        info.is_ok_and(|info| info.contains(text))
    }

    /// Does one command given as words, on a connection of its own.
    #[track_caller]
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        command(&mut self.connect(), words)
    }
}

/// A port that is a program's own, also before it listens there and between two runs of it.
///
/// The socket is bound and does not listen. Linux gives such a port to no one who asks for any, nor to an outgoing
/// connection, and lets whoever sets `SO_REUSEADDR`, as Redis does, listen there (`inet_csk_get_port`).
struct Port {
    number: u16,
    _bound: Socket,
}

impl Port {
    #[track_caller]
    fn reserve() -> Port {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("sockets are free");
        bound.set_reuse_address(true).expect("an option can be set");
        bound.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into()).expect("ports are free");
        let address = bound.local_addr().expect("it is bound").as_socket();
        Port { number: address.expect("it is one of the internet").port(), _bound: bound }
    }
}

/// Does one command given as words.
#[track_caller]
pub(crate) fn command<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query(connection).unwrap_or_else(|e| panic!("{words:?}: {e}"))
}
