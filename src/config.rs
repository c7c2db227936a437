//! Every variable: name, default, meaning, check. The only place that reads the environment and the command line.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::http::server::Listen;
use crate::http::{Token, TokenSets};
use crate::registration::{LabelNames, Ttl};

/// The most tokens that a file may hold.
pub const TOKENS_MAX: usize = 100;

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
    variable("API_TOKEN", None, "Token for registrations; it or API_TOKEN_FILE is needed"),
    variable("API_TOKEN_FILE", None, "File with tokens for registrations, one per line; read again on SIGHUP"),
    variable("SD_TOKEN", None, "Token for polls; without it everybody may poll"),
    variable("SD_TOKEN_FILE", None, "File with tokens for polls, one per line; read again on SIGHUP"),
    variable("LISTEN_ADDR", None, "Address to listen on, IPv4, IPv6 or unix:/path; all addresses if not set"),
    variable("LISTEN_PORT", Some("9101"), "Port to listen on; 0 lets the system choose one"),
    variable("TTL_SECONDS", Some("21600"), "Seconds that a registration lives unless it is renewed; 0 is for ever"),
    variable("DATA_DIR", Some("./data"), "Directory of the embedded store; made if it does not exist"),
    variable(
        "LABEL_NAMES",
        Some("legacy"),
        "Label names to accept: legacy, or utf8 if every Prometheus is 3.0 or newer",
    ),
    variable("TARGET_INFO", Some("on"), "Whether /metrics has a series for each target: on or off"),
    variable(
        "OUTAGE_KEEP_SECONDS",
        Some("86400"),
        "Seconds that a registration is kept beyond its lifetime because the store was lost; 0 is not at all",
    ),
    variable("WORKERS", None, "Threads that answer requests; twice the processors, at least 8, if not set"),
    variable("MAX_CONNECTIONS", Some("1024"), "Connections at once; when full, the longest idle one makes room"),
    variable("RUST_LOG", Some("info"), "What is logged: error, warn, info, debug, or env_logger's filter syntax"),
];

/// What the server is to do.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where tokens come from.
    pub tokens: TokenSources,
    /// The lifetime of registrations.
    pub ttl: Ttl,
    /// The directory of the embedded store.
    pub data_dir: PathBuf,
    /// Which label names are accepted.
    pub label_names: LabelNames,
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
}

/// A value that the server cannot start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    /// `None` for a secret, or when it is missing.
    value: Option<String>,
    reason: String,
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
#[derive(Debug)]
pub enum Invocation {
    /// Run the server.
    Serve(Box<Config>),
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
    let file = if std::env::var_os("APP_ENV").is_some() { HashMap::new() } else { read_env_file(Path::new(".env"))? };
    read_from(std::env::args_os(), &file)
}

fn read_from(
    args: impl IntoIterator<Item = OsString>,
    file: &HashMap<String, String>,
) -> Result<Invocation, ConfigError> {
    match command().try_get_matches_from(args) {
        Ok(matches) => Config::new(&Values { matches, file }).map(|config| Invocation::Serve(Box::new(config))),
        Err(e) if e.use_stderr() => Ok(Invocation::Usage(e.to_string())),
        Err(e) => Ok(Invocation::Print(e.to_string())),
    }
}

/// Reads `.env`, if there is one.
fn read_env_file(path: &Path) -> Result<HashMap<String, String>, ConfigError> {
    let wrong = |e: dotenvy::Error| ConfigError {
        variable: ".env",
        value: None,
        // The text of a syntax error repeats the line, which may hold a token.
        reason: match e {
            dotenvy::Error::LineParse(_, at) => format!("a line cannot be read (near character {at} of it)"),
            e => e.to_string(),
        },
    };
    match dotenvy::from_path_iter(path) {
        Ok(lines) => lines.collect::<Result<_, _>>().map_err(wrong),
        Err(e) if e.not_found() => Ok(HashMap::new()),
        Err(e) => Err(wrong(e)),
    }
}

fn command() -> Command {
    let command = Command::new("inventor")
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(concat!(env!("CARGO_PKG_VERSION"), " (synchronous, embedded store)"))
        .about("Prometheus HTTP service discovery: scrape targets are registered over a small REST API")
        .after_help(
            "Each setting is an environment variable, a line of .env in the working directory (which is not read \
             when APP_ENV is set), or a flag; a flag wins over the environment, and that over .env. \
             An empty value counts as not set.",
        );
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
        .value_name("VALUE")
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
        let default = VARIABLES.iter().find(|variable| variable.name == name).and_then(|variable| variable.default);
        let Some(value) = self.raw(name).or(default.map(OsString::from)) else { return Ok(None) };
        match value.to_str().and_then(parse) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(ConfigError {
                variable: name,
                value: Some(value.to_string_lossy().into_owned()),
                reason: format!("expected {expected}"),
            }),
        }
    }

    /// A whole number within bounds, for a variable that has a default.
    fn number(&self, name: &'static str, min: u64, max: u64) -> Result<Option<u64>, ConfigError> {
        self.parsed(name, &format!("a whole number from {min} to {max}"), |text| {
            text.parse().ok().filter(|number| (min..=max).contains(number))
        })
    }

    fn count(&self, name: &'static str, max: usize) -> Result<Option<usize>, ConfigError> {
        let number = self.number(name, 1, max as u64)?;
        Ok(number.map(|number| usize::try_from(number).unwrap_or(max)))
    }
}

