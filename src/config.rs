//! Every variable: name, default, meaning, check. The only place that reads the environment and the command line.

mod healthcheck;
mod store;
mod tokens;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};

pub use store::StoreConfig;
pub use tokens::{TOKENS_MAX, TokenSources};

use crate::healthcheck::{Endpoint, Question};
use crate::http::server::Listen;
use crate::registration::{LabelNames, Ttl, TtlBounds};

/// The largest number of worker threads.
pub const WORKERS_MAX: usize = 1024;

/// The largest number of connections that may be asked for.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// The longest that registrations may be kept beyond their lifetime because of an outage: 30 days, in seconds.
pub const OUTAGE_KEEP_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// A variable of the environment, which is also a line of `.env` and a flag: `LISTEN_PORT` is `--listen-port`.
#[derive(Debug)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// What holds when it is not set; `None` is nothing.
    pub default: Option<&'static str>,
    /// What it means.
    pub help: &'static str,
}

const fn variable(name: &'static str, default: Option<&'static str>, help: &'static str) -> Variable {
    Variable { name, default, help }
}

/// All variables, in the order in which `--help` shows them.
pub const VARIABLES: &[Variable] = &[
    variable("API_TOKEN", None, "Token for registrations; required unless API_TOKEN_FILE or TOKENS_FILE is set"),
    variable("API_TOKEN_FILE", None, "File with tokens for registrations, one per line; reread on SIGHUP"),
    variable("SD_TOKEN", None, "Token for polls; if none is set, anyone may poll"),
    variable("SD_TOKEN_FILE", None, "File with tokens for polls, one per line; reread on SIGHUP"),
    variable(
        "TOKENS_FILE",
        None,
        "File with named tokens, each for some groups or all, one per line; reread on SIGHUP",
    ),
    variable("LISTEN_ADDR", None, "Address to listen on: IPv4, IPv6 or unix:/path; all addresses if not set"),
    variable("LISTEN_PORT", Some("9101"), "Port to listen on; 0 picks a free one"),
    variable("TTL_SECONDS", Some("21600"), "Seconds until a registration expires unless it is renewed; 0 means never"),
    variable("TTL_MIN_SECONDS", None, "Shortest lifetime that a registration may ask for"),
    variable("TTL_MAX_SECONDS", None, "Longest lifetime that a registration may ask for; with it none is for ever"),
    variable("DATA_DIR", Some("./data"), "Directory of the embedded store; created if it does not exist"),
    variable(
        "REDIS_ADDR",
        None,
        "Host name or address of Redis; this or one of the next two replaces the embedded store",
    ),
    variable("REDIS_URL", None, "Redis as a redis://, rediss:// or redis+unix:// URL, instead of REDIS_ADDR"),
    variable("REDIS_SENTINELS", None, "Sentinels as host:port,host:port, instead of REDIS_ADDR"),
    variable("REDIS_SENTINEL_MASTER", Some("mymaster"), "Name by which the Sentinels know the master"),
    variable("REDIS_SENTINEL_USERNAME", None, "ACL user for the Sentinels themselves"),
    variable("REDIS_SENTINEL_PASSWORD", None, "Password for the Sentinels themselves"),
    variable("REDIS_SENTINEL_PASSWORD_FILE", None, "File with the password for the Sentinels"),
    variable("REDIS_PORT", Some("6379"), "Port of Redis at REDIS_ADDR"),
    variable("REDIS_DBNO", Some("0"), "Redis database number"),
    variable("REDIS_USERNAME", None, "ACL user for Redis"),
    variable("REDIS_PASSWORD", None, "Password for Redis"),
    variable("REDIS_PASSWORD_FILE", None, "File with the password for Redis"),
    variable("REDIS_TLS", Some("off"), "Whether to use TLS to Redis at REDIS_ADDR and to the Sentinels: on or off"),
    variable("REDIS_TLS_CA", None, "PEM file with the CA certificates to trust instead of the system's"),
    variable("REDIS_TLS_CERT", None, "PEM file with this client's certificate"),
    variable("REDIS_TLS_KEY", None, "PEM file with this client's private key"),
    variable("REDIS_POOL_SIZE", Some("16"), "Connections to Redis for reading single registrations"),
    variable("RESTORE", Some("on"), "Whether to put back registrations that Redis lost in a restart: on or off"),
    variable(
        "LABEL_NAMES",
        Some("legacy"),
        "Label names to accept: legacy, or utf8 if every Prometheus is 3.0 or newer, with its default scheme",
    ),
    variable("GROUP_INFO", Some("on"), "Whether /metrics has a series for each of the largest 1000 groups: on or off"),
    variable("TARGET_INFO", Some("on"), "Whether /metrics has a series for each target: on or off"),
    variable(
        "OUTAGE_KEEP_SECONDS",
        Some("86400"),
        "Longest time in seconds that an outage of the store may keep a registration past its expiry; 0 turns this off",
    ),
    variable("WORKERS", Some("24"), "Threads that answer requests; two thirds of them may wait for the store"),
    variable(
        "MAX_CONNECTIONS",
        Some("1024"),
        "Connections at a time; at the limit, the one idle for longest is closed",
    ),
    variable("RUST_LOG", Some("info"), "What to log: error, warn, info, debug, or env_logger's filter syntax"),
];

