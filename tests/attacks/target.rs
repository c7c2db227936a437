//! The server under attack: how it is reached, what it holds of the machine, and whether it gives that back.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::eventually::{SOON, eventually};
use crate::probe::{self, Probes};
use crate::process::Process;
use crate::wire::{Wire, trusting};

/// How much more than before the server may hold after an attack.
const GROWTH_MAX: f64 = 1.2;

/// What a server may hold in any case, in KiB: the allocator keeps some of what a crowd of responses took for a moment.
const RESIDENT_KIB_ALLOWED: u64 = 64 * 1024;

/// How long an answer to an attacker may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

/// The time within which the watchdog of systemd wants to be fed.
const WATCHDOG_PERIOD: Duration = Duration::from_secs(2);

/// How often resources are looked at for their peak.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// How long an attack is kept up: as many seconds as `ATTACK_SECONDS` says, two if nothing does.
pub(crate) fn attack_time() -> Duration {
    let seconds = std::env::var("ATTACK_SECONDS").map_or(2, |text| text.parse().expect("ATTACK_SECONDS is a number"));
    Duration::from_secs(seconds)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
    /// TCP with TLS, in the requests of honest clients as well.
    Tls,
}

/// The server under attack; killed when dropped.
pub(crate) struct Target {
    transport: Transport,
    address: SockAddr,
    process: Process,
    /// How a client speaks TLS, if the server does.
    config: Option<Arc<ClientConfig>>,
    /// Where it feeds the watchdog.
    manager: UnixDatagram,
    _directory: TempDir,
    // Kept for as long as the server may read them again.
    _certificates: Option<Certificates>,
}

/// What the server is like.
pub(crate) struct Settings {
    pub(crate) transport: Transport,
    pub(crate) connections_max: usize,
    /// How long the list is at least.
    pub(crate) list_bytes: usize,
    /// Whether `/metrics` shows each target.
    pub(crate) target_info: bool,
    pub(crate) thread_limit: Option<ThreadLimit>,
}

impl Settings {
    /// As many connections as by default, and a list that no client reads at once.
    pub(crate) fn new(transport: Transport) -> Settings {
        Settings { transport, connections_max: 1024, list_bytes: 20_000_000, target_info: true, thread_limit: None }
    }
}

/// How many threads a user may have in all its processes, if it is not root.
pub(crate) struct ThreadLimit {
    pub(crate) user: u32,
    pub(crate) threads: usize,
}

