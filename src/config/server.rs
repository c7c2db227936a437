//! The settings of the server, checked, and those of the log, which long-running commands share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::secrets::{TlsSources, TokenSources};
use super::store::{self, RedisSources};
use super::values::{ConfigError, LABEL_NAMES_CHOICES, Values};
use super::variables::{
    DATA_DIR, GROUP_INFO, LABEL_NAMES, LISTEN_ADDR, LISTEN_PORT, LOG_FORMAT, MAX_CONNECTIONS, METRICS_AUTH,
    OUTAGE_KEEP_SECONDS, RUST_LOG, TARGET_INFO, TRUSTED_PROXIES, TTL_MAX_SECONDS, TTL_MIN_SECONDS, TTL_SECONDS, UI,
    WORKERS,
};
use crate::http::Options;
use crate::http::server::{Listen, TrustedProxies};
use crate::logging::{Format, Logging};
use crate::registration::{Ttl, TtlBounds};
use crate::registry::Rules;

pub const WORKERS_MAX: usize = 1024;

/// The largest number of connections that can be configured.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// The longest time for which an outage may keep registrations past their deadlines: 30 days, in seconds.
pub const OUTAGE_KEEP_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// The settings of the server. They hold secrets, and so cannot be printed.
pub struct Config {
    pub listen: Listen,
    /// The proxies that are believed when they name their clients.
    pub proxies: TrustedProxies,
    /// The source of the certificate, if the server speaks TLS.
    pub tls: Option<TlsSources>,
    pub tokens: TokenSources,
    pub rules: Rules,
    /// The directory of the embedded store, without Redis.
    pub data_dir: PathBuf,
    pub redis: Option<RedisSources>,
    pub options: Options,
    pub workers: usize,
    pub connections_max: usize,
    pub log: Logging,
    /// Variables that are set but have no effect without others.
    pub without_effect: Vec<&'static str>,
}

impl Config {
    pub(super) fn new(values: &Values) -> Result<Config, ConfigError> {
        let (ttl, ttls) = ttl(values)?;
        let listen = listen(values)?;
        let tls = TlsSources::new(values, &listen)?;
        let proxies = proxies(values)?;
        let tokens = TokenSources::new(values)?;
        let redis = RedisSources::new(values)?;
        Ok(Config {
            tls,
            listen,
            proxies,
            tokens,
            rules: Rules {
                names: values.choice(LABEL_NAMES, &LABEL_NAMES_CHOICES)?,
                ttl,
                outage_keep: Duration::from_secs(values.number(OUTAGE_KEEP_SECONDS, 0..=OUTAGE_KEEP_SECONDS_MAX)?),
                shows_groups: values.switch(GROUP_INFO)?,
            },
            without_effect: store::without_effect(values),
            options: Options {
                ttls,
                store: if redis.is_some() { "redis" } else { "embedded" },
                target_info: values.switch(TARGET_INFO)?,
                open_metrics: values.choice(METRICS_AUTH, &[("open", true), ("read", false)])?,
                page: values.switch(UI)?,
            },
            data_dir: values.path(DATA_DIR).unwrap_or_default(),
            redis,
            workers: values.number(WORKERS, 1..=WORKERS_MAX)?,
            connections_max: values.number(MAX_CONNECTIONS, 1..=CONNECTIONS_MAX)?,
            log: logging(values)?,
        })
    }
}

/// The default lifetime and its bounds, which it must itself respect.
fn ttl(values: &Values) -> Result<(Ttl, TtlBounds), ConfigError> {
    let ttl = Ttl::from_seconds(values.number(TTL_SECONDS, 0..=Ttl::SECONDS_MAX)?);
    let bound = |variable| values.is_given(variable).then(|| values.number(variable, 1..=Ttl::SECONDS_MAX)).transpose();
    let ttls = TtlBounds { min: bound(TTL_MIN_SECONDS)?, max: bound(TTL_MAX_SECONDS)? };
    if !ttls.allow(ttl) {
        let reason = format!("not between {ttls}, which bound it as well");
        return Err(ConfigError::new(TTL_SECONDS, &ttl.seconds().to_string(), reason));
    }
    Ok((ttl, ttls))
}

pub(super) fn listen(values: &Values) -> Result<Listen, ConfigError> {
    let port = values.required(LISTEN_PORT, "a port, 0 to 65535", |text| text.parse::<u16>().ok())?;
    let listen = values.optional(LISTEN_ADDR, "an IPv4 or IPv6 address, or unix:/path", |text| {
        let path = text.strip_prefix("unix:").filter(|path| path.starts_with('/'));
        let tcp =
            || text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|addr| Listen::Tcp { addr: Some(addr), port });
        path.map(|path| Listen::Unix(path.into())).or_else(tcp)
    })?;
    Ok(listen.unwrap_or(Listen::Tcp { addr: None, port }))
}

fn proxies(values: &Values) -> Result<TrustedProxies, ConfigError> {
    let expected = "networks such as 10.0.0.0/8, addresses, or unix, with commas between them";
    let proxies = values.optional(TRUSTED_PROXIES, expected, |text| text.parse().ok())?;
    Ok(proxies.unwrap_or_default())
}

/// The same for the server and for commands that run until they are stopped.
pub(super) fn logging(values: &Values) -> Result<Logging, ConfigError> {
    Ok(Logging {
        filter: values.required(RUST_LOG, "a level such as info, or a filter such as warn,inventor=debug", filter)?,
        format: values.choice(LOG_FORMAT, &[("logfmt", Format::Logfmt), ("json", Format::Json)])?,
    })
}

/// Checks a filter for `env_logger`, which takes any word for the name of a module and then logs nothing else: a
/// mistyped level must not do that.
fn filter(text: &str) -> Option<String> {
    let words = text.split('/').next().unwrap_or_default();
    let known =
        |word: &str| word.contains('=') || word.starts_with("inventor") || word.parse::<log::LevelFilter>().is_ok();
    let valid = words.split(',').all(|word| known(word.trim())) && env_filter::Builder::new().try_parse(text).is_ok();
    valid.then(|| text.to_owned())
}