/// What the server is to do. Holds secrets, and so cannot be printed.
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where tokens come from.
    pub tokens: TokenSources,
    /// The lifetime of registrations.
    pub ttl: Ttl,
    /// The lifetimes that a registration may ask for.
    pub ttls: TtlBounds,
    /// Where registrations are kept.
    pub store: StoreConfig,
    /// Which label names are accepted.
    pub label_names: LabelNames,
    /// Whether `/metrics` has a series for each group.
    pub group_info: bool,
    /// Whether `/metrics` has a series for each target.
    pub target_info: bool,
    /// How long a registration is kept beyond its lifetime because of an outage.
    pub outage_keep: Duration,
    /// The number of worker threads.
    pub workers: usize,
    /// The largest number of connections.
    pub connections_max: usize,
    /// The filter of the log.
    pub log: String,
    /// Variables that were set and mean nothing without others.
    pub without_effect: Vec<&'static str>,
}

/// A value that the server cannot start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    /// `None` for a secret, or when it is missing.
    value: Option<String>,
    reason: String,
}

impl ConfigError {
    fn new(variable: &'static str, value: &str, reason: String) -> ConfigError {
        ConfigError { variable, value: Some(value.to_owned()), reason }
    }

    /// An error whose value is a secret, or is not there.
    fn secret(variable: &'static str, reason: String) -> ConfigError {
        ConfigError { variable, value: None, reason }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value:?}: {}", self.variable, self.reason),
            None => write!(f, "{}: {}", self.variable, self.reason),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What the command line asks for.
pub enum Invocation {
    /// Run the server.
    Serve(Box<Config>),
    /// Ask the server that runs with the same address and port.
    Healthcheck(Endpoint, Question),
    /// Print this and end well: the help, or the version.
    Print(String),
    /// Print this to standard error and end badly: flags that do not exist.
    Usage(String),
}

/// Reads the command line, the environment and `.env`.
///
/// # Errors
/// [`ConfigError`] names the variable, its value unless it is a secret, and what would be right.
pub fn read() -> Result<Invocation, ConfigError> {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(e) if e.use_stderr() => return Ok(Invocation::Usage(e.to_string())),
        Err(e) => return Ok(Invocation::Print(e.to_string())),
    };
    let file = if std::env::var_os("APP_ENV").is_some() { HashMap::new() } else { read_env_file(Path::new(".env"))? };
    let values = Values { matches, file: &file };
    match healthcheck::question(&values.matches) {
        Some(question) => Ok(Invocation::Healthcheck(healthcheck::endpoint(&values)?, question)),
        None => Config::new(&values).map(|config| Invocation::Serve(Box::new(config))),
    }
}

/// Reads `.env`, if there is one.
fn read_env_file(path: &Path) -> Result<HashMap<String, String>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(e) => return Err(ConfigError::secret(".env", format!("cannot be read: {e}"))),
    };
    let text = text.trim_start_matches('\u{feff}');
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|e| {
        // The text of a syntax error repeats the line, which may hold a token.
        let reason = match e {
            dotenvy::Error::LineParse(wrong, _) => {
                let number = text.lines().position(|line| line.contains(wrong.trim())).map_or(0, |at| at + 1);
                format!("line {number} is not of the form NAME=value; a value with blanks or $ needs quotes")
            }
            e => e.to_string(),
        };
        ConfigError::secret(".env", reason)
    })
}

fn command() -> Command {
    let command = Command::new("inventor")
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(format!("{} (revision {})", env!("CARGO_PKG_VERSION"), crate::metrics::revision()))
        .about("Prometheus HTTP service discovery: scrape targets are registered over a small REST API")
        .after_help(
            "Each setting is an environment variable, a line of .env in the working directory (which is not read \
             when APP_ENV is set), or a flag; a flag wins over the environment, and that over .env. \
             An empty value counts as not set. Flags can be seen by every user of the machine: tokens and passwords \
             belong into the environment or into files.",
        );
    let command = command.disable_help_subcommand(true).subcommand(healthcheck::command());
    VARIABLES.iter().fold(command, |command, variable| command.arg(argument(variable)))
}

fn argument(variable: &'static Variable) -> Arg {
    let help = match variable.default {
        Some(default) => format!("{} [default: {default}]", variable.help),
        None => variable.help.to_owned(),
    };
    Arg::new(variable.name)
        .long(variable.name.to_ascii_lowercase().replace('_', "-"))
        .env(variable.name)
        .hide_env_values(true)
        .allow_hyphen_values(true)
        .value_name("VALUE")
        .global(matches!(variable.name, "LISTEN_ADDR" | "LISTEN_PORT"))
        .value_parser(value_parser!(OsString))
        .help(help)
}

/// The values as they were given; what is empty was not given.
struct Values<'a> {
    matches: ArgMatches,
    file: &'a HashMap<String, String>,
}