/// What a process holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resources {
    pub(crate) resident_kib: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Target {
    /// Starts a server that has already served nearly as many clients as it lets in, so that what it keeps for the
    /// next crowd is not mistaken for a leak.
    pub(crate) fn start(settings: Settings) -> Target {
        let (list_bytes, crowd) = (settings.list_bytes, settings.connections_max - settings.connections_max / 16);
        let target = Target::start_fresh(settings);
        target.fill_list(list_bytes);
        let length = target.read_list();
        assert!(length > list_bytes, "{length} bytes are no large list");
        let mut crowd: Vec<Wire> =
            (0..crowd).map(|_| target.ask("GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        crowd.iter_mut().for_each(|client| assert!(read_some(client).starts_with(b"HTTP/1.1 200 OK\r\n")));
        drop(crowd);
        eventually(SOON, || target.resources().threads < 100);
        target
    }

    /// Starts a server, as the user of the thread limit if there is one.
    pub(crate) fn start_fresh(settings: Settings) -> Target {
        let Settings { transport, connections_max, target_info, thread_limit, .. } = settings;
        // In memory where possible: the probes measure the edge and not the disk.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let directory = directory.expect("there is room for temporary files");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let listen = match transport {
            Transport::Tcp | Transport::Tls => "127.0.0.1".to_owned(),
            Transport::Unix => format!("unix:{}", path("socket")),
        };
        let manager = UnixDatagram::bind(path("notify")).unwrap();
        fs::set_permissions(path("notify"), fs::Permissions::from_mode(0o777)).unwrap();
        let built = env!("CARGO_BIN_EXE_inventor");
        let mut command = Command::new(built);
        if let Some(ThreadLimit { user, threads }) = thread_limit {
            // It may not be able to reach the place where the binary was built.
            fs::copy(built, path("inventor")).expect("the binary can be copied");
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
            chown(directory.path(), Some(user), None).expect("root may give a directory away");
            command = Command::new("/usr/bin/prlimit");
            command.arg(format!("--nproc={threads}")).arg(path("inventor")).uid(user);
        }
        command.env_clear().current_dir(&directory).envs([
            ("APP_ENV", "test"),
            ("API_TOKEN", "secret"),
            ("LISTEN_ADDR", &listen),
            ("LISTEN_PORT", "0"),
            ("DATA_DIR", &path("data")),
            ("TARGET_INFO", if target_info { "on" } else { "off" }),
            ("MAX_CONNECTIONS", &connections_max.to_string()),
            ("NOTIFY_SOCKET", &path("notify")),
            ("WATCHDOG_USEC", &WATCHDOG_PERIOD.as_micros().to_string()),
            // Each write leaves a line, and there are many.
            ("RUST_LOG", "warn,inventor::serve=info"),
        ]);
        let certificates = (transport == Transport::Tls).then(Certificates::new);
        if let Some(certificates) = &certificates {
            command.env("TLS_CERT", certificates.path("server.crt")).env("TLS_KEY", certificates.path("server.key"));
        }
        let mut process = Process::start(&mut command);
        let line = process.line_with(&["server started", " address="]);
        let address = line.split_once(" address=").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
        let address = match transport {
            Transport::Tcp | Transport::Tls => address.parse::<SocketAddr>().expect("it listens on TCP").into(),
            Transport::Unix => SockAddr::unix(path("socket")).unwrap(),
        };
        let config = certificates.as_ref().map(trusting);
        Target { transport, address, process, config, manager, _directory: directory, _certificates: certificates }
    }

    /// Registers what the probes register, and targets until the list has this length.
    fn fill_list(&self, bytes: usize) {
        assert!(read_some(&mut self.ask(probe::PUT)).starts_with(b"HTTP/1.1 200 OK\r\n"));
        for group in 0..bytes / 50_000 {
            let targets: Vec<String> = (0..2600).map(|n| format!("\"host-{group:03}-{n:04}:9100\"")).collect();
            let body = format!("{{\"static_config\":{{\"targets\":[{}]}}}}", targets.join(","));
            let head = "PUT /target HTTP/1.1\r\nHost: a\r\nx-api-token: secret\r\nConnection: close\r\n";
            let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            // A machine that is busy with something else may need more than one try.
            eventually(SOON, || read_some(&mut self.ask(&request)).starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
    }

    /// Has the list rendered, so that it is in memory whenever that is measured, and returns its length.
    fn read_list(&self) -> usize {
        read_all(&mut self.ask("GET /discover HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).len()
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Socket {
        self.try_connect().expect("the server accepts connections")
    }

    pub(crate) fn try_connect(&self) -> std::io::Result<Socket> {
        self.connect_with(|_| Ok(()))
    }

    /// Opens a connection with a socket that was prepared for it.
    pub(crate) fn connect_with(&self, prepare: impl FnOnce(&Socket) -> std::io::Result<()>) -> std::io::Result<Socket> {
        let socket = Socket::new(self.address.domain(), Type::STREAM, None)?;
        prepare(&socket)?;
        socket.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        socket.set_write_timeout(Some(ANSWER_WAIT_MAX))?;
        if self.address.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
        }
        socket.connect(&self.address)?;
        Ok(socket)
    }

    /// Opens a connection and sends these bytes, or as many of them as the server takes.
    #[track_caller]
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) -> Socket {
        let socket = self.connect();
        let _ = (&socket).write_all(bytes.as_ref());
        socket
    }

    /// How a client speaks TLS, if the server does.
    pub(crate) fn config(&self) -> Option<&Arc<ClientConfig>> {
        self.config.as_ref()
    }

    /// A connection for requests.
    pub(crate) fn try_open(&self) -> std::io::Result<Wire> {
        Ok(Wire::new(self.try_connect()?, self.config()))
    }

    /// Makes a request as an honest client does.
    #[track_caller]
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Wire {
        let mut wire = self.try_open().expect("the server accepts connections");
        let _ = wire.write_all(request.as_ref());
        wire
    }

    /// What the server holds now.
    pub(crate) fn resources(&self) -> Resources {
        let directory = format!("/proc/{}", self.process.id());
        let status = fs::read_to_string(format!("{directory}/status")).expect("the server is alive");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("the system says what it holds")
        };
        let descriptors = fs::read_dir(format!("{directory}/fd")).expect("the server is alive").count() as u64;
        Resources { resident_kib: field("VmRSS:"), threads: field("Threads:"), descriptors }
    }

    /// The longest time between two feeds of the watchdog.
    fn longest_hunger_until(&self, over: &AtomicBool) -> Duration {
        self.manager.set_nonblocking(true).unwrap();
        // What was told before the attack does not count.
        while self.manager.recv(&mut [0; 64]).is_ok() {}
        let (mut fed, mut longest) = (Instant::now(), Duration::ZERO);
        while !over.load(Ordering::SeqCst) {
            let mut message = [0; 64];
            if self.manager.recv(&mut message).is_ok_and(|length| message[..length].starts_with(b"WATCHDOG=1")) {
                fed = Instant::now();
            }
            longest = longest.max(fed.elapsed());
            thread::sleep(SAMPLE_INTERVAL);
        }
        longest
    }

    /// Runs an attack beside the probes and the watchdog; afterwards the server holds no more than before.
    #[track_caller]
    pub(crate) fn attack(&self, name: &str, attack: impl FnOnce()) {
        let Watched { probes, before, hunger, .. } = self.watch(name, attack);
        let is_back = |after: Resources| {
            let within = |after: u64, before: u64| after as f64 <= before as f64 * GROWTH_MAX;
            within(after.resident_kib, before.resident_kib.max(RESIDENT_KIB_ALLOWED))
                && within(after.threads, before.threads)
                && within(after.descriptors, before.descriptors)
        };
        let begun = Instant::now();
        let mut after = self.resources();
        while !is_back(after) && begun.elapsed() < SOON {
            thread::sleep(SAMPLE_INTERVAL);
            after = self.resources();
        }
        println!("    after that {after:?}");
        probes.check(name);
        self.check_hunger(name, hunger);
        assert!(is_back(after), "{name}: the server keeps what the attack cost: {before:?}, then {after:?}");
    }

    #[track_caller]
    pub(crate) fn check_hunger(&self, name: &str, hunger: Duration) {
        assert!(hunger <= WATCHDOG_PERIOD, "{name}: the watchdog was not fed for {hunger:?}");
    }

    /// Runs an attack beside the probes and the watchdog.
    pub(crate) fn watch(&self, name: &str, attack: impl FnOnce()) -> Watched {
        self.read_list();
        let before = self.resources();
        let over = AtomicBool::new(false);
        let (probes, peak, hunger) = thread::scope(|scope| {
            let hunger = scope.spawn(|| self.longest_hunger_until(&over));
            let peak = scope.spawn(|| self.peak_until(&over));
            let probes = scope.spawn(|| Probes::send_until(self, &over));
            let attacking = SetOnDrop(&over);
            attack();
            drop(attacking);
            let probes = probes.join().expect("probes do not panic");
            (probes, peak.join().expect("the server is alive"), hunger.join().expect("waiting does not panic"))
        });
        self.read_list();
        println!(
            "{:?}: {name}: {probes}; watchdog fed within {} ms; memory KiB {}/{}, threads {}/{}, descriptors {}/{} before/peak",
            self.transport,
            hunger.as_millis(),
            before.resident_kib,
            peak.resident_kib,
            before.threads,
            peak.threads,
            before.descriptors,
            peak.descriptors,
        );
        Watched { probes, before, peak, hunger }
    }

    fn peak_until(&self, over: &AtomicBool) -> Resources {
        let mut peak = Resources::default();
        while !over.load(Ordering::SeqCst) {
            let now = self.resources();
            peak.resident_kib = peak.resident_kib.max(now.resident_kib);
            peak.threads = peak.threads.max(now.threads);
            peak.descriptors = peak.descriptors.max(now.descriptors);
            thread::sleep(SAMPLE_INTERVAL);
        }
        peak
    }
}

/// What was seen while an attack went on.
pub(crate) struct Watched {
    pub(crate) probes: Probes,
    /// What the server held before.
    pub(crate) before: Resources,
    /// What it held at most.
    pub(crate) peak: Resources,
    /// The longest time between two feeds of the watchdog.
    pub(crate) hunger: Duration,
}

/// Ends the threads beside an attack, also when that fails.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The first bytes that come back; none when the server has closed.
pub(crate) fn read_some(mut client: impl Read) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let read = client.read(&mut bytes).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// Everything that comes back until the server closes.
pub(crate) fn read_all(mut client: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = client.read_to_end(&mut bytes);
    bytes
}