impl Config {
    fn new(values: &Values<'_>) -> Result<Config, ConfigError> {
        let tokens = TokenSources::new(values)?;
        let log = values.parsed("RUST_LOG", "a filter such as info or inventor=debug", |text| {
            env_filter::Builder::new().try_parse(text).is_ok().then(|| text.to_owned())
        })?;
        Ok(Config {
            listen: listen(values)?,
            tokens,
            ttl: Ttl::from_seconds(values.number("TTL_SECONDS", 0, Ttl::SECONDS_MAX)?.unwrap_or_default()),
            data_dir: values.parsed("DATA_DIR", "a path", |text| Some(PathBuf::from(text)))?.unwrap_or_default(),
            label_names: values.parsed("LABEL_NAMES", "legacy or utf8", label_names)?.unwrap_or(LabelNames::Legacy),
            target_info: values.parsed("TARGET_INFO", "on or off", on_or_off)?.unwrap_or(true),
            outage_keep: Duration::from_secs(
                values.number("OUTAGE_KEEP_SECONDS", 0, OUTAGE_KEEP_SECONDS_MAX)?.unwrap_or_default(),
            ),
            workers: values.count("WORKERS", WORKERS_MAX)?.unwrap_or_else(default_workers),
            connections_max: values.count("MAX_CONNECTIONS", CONNECTIONS_MAX)?.unwrap_or(1),
            log: log.unwrap_or_default(),
        })
    }
}

fn listen(values: &Values<'_>) -> Result<Listen, ConfigError> {
    let port = values.parsed("LISTEN_PORT", "a port, 0 to 65535", |text| text.parse::<u16>().ok())?.unwrap_or_default();
    let listen = values.parsed("LISTEN_ADDR", "an IPv4 or IPv6 address, or unix:/path", |text| {
        let path = text.strip_prefix("unix:").filter(|path| path.starts_with('/'));
        let tcp = || text.parse::<IpAddr>().ok().map(|addr| Listen::Tcp { addr: Some(addr), port });
        path.map(|path| Listen::Unix(path.into())).or_else(tcp)
    })?;
    Ok(listen.unwrap_or(Listen::Tcp { addr: None, port }))
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

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(8, |cores| (2 * cores.get()).max(8))
}

/// Where tokens come from; files are read again while the server runs.
#[derive(Debug)]
pub struct TokenSources {
    write: Source,
    read: Option<Source>,
}

#[derive(Debug)]
enum Source {
    Value(Token),
    File(&'static str, PathBuf),
}

impl TokenSources {
    fn new(values: &Values<'_>) -> Result<TokenSources, ConfigError> {
        let Some(write) = source(values, "API_TOKEN", "API_TOKEN_FILE")? else {
            let reason = "not set; the token for registrations is needed, here or in API_TOKEN_FILE".to_owned();
            return Err(ConfigError { variable: "API_TOKEN", value: None, reason });
        };
        Ok(TokenSources { write, read: source(values, "SD_TOKEN", "SD_TOKEN_FILE")? })
    }

    /// Reads the tokens.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read or holds no token.
    pub fn read(&self) -> Result<TokenSets, ConfigError> {
        let read = self.read.as_ref().map(Source::read).transpose()?;
        Ok(TokenSets { write: self.write.read()?, read: read.unwrap_or_default() })
    }
}

fn source(values: &Values<'_>, name: &'static str, file_name: &'static str) -> Result<Option<Source>, ConfigError> {
    match (values.raw(name), values.raw(file_name)) {
        (Some(_), Some(_)) => {
            let reason = format!("set together with {file_name}; set one of them");
            Err(ConfigError { variable: name, value: None, reason })
        }
        (Some(value), None) => Ok(Token::new(value.into_vec()).map(Source::Value)),
        (None, Some(path)) => Ok(Some(Source::File(file_name, path.into()))),
        (None, None) => Ok(None),
    }
}

impl Source {
    fn read(&self) -> Result<Vec<Token>, ConfigError> {
        match self {
            Source::Value(token) => Ok(vec![token.clone()]),
            Source::File(variable, path) => read_tokens(path).map_err(|reason| ConfigError {
                variable,
                value: Some(path.as_os_str().to_string_lossy().into_owned()),
                reason,
            }),
        }
    }
}

fn read_tokens(path: &Path) -> Result<Vec<Token>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))?;
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let tokens: Vec<Token> = lines.filter_map(|line| Token::new(line.to_vec())).collect();
    match tokens.len() {
        0 => Err("holds no token; expected one or more, one per line".to_owned()),
        n if n > TOKENS_MAX => Err(format!("holds {n} tokens; at most {TOKENS_MAX} are allowed")),
        _ => Ok(tokens),
    }
}
