//! The only place that opens connections to Redis: address, Sentinel, TLS, ACL, time limits, and the kind of server
//! that answers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, ConnectionLike, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, Value, cmd, io::tcp::TcpSettings,
};
use parking_lot::Mutex;

use super::cluster::{self, Node, Shard};
use super::fault::Fault;
use super::settings::{Address, Sentinel, Settings, Tls};
use crate::registration::TargetId;

/// How long connecting may take, for each address of a host name.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How long an answer may take. Less than callers wait, so that a write without an answer is given up together with its
/// connection before its client is told.
pub(super) const ANSWER_MAX: Duration = Duration::from_millis(1500);

/// How long each step may take when a Sentinel or a node of a cluster is asked for the master, so that a dead one
/// delays little.
const LOOKUP_MAX: Duration = Duration::from_millis(500);

/// Opens connections as the settings say.
pub struct Connector {
    settings: Mutex<Arc<Settings>>,
    /// The nodes of the cluster that one of them last named: the configured ones may all be gone by now.
    nodes: Mutex<Vec<(String, u16)>>,
}

/// The server process at the other end of a connection.
pub(super) struct ServerProcess {
    /// Changes with every start of the process, and when a replica becomes master.
    pub(super) run_id: String,
    pub(super) origin: Origin,
    /// How far its replication has come, if it has replicas.
    pub(super) replicated: Option<Replicated>,
    pub(super) is_7_or_newer: bool,
    /// What it does when its memory is full.
    pub(super) eviction_policy: String,
}

/// What a server process says about the origin of its data.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    /// Whether its append-only file was new when it started; `None` if it keeps none. An old one holds all but the last
    /// second before the restart.
    pub(super) fresh_append_only_file: Option<bool>,
    /// How many keys it has loaded from the last save; 0 without one. `None` before Redis 7, which does not say.
    pub(super) loaded_keys: Option<usize>,
    /// How many keys other databases held when it was asked.
    pub(super) elsewhere: usize,
    pub(super) age: Duration,
    /// The history that it continues, if it was a replica before, and how much of it it has.
    pub(super) former: Option<(String, u64)>,
}

/// How long a server's history was at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replicated {
    pub(super) history: String,
    /// Its length in bytes.
    pub(super) offset: u64,
    pub(super) at: Instant,
}

impl Replicated {
    pub(super) fn read(info: &str, at: Instant) -> Option<Replicated> {
        let history = Some(field(info, "master_replid")).filter(|history| !history.is_empty())?.to_owned();
        Some(Replicated { history, offset: field(info, "master_repl_offset").parse().ok()?, at })
    }
}

impl Connector {
    pub fn new(settings: Settings) -> Connector {
        if settings.tls.is_some() {
            // Fails only if a provider is installed already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Connector { settings: Mutex::new(Arc::new(settings)), nodes: Mutex::default() }
    }

    /// Opens connections with these settings from now on, which differ only in passwords and certificates. Open
    /// connections stay.
    pub fn replace(&self, settings: Settings) {
        *self.settings.lock() = Arc::new(settings);
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock())
    }

    /// Where the master is now. Asks the Sentinels, or the nodes of the cluster, if there are any.
    pub(super) fn locate(&self) -> Result<ConnectionAddr, Fault> {
        let settings = self.settings();
        match &settings.address {
            Address::Tcp(host, port) => Ok(tcp(&settings, host, *port)),
            Address::Unix(path) => Ok(ConnectionAddr::Unix(path.clone())),
            Address::Sentinel(sentinel) => ask_sentinels(&settings, sentinel),
            Address::Cluster(nodes) => self.ask_nodes(&settings, nodes),
        }
    }

