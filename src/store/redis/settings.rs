//! How to reach Redis: plain values, and parsing them from a URL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::{ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

use crate::pem::{Authorities, Identity};

/// The default number of connections for commands.
pub const POOL_SIZE_DEFAULT: u32 = 16;

/// How often everything is read again by default.
pub const RESYNC_EVERY_DEFAULT: Duration = Duration::from_secs(600);

/// All settings of Redis. They hold secrets, and so cannot be printed.
#[derive(Clone)]
pub struct Settings {
    pub address: Address,
    pub database: u32,
    /// The ACL user; `None` is the user `default`.
    pub username: Option<String>,
    pub password: Option<String>,
    /// For Redis and the Sentinels alike; `None` means no TLS.
    pub tls: Option<Tls>,
    /// The most connections for reading single registrations, and so the most parallel reads.
    pub pool_size: u32,
    /// Whether registrations that Redis lost in a restart are put back.
    pub restore: bool,
    /// How often everything is read again, because no server reports some changes (SWAPDB); less often if reading takes
    /// long.
    pub resync_every: Duration,
}

#[derive(Clone)]
pub enum Address {
    /// A host name or an IP address, and a port.
    Tcp(String, u16),
    Unix(PathBuf),
    /// The master that the Sentinels name.
    Sentinel(Sentinel),
    /// The master of a cluster of one shard. These nodes are asked for it, in this order.
    Cluster(Vec<(String, u16)>),
}

#[derive(Clone)]
pub struct Sentinel {
    /// Their hosts and ports, asked in this order.
    pub hosts: Vec<(String, u16)>,
    /// The name under which they watch the master.
    pub master: String,
    pub username: Option<String>,
    pub password: Option<String>,
}

/// The authorities that TLS trusts, and the client certificate that it shows.
#[derive(Clone)]
pub struct Tls(pub(super) TlsCertificates);

impl Tls {
    /// Trusts `ca` instead of the system's authorities, and shows `identity`.
    pub fn new(ca: Option<Authorities>, identity: Option<Identity>) -> Tls {
        let client_tls = identity.map(|identity| {
            let [client_cert, client_key] = identity.pem;
            ClientTlsConfig { client_cert, client_key }
        });
        Tls(TlsCertificates { client_tls, root_cert: ca.map(|ca| ca.pem) })
    }
}

impl Default for Tls {
    fn default() -> Tls {
        Tls::new(None, None)
    }
}

impl Settings {
    /// The default settings for this address: database 0, no password, no TLS, restoring.
    pub fn new(address: Address) -> Settings {
        Settings {
            address,
            database: 0,
            username: None,
            password: None,
            tls: None,
            pool_size: POOL_SIZE_DEFAULT,
            restore: true,
            resync_every: RESYNC_EVERY_DEFAULT,
        }
    }

    /// Whether it is a cluster, whose nodes refuse transactions over several keys.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.address, Address::Cluster(_))
    }

    /// Parses `redis://user:password@host:port/database`, the same with `rediss://` for TLS, or
    /// `redis+unix:///path?db=database&user=user&pass=password`. Special characters in a name or password are
    /// percent-encoded.
    ///
    /// # Errors
    /// [`InvalidUrl`] says what is wrong, without the URL, which may hold a password.
    pub fn from_url(url: &str) -> Result<Settings, InvalidUrl> {
        let info: ConnectionInfo = url.into_connection_info().map_err(|e| match e.detail() {
            Some(detail) => InvalidUrl(format!("{}: {detail}", e.category())),
            None => InvalidUrl(
                "not of the form redis://user:password@host:port/database, rediss://... or redis+unix:///path?db=0 \
                 (percent-encode /, #, ?, @ and : in a password)"
                    .to_owned(),
            ),
        })?;
        let (address, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (Address::Tcp(host.clone(), *port), None),
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
                (Address::Tcp(host.clone(), *port), Some(Tls::default()))
            }
            ConnectionAddr::Unix(path) => (Address::Unix(path.clone()), None),
            _ => return Err(InvalidUrl("#insecure is not supported: name the CA that signed the certificate".into())),
        };
        let redis = info.redis_settings();
        Ok(Settings {
            database: u32::try_from(redis.db()).map_err(|_| InvalidUrl("the database number is negative".into()))?,
            username: redis.username().map(str::to_owned),
            password: redis.password().map(str::to_owned),
            tls,
            ..Settings::new(address)
        })
    }
}

/// Why a URL is not an address of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUrl(String);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidUrl {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Sentinel(sentinel) => write!(f, "sentinel:{}", sentinel.master),
            Address::Cluster(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect();
                write!(f, "cluster:{}", nodes.join(","))
            }
        }
    }
}
