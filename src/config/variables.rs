//! The table of the server's settings: the name, the default and the meaning of each stand here and nowhere else.

/// A variable of the environment, which is also a line of `.env` and a flag: `LISTEN_PORT` is `--listen-port`.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// What holds when it is not set; `None` is nothing.
    pub default: Option<&'static str>,
    /// What it means.
    pub help: &'static str,
}

macro_rules! variables {
    ($($name:ident, $default:expr, $help:literal;)*) => {
        $(pub(super) const $name: Variable = Variable { name: stringify!($name), default: $default, help: $help };)*

        /// All variables, in the order in which `--help` shows them.
        pub const VARIABLES: &[Variable] = &[$($name),*];
    };
}

variables! {
    API_TOKEN, None, "Token for registrations; it or API_TOKEN_FILE is needed";
    API_TOKEN_FILE, None, "File with tokens for registrations, one per line; read again on SIGHUP";
    SD_TOKEN, None, "Token for polls; without it everybody may poll";
    SD_TOKEN_FILE, None, "File with tokens for polls, one per line; read again on SIGHUP";
    LISTEN_ADDR, None, "Address to listen on, IPv4, IPv6 or unix:/path; all addresses if not set";
    LISTEN_PORT, Some("9101"), "Port to listen on; 0 lets the system choose one";
    TTL_SECONDS, Some("21600"), "Seconds that a registration lives unless it is renewed; 0 is for ever";
    TTL_MIN_SECONDS, None, "Shortest lifetime that a registration may ask for";
    TTL_MAX_SECONDS, None, "Longest lifetime that a registration may ask for; with it none is for ever";
    DATA_DIR, Some("./data"), "Directory of the embedded store; made if it does not exist";
    REDIS_ADDR, None, "Host name or address of Redis; with it, or one of the next two, no embedded store";
    REDIS_URL, None, "Redis as redis://, rediss:// or redis+unix:// URL instead of REDIS_ADDR";
    REDIS_SENTINELS, None, "Sentinels as host:port,host:port instead of REDIS_ADDR";
    REDIS_SENTINEL_MASTER, Some("mymaster"), "Name under which the Sentinels watch the master";
    REDIS_SENTINEL_USERNAME, None, "ACL user of the Sentinels themselves";
    REDIS_SENTINEL_PASSWORD, None, "Password of the Sentinels themselves";
    REDIS_SENTINEL_PASSWORD_FILE, None, "File with the password of the Sentinels";
    REDIS_PORT, Some("6379"), "Port of Redis at REDIS_ADDR";
    REDIS_DBNO, Some("0"), "Number of the Redis database";
    REDIS_USERNAME, None, "ACL user of Redis";
    REDIS_PASSWORD, None, "Password of Redis";
    REDIS_PASSWORD_FILE, None, "File with the password of Redis";
    REDIS_TLS, Some("off"), "Whether to speak TLS to Redis at REDIS_ADDR and to the Sentinels: on or off";
    REDIS_TLS_CA, None, "File of PEM certificates to trust instead of the system's";
    REDIS_TLS_CERT, None, "File with this client's PEM certificate";
    REDIS_TLS_KEY, None, "File with this client's PEM key";
    REDIS_POOL_SIZE, Some("16"), "Connections to Redis for reading single registrations";
    RESTORE, Some("on"), "Whether registrations that Redis lost by a restart are put back: on or off";
    LABEL_NAMES, Some("legacy"), "Label names to accept: legacy, or utf8 if every Prometheus is 3.0 or newer";
    TARGET_INFO, Some("on"), "Whether /metrics has a series for each target: on or off";
    OUTAGE_KEEP_SECONDS, Some("86400"),
        "Seconds that a registration is kept beyond its lifetime because the store was lost; 0 is not at all";
    WORKERS, Some("24"), "Threads that answer requests; two of three may wait for the store";
    MAX_CONNECTIONS, Some("1024"), "Connections at once; when full, the longest idle one makes room";
    RUST_LOG, Some("info"), "What is logged: error, warn, info, debug, or env_logger's filter syntax";
}