    /// Connects, and waits at most `wait` for each later answer. The server is a master that speaks RESP3.
    pub(super) fn open(&self, address: &ConnectionAddr, wait: Duration) -> Result<(Connection, ServerProcess), Fault> {
        let settings = self.settings();
        let client = client(&settings, address.clone(), identity(&settings))?;
        let mut connection = client.get_connection_with_timeout(CONNECT_MAX).map_err(|error| {
            let accepted = error.is_timeout() || (error.is_connection_dropped() && !error.is_connection_refusal());
            if settings.tls.is_some() && accepted { Fault::TlsUnfinished } else { error.into() }
        })?;
        connection.set_read_timeout(Some(wait))?;
        connection.set_write_timeout(Some(wait))?;
        let server = inspect(&mut connection, &settings)?;
        Ok((connection, server))
    }

    fn ask_nodes(&self, settings: &Settings, named: &[(String, u16)]) -> Result<ConnectionAddr, Fault> {
        let known = self.nodes.lock().clone();
        let mut last = Fault::NoNode("none is named".to_owned());
        for (host, port) in named.iter().chain(known.iter().filter(|node| !named.contains(node))) {
            match ask_node(settings, host, *port) {
                Ok(Shard { master, nodes }) => {
                    let of_this = |(named, port): Node| (named.unwrap_or_else(|| host.clone()), port);
                    *self.nodes.lock() = nodes.into_iter().map(of_this).collect();
                    let (host, port) = of_this(master);
                    return Ok(tcp(settings, &host, port));
                }
                // The node has answered, so its address says nothing.
                Err(
                    fault @ (Fault::Shards
                    | Fault::SlotsMissing
                    | Fault::NoPermission(_)
                    | Fault::WrongPassword
                    | Fault::PasswordNeeded),
                ) => last = fault,
                Err(fault) => last = Fault::NoNode(format!("{host}:{port}: {fault}")),
            }
        }
        Err(last)
    }
}

fn identity(settings: &Settings) -> RedisConnectionInfo {
    let identity = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(settings.database.into());
    identified(identity, settings.username.as_ref(), settings.password.as_ref())
}

fn tcp(settings: &Settings, host: &str, port: u16) -> ConnectionAddr {
    let host = host.to_owned();
    match settings.tls {
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host, port),
    }
}

fn client(settings: &Settings, address: ConnectionAddr, identity: RedisConnectionInfo) -> Result<Client, Fault> {
    // A closed connection is gone at once: otherwise the system would still try to deliver a write after its client was
    // told that it is not done.
    let tcp = TcpSettings::default().set_nodelay(true).set_linger_time(Duration::ZERO);
    // Naming the library needs a right that the minimal ACL user lacks.
    let info: ConnectionInfo =
        address.into_connection_info()?.set_redis_settings(identity.set_skip_set_lib_name()).set_tcp_settings(tcp);
    Ok(match &settings.tls {
        Some(Tls(certificates)) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
            Client::build_with_tls(info, certificates.clone())?
        }
        _ => Client::open(info)?,
    })
}

fn ask_sentinels(settings: &Settings, sentinel: &Sentinel) -> Result<ConnectionAddr, Fault> {
    let mut last = Fault::NoSentinel("none is named".to_owned());
    for (host, port) in &sentinel.hosts {
        match ask_sentinel(settings, host, *port, sentinel) {
            Ok(Some((host, port))) => return Ok(tcp(settings, &host, port)),
            Ok(None) => last = Fault::UnknownMaster(sentinel.master.clone()),
            Err(fault) => last = Fault::NoSentinel(format!("{host}:{port}: {fault}")),
        }
    }
    Err(last)
}

fn ask_sentinel(
    settings: &Settings,
    host: &str,
    port: u16,
    sentinel: &Sentinel,
) -> Result<Option<(String, u16)>, Fault> {
    let (username, password) = (sentinel.username.as_ref(), sentinel.password.as_ref());
    let mut connection = reach(settings, host, port, identified(RedisConnectionInfo::default(), username, password))?;
    Ok(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&sentinel.master).query(&mut connection)?)
}

