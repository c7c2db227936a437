//! The table of the server's settings: the only place of their names, defaults and meanings.

use std::ffi::OsString;

use clap::{Arg, value_parser};

/// A variable of the environment, which is also a line of `.env` and a flag: `LISTEN_PORT` is `--listen-port`.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    pub name: &'static str,
    /// The value if it is not set; `None` means none.
    pub default: Option<&'static str>,
    pub help: &'static str,
}

impl Variable {
    pub(super) fn flag_name(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    pub(super) fn flag(&self) -> Arg {
        let help = match self.default {
            Some(default) => format!("{} [default: {default}]", self.help),
            None => self.help.to_owned(),
        };
        Arg::new(self.name)
            .long(self.flag_name())
            .env(self.name)
            .hide_env_values(true)
            .allow_hyphen_values(true)
            .value_name("VALUE")
            .value_parser(value_parser!(OsString))
            .help(help)
            .help_heading("Settings of the server")
    }
}

macro_rules! variables {
    ($($name:ident, $default:expr, $help:literal;)*) => {
        $(pub(super) const $name: Variable = Variable { name: stringify!($name), default: $default, help: $help };)*

        /// All variables, in the order in which `--help` shows them.
        pub const VARIABLES: &[Variable] = &[$($name),*];
    };
}

variables! {
    API_TOKEN, None, "Token for registrations; required unless API_TOKEN_FILE or TOKENS_FILE is set";
    API_TOKEN_FILE, None, "File with tokens for registrations, one per line; reread when it changes";
    SD_TOKEN, None, "Token for polls; if none is set, anyone may poll";
    SD_TOKEN_FILE, None, "File with tokens for polls, one per line; reread when it changes";
    TOKENS_FILE, None, "File with named tokens, each for some groups or all, one per line; reread when it changes";
    LISTEN_ADDR, None, "Address to listen on: IPv4, IPv6 or unix:/path; all addresses if not set";
    LISTEN_PORT, Some("9101"), "Port to listen on; 0 picks a free one";
    TRUSTED_PROXIES, None,
        "Networks of proxies whose X-Forwarded-For says who the client is, and unix, with commas between them";
    TLS_CERT, None, "PEM file with the server's certificate and those between it and the CA; with it, the port speaks TLS";
    TLS_KEY, None, "PEM file with the private key of that certificate";
    TLS_CLIENT_CA, None, "PEM file with CA certificates: clients must show a certificate of one, except for probes";
    TTL_SECONDS, Some("21600"), "Seconds until a registration expires unless it is renewed; 0 means never";
    TTL_MIN_SECONDS, None, "Shortest lifetime that a registration may ask for";
    TTL_MAX_SECONDS, None, "Longest lifetime that a registration may ask for; if set, every registration expires";
    DATA_DIR, Some("./data"), "Directory of the embedded store; created if it does not exist";
    REDIS_ADDR, None, "Host name or address of Redis; this or one of the next three replaces the embedded store";
    REDIS_URL, None, "Redis as a redis://, rediss:// or redis+unix:// URL, instead of REDIS_ADDR";
    REDIS_SENTINELS, None, "Sentinels as host:port,host:port, instead of REDIS_ADDR";
    REDIS_CLUSTER, None, "Nodes of a Redis Cluster of one shard as host:port,host:port, instead of REDIS_ADDR";
    REDIS_SENTINEL_MASTER, Some("mymaster"), "Name by which the Sentinels know the master";
    REDIS_SENTINEL_USERNAME, None, "ACL user for the Sentinels themselves";
    REDIS_SENTINEL_PASSWORD, None, "Password for the Sentinels themselves";
    REDIS_SENTINEL_PASSWORD_FILE, None, "File with the password for the Sentinels; reread when it changes";
    REDIS_PORT, Some("6379"), "Port of Redis at REDIS_ADDR";
    REDIS_DBNO, Some("0"), "Redis database number";
    REDIS_USERNAME, None, "ACL user for Redis";
    REDIS_PASSWORD, None, "Password for Redis";
    REDIS_PASSWORD_FILE, None, "File with the password for Redis; reread when it changes";
    REDIS_TLS, Some("off"), "Whether to use TLS to Redis, unless REDIS_URL says it, and to the Sentinels: on or off";
    REDIS_TLS_CA, None, "PEM file with the CA certificates to trust instead of the system's";
    REDIS_TLS_CERT, None, "PEM file with this client's certificate";
    REDIS_TLS_KEY, None, "PEM file with this client's private key";
    REDIS_POOL_SIZE, Some("16"), "Connections to Redis for reading single registrations";
    RESTORE, Some("on"), "Whether to put back registrations that Redis lost in a restart: on or off";
    LABEL_NAMES, Some("legacy"),
        "Label names to accept: legacy, or utf8 if every Prometheus is 3.0 or newer, with its default scheme";
    GROUP_INFO, Some("on"), "Whether /metrics has a series for each of the largest 1000 groups: on or off";
    TARGET_INFO, Some("on"), "Whether /metrics has a series for each target: on or off";
    METRICS_AUTH, Some("open"),
        "Who may read /metrics: open is everybody, read is who has a token that may read everything";
    UI, Some("on"), "Whether / is a page for browsers: on or off";
    OUTAGE_KEEP_SECONDS, Some("86400"),
        "Longest time in seconds that an outage of the store may keep a registration past its expiry; 0 turns this off";
    WORKERS, Some("24"), "Threads for requests that need the store, mostly writes";
    MAX_CONNECTIONS, Some("1024"), "Connections at a time; at the limit, the one idle for longest is closed";
    RUST_LOG, Some("info"), "What to log: error, warn, info, debug, or env_logger's filter syntax";
    LOG_FORMAT, Some("logfmt"), "How to log: logfmt, or json for one JSON object a line";
}
