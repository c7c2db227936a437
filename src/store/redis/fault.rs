//! What can go wrong between this server and Redis, in words that tell an operator what to do.

use std::fmt;

use ::redis::{ErrorKind, RedisError, ServerError};

/// Why Redis cannot be used now.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// No connection, or it broke.
    Connection(RedisError),
    Tls(TlsFault, RedisError),
    Silent,
    /// The connection was made but the TLS handshake was not: servers do not always say what they reject.
    TlsUnfinished,
    /// A server before version 6, or a proxy that does not speak RESP3.
    NoResp3,
    NoTracking(RedisError),
    WrongPassword,
    PasswordNeeded,
    /// The ACL user lacks a right; the text is the server's, which names it.
    NoPermission(String),
    /// The ACL user lacks a right that only some writes need.
    NoPermissionForSome(String),
    Replica,
    /// The server belongs to a Redis Cluster, but is not configured as one.
    Cluster,
    /// Another node of the cluster takes the writes now.
    Moved,
    /// The cluster cannot serve; the text is the server's.
    ClusterDown(String),
    /// Several nodes of the cluster have slots.
    Shards,
    /// No node of the cluster has some of the slots.
    SlotsMissing,
    /// No node of the cluster answered; the text is about the last one asked.
    NoNode(String),
    Loading,
    Full,
    /// The server refuses writes because it cannot save them; the text is its own.
    CannotSave(String),
    /// Two connections reached two different server processes.
    ChangedServer,
    /// No Sentinel answered; the text is about the last one asked.
    NoSentinel(String),
    /// The Sentinels do not know a master of this name.
    UnknownMaster(String),
    WrongType,
    Server(RedisError),
    /// An answer that does not fit the question.
    Unexpected(&'static str),
    /// The connection that reports changes is gone.
    Unreported,
    /// The turn of the write did not come in time, or others changed its values again and again.
    Contended,
    /// The session ended before anything was sent.
    Outdated,
    /// The session ended before the answer came.
    Unanswered,
    /// Every pooled connection stayed in use, or none could be opened; the text says why, if known.
    PoolEmpty(String),
    Thread(std::io::ErrorKind),
    /// The first connection has not been made yet.
    Starting,
    /// Connected, but the first full load is not finished.
    Unloaded,
    /// The store was closed.
    Closed,
}

/// Which side of TLS fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsFault {
    Server,
    Client,
    None,
}

impl TlsFault {
    /// The library passes its error on only as text.
    fn of(error: &RedisError) -> Option<TlsFault> {
        let text = error.to_string();
        let beginnings = [
            ("invalid peer certificate", TlsFault::Server),
            ("received fatal alert", TlsFault::Client),
            ("received corrupt message", TlsFault::None),
        ];
        beginnings.into_iter().find(|(beginning, _)| text.starts_with(beginning)).map(|(_, fault)| fault)
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Fault {
        let detail = || error.detail().unwrap_or_default().to_owned();
        match (error.kind(), error.code()) {
            (ErrorKind::RESP3NotSupported, _) | (_, Some("NOPROTO")) => Fault::NoResp3,
            (_, Some("ERR")) if names_hello(&detail()) => Fault::NoResp3,
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => Fault::WrongPassword,
            (_, Some("NOAUTH")) => Fault::PasswordNeeded,
            (_, Some("NOPERM")) => Fault::NoPermission(detail()),
            (_, Some("READONLY")) => Fault::Replica,
            (_, Some("MOVED" | "ASK")) => Fault::Moved,
            (_, Some("CLUSTERDOWN")) => Fault::ClusterDown(detail()),
            (_, Some("WRONGTYPE")) => Fault::WrongType,
            (_, Some("LOADING")) => Fault::Loading,
            (_, Some("OOM")) => Fault::Full,
            (_, Some("MISCONF")) => Fault::CannotSave(detail()),
            (ErrorKind::Io, _) if error.is_timeout() => Fault::Silent,
            (ErrorKind::Io | ErrorKind::InvalidClientConfig, _) => match TlsFault::of(&error) {
                Some(fault) => Fault::Tls(fault, error),
                None => Fault::Connection(error),
            },
            _ => Fault::Server(error),
        }
    }
}

impl Fault {
    /// Whether an error of one command shows that the whole server is unusable: only then is a new session worth it.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, Fault::Replica | Fault::Moved | Fault::ClusterDown(_) | Fault::Loading)
    }

    /// The same fault without addresses of other servers, for clients that may only read.
    pub(super) fn without_address(self) -> Fault {
        // The reason follows the address.
        let reason = |last: String| last.split_once(": ").map_or(last.clone(), |(_, reason)| reason.to_owned());
        match self {
            Fault::NoSentinel(last) => Fault::NoSentinel(reason(last)),
            Fault::NoNode(last) => Fault::NoNode(reason(last)),
            other => other,
        }
    }

    /// The fault in the answer to a command that not every write needs.
    pub(super) fn for_some(self) -> Fault {
        match self {
            Fault::NoPermission(detail) => Fault::NoPermissionForSome(detail),
            fault => fault,
        }
    }