fn ask_node(settings: &Settings, host: &str, port: u16) -> Result<Shard, Fault> {
    let mut connection = reach(settings, host, port, identity(settings))?;
    cluster::shard(&cmd("CLUSTER").arg("SLOTS").query(&mut connection)?)
}

/// Connects to a server that may know where the master is.
fn reach(settings: &Settings, host: &str, port: u16, identity: RedisConnectionInfo) -> Result<Connection, Fault> {
    let connection = client(settings, tcp(settings, host, port), identity)?.get_connection_with_timeout(LOOKUP_MAX)?;
    connection.set_read_timeout(Some(LOOKUP_MAX))?;
    connection.set_write_timeout(Some(LOOKUP_MAX))?;
    Ok(connection)
}

fn identified(info: RedisConnectionInfo, username: Option<&String>, password: Option<&String>) -> RedisConnectionInfo {
    let info = username.map_or(info.clone(), |username| info.set_username(username));
    password.map_or(info.clone(), |password| info.set_password(password))
}

/// Receives this many answers, including errors of the server.
///
/// # Errors
/// [`Fault::Unreported`] if Redis says that it can no longer report changes. After any error the connection is out of
/// step and useless.
pub(super) fn receive(connection: &mut Connection, count: usize) -> Result<Vec<Value>, Fault> {
    let answer = |_| match connection.recv_response()? {
        // The only message that Redis sends on this connection without being asked.
        Value::Push { .. } => Err(Fault::Unreported),
        answer => Ok(answer),
    };
    (0..count).map(answer).collect()
}

/// Asks a server what it is, and refuses one that cannot serve.
pub(super) fn inspect(connection: &mut dyn ConnectionLike, settings: &Settings) -> Result<ServerProcess, Fault> {
    let asked_at = Instant::now();
    let info: String = cmd("INFO").query(connection)?;
    let field = |name: &str| field(&info, name);
    if field("cluster_enabled") == "1" && !settings.is_cluster() {
        return Err(Fault::Cluster);
    }
    if field("role") != "master" {
        return Err(Fault::Replica);
    }
    if field("loading") == "1" {
        return Err(Fault::Loading);
    }
    Ok(ServerProcess {
        run_id: field("run_id").to_owned(),
        origin: origin(&info, settings.database),
        replicated: Replicated::read(&info, asked_at),
        is_7_or_newer: field("redis_version").split('.').next().and_then(|major| major.parse().ok()) >= Some(7),
        eviction_policy: field("maxmemory_policy").to_owned(),
    })
}

/// The value of a field in the answer to INFO; empty when it is not there.
pub(super) fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).unwrap_or_default()
}

fn origin(info: &str, database: impl ToString) -> Origin {
    let number = |name: &str| field(info, name).parse::<u64>().ok();
    let keys_elsewhere = |line: &str| {
        let (number, keys) = line.strip_prefix("db")?.split_once(":keys=")?;
        if number == database.to_string() { None } else { keys.split(',').next()?.parse::<usize>().ok() }
    };
    let copied_to = number("second_repl_offset").map(|next| next.saturating_sub(1));
    Origin {
        fresh_append_only_file: (field(info, "aof_enabled") == "1").then(|| number("aof_base_size") == Some(0)),
        loaded_keys: field(info, "rdb_last_load_keys_loaded").parse().ok(),
        elsewhere: info.lines().filter_map(keys_elsewhere).sum(),
        age: Duration::from_secs(number("uptime_in_seconds").unwrap_or(u64::MAX)),
        former: copied_to.map(|copied_to| (field(info, "master_replid2").to_owned(), copied_to)),
    }
}

/// A key that nobody has: a probe of it shows whether a write would succeed, and looks like any other to an ACL.
pub(super) fn probe_key() -> String {
    // The keys of these hashers come from the system's source of random numbers.
    let random = || RandomState::new().build_hasher().finish();
    TargetId::of(&[format!("{:016x}{:016x}", random(), random())]).to_string()
}