impl Values<'_> {
    fn raw(&self, name: &'static str) -> Option<OsString> {
        let given = self.matches.get_one::<OsString>(name).cloned();
        given.or_else(|| self.file.get(name).map(OsString::from)).filter(|value| !value.is_empty())
    }

    /// The value or its default as text, read by `parse`; `expected` says what would be right.
    fn parsed<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.raw(name).or_else(|| default_of(name)) else { return Ok(None) };
        match value.to_str().and_then(parse) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(ConfigError::new(name, &value.to_string_lossy(), format!("expected {expected}"))),
        }
    }

    /// A whole number within bounds, for a variable that has a default.
    fn number(&self, name: &'static str, min: u64, max: u64) -> Result<Option<u64>, ConfigError> {
        self.parsed(name, &format!("a whole number from {min} to {max}"), |text| {
            text.parse().ok().filter(|number| (min..=max).contains(number))
        })
    }

    fn path(&self, name: &'static str) -> Option<PathBuf> {
        self.raw(name).or_else(|| default_of(name)).map(PathBuf::from)
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        self.parsed(name, "UTF-8", |text| Some(text.to_owned()))
    }

    fn switch(&self, name: &'static str) -> Result<bool, ConfigError> {
        Ok(self.parsed(name, "on or off", on_or_off)?.unwrap_or_default())
    }

    fn count(&self, name: &'static str, max: usize) -> Result<Option<usize>, ConfigError> {
        let number = self.number(name, 1, max as u64)?;
        Ok(number.map(|number| usize::try_from(number).unwrap_or(max)))
    }
}

fn default_of(name: &str) -> Option<OsString> {
    VARIABLES.iter().find(|variable| variable.name == name)?.default.map(OsString::from)
}

impl Config {
    fn new(values: &Values<'_>) -> Result<Config, ConfigError> {
        let tokens = TokenSources::new(values)?;
        let log =
            values.parsed("RUST_LOG", "a level such as info, or a filter such as warn,inventor=debug", log_filter)?;
        let (ttl, ttls) = ttl(values)?;
        Ok(Config {
            listen: listen(values)?,
            tokens,
            ttl,
            ttls,
            without_effect: store::without_effect(values),
            store: StoreConfig::new(values)?,
            label_names: values.parsed("LABEL_NAMES", "legacy or utf8", label_names)?.unwrap_or(LabelNames::Legacy),
            group_info: values.switch("GROUP_INFO")?,
            target_info: values.switch("TARGET_INFO")?,
            outage_keep: Duration::from_secs(
                values.number("OUTAGE_KEEP_SECONDS", 0, OUTAGE_KEEP_SECONDS_MAX)?.unwrap_or_default(),
            ),
            workers: values.count("WORKERS", WORKERS_MAX)?.unwrap_or(1),
            connections_max: values.count("MAX_CONNECTIONS", CONNECTIONS_MAX)?.unwrap_or(1),
            log: log.unwrap_or_default(),
        })
    }
}

/// The default lifetime and its bounds, which it keeps itself.
fn ttl(values: &Values<'_>) -> Result<(Ttl, TtlBounds), ConfigError> {
    let ttl = Ttl::from_seconds(values.number("TTL_SECONDS", 0, Ttl::SECONDS_MAX)?.unwrap_or_default());
    let bound = |name| values.number(name, 1, Ttl::SECONDS_MAX);
    let ttls = TtlBounds { min: bound("TTL_MIN_SECONDS")?, max: bound("TTL_MAX_SECONDS")? };
    if !ttls.allow(ttl) {
        let reason = format!("not between {ttls}, which bound it as well");
        return Err(ConfigError::new("TTL_SECONDS", &ttl.seconds().to_string(), reason));
    }
    Ok((ttl, ttls))
}

fn listen(values: &Values<'_>) -> Result<Listen, ConfigError> {
    let port = values.parsed("LISTEN_PORT", "a port, 0 to 65535", |text| text.parse::<u16>().ok())?.unwrap_or_default();
    let listen = values.parsed("LISTEN_ADDR", "an IPv4 or IPv6 address, or unix:/path", |text| {
        let path = text.strip_prefix("unix:").filter(|path| path.starts_with('/'));
        let tcp =
            || text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|addr| Listen::Tcp { addr: Some(addr), port });
        path.map(|path| Listen::Unix(path.into())).or_else(tcp)
    })?;
    Ok(listen.unwrap_or(Listen::Tcp { addr: None, port }))
}

/// A filter that `env_logger` takes. It takes any word for the name of a module, and then logs nothing else: a mistyped
/// level must not do that.
fn log_filter(text: &str) -> Option<String> {
    let filter = text.split('/').next().unwrap_or_default();
    let known =
        |word: &str| word.contains('=') || word.starts_with("inventor") || word.parse::<log::LevelFilter>().is_ok();
    let valid = filter.split(',').all(|word| known(word.trim())) && env_filter::Builder::new().try_parse(text).is_ok();
    valid.then(|| text.to_owned())
}

fn label_names(text: &str) -> Option<LabelNames> {
    match text {
        "legacy" => Some(LabelNames::Legacy),
        "utf8" => Some(LabelNames::Utf8),
        _ => None,
    }
}

fn on_or_off(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}