    /// Whether a transaction was not made because one of its commands was refused.
    pub(super) fn is_abort(&self) -> bool {
        matches!(self, Fault::Server(error) if error.code() == Some("EXECABORT"))
    }

    /// Whether the server can be reached but refuses writes.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Fault::Full | Fault::CannotSave(_) | Fault::NoPermission(_) | Fault::Server(_))
    }
}

impl std::error::Error for Fault {}

impl From<ServerError> for Fault {
    fn from(error: ServerError) -> Fault {
        RedisError::from(error).into()
    }
}

/// Servers before 5 and after 6 quote the name of an unknown command differently.
fn names_hello(detail: &str) -> bool {
    detail.starts_with("unknown command") && detail.contains("HELLO")
}

impl fmt::Display for Fault {
    #[expect(clippy::too_many_lines, reason = "a list of texts, one for each variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Connection(e) => write!(f, "no connection: {e}"),
            Fault::Tls(TlsFault::Server, e) => write!(
                f,
                "its certificate is not trusted ({e}): set REDIS_TLS_CA to the certificate of the CA that signed it, \
                 and use the host name that it was issued for"
            ),
            Fault::Tls(TlsFault::Client, e) => {
                write!(f, "it rejects this client ({e}): check REDIS_TLS_CERT and REDIS_TLS_KEY")
            }
            Fault::Tls(TlsFault::None, e) => write!(f, "it does not speak TLS on this port ({e})"),
            Fault::Silent => write!(f, "connected, but it does not answer in time"),
            Fault::TlsUnfinished => write!(
                f,
                "the TLS handshake does not complete: it hangs, does not speak TLS on this port, or requires a client certificate \
                 (REDIS_TLS_CERT, REDIS_TLS_KEY)"
            ),
            Fault::NoResp3 => write!(
                f,
                "it does not support RESP3: use Redis 6 or newer, or Valkey, without a proxy in between that supports only RESP2"
            ),
            Fault::NoTracking(e) => write!(
                f,
                "it refuses CLIENT TRACKING ({e}): use Redis 6 or newer, or Valkey, without a proxy in between"
            ),
            Fault::WrongPassword => {
                write!(f, "it rejects the user or the password: check REDIS_USERNAME and REDIS_PASSWORD")
            }
            Fault::PasswordNeeded => write!(f, "it requires a password: set REDIS_PASSWORD"),
            Fault::NoPermission(detail) | Fault::NoPermissionForSome(detail) => write!(
                f,
                "a permission is missing ({detail}): the ACL user needs \
                 ~* +client|tracking +getrange +pttl +scan +set +del +pexpire +watch +multi +exec +info +ping, +select for a \
                 database other than 0, and +cluster|slots +eval for a cluster"
            ),
            Fault::Replica => {
                write!(f, "it is a replica: use the address of its master, or the Sentinels that watch it")
            }
            Fault::Cluster => {
                write!(f, "it belongs to a Redis Cluster: name its nodes in REDIS_CLUSTER instead")
            }
            Fault::Moved => write!(f, "another node of its cluster has its slots now"),
            Fault::ClusterDown(detail) => write!(f, "its cluster is down: {detail}"),
            Fault::Shards => write!(
                f,
                "the cluster has more than one shard, which is not supported: use one whose master has all slots, or a single Redis"
            ),
            Fault::SlotsMissing => write!(f, "no node of the cluster has some of the slots"),
            Fault::NoNode(last) => {
                write!(f, "no node of the cluster answers: check REDIS_CLUSTER; the last one tried: {last}")
            }
            Fault::Loading => write!(f, "it is still loading its data"),
            Fault::Full => write!(f, "it is out of memory: raise its maxmemory"),
            Fault::CannotSave(detail) => write!(f, "it cannot save its data and refuses writes: {detail}"),
            Fault::ChangedServer => write!(
                f,
                "two connections to the same address reached two different servers: a restart, a failover, or a \
                 load balancer in front of several servers, which is not supported"
            ),
            Fault::NoSentinel(last) => {
                write!(f, "no Sentinel answers: check REDIS_SENTINELS; the last one tried: {last}")
            }
            Fault::UnknownMaster(name) => {
                write!(f, "the Sentinels know no master named {name:?}: check REDIS_SENTINEL_MASTER")
            }
            Fault::WrongType => write!(f, "the key does not hold a string"),
            Fault::Server(e) => write!(f, "it answered with an error: {e}"),
            Fault::Unexpected(what) => write!(f, "an unexpected answer to {what}"),
            Fault::Unreported => write!(f, "it has closed the connection on which it reports changes"),
            Fault::Contended => write!(f, "there was no time left after the writes of others"),
            Fault::Outdated => write!(f, "the connection was reopened in the meantime"),
            Fault::Unanswered => write!(f, "the connection was lost before the answer came"),
            Fault::PoolEmpty(why) => write!(f, "no pooled connection became free in time: {why}"),
            Fault::Thread(kind) => write!(f, "cannot start a thread: {kind}"),
            Fault::Starting => write!(f, "not connected yet"),
            Fault::Unloaded => write!(f, "the first full load is not finished"),
            Fault::Closed => write!(f, "closed"),
        }
    }
}
