//! Where registrations are kept: in a file, or in Redis.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::{ConfigError, Values};
use crate::store::redis::{Address, Sentinel, Settings, Tls};

/// The largest number of connections to Redis.
const POOL_SIZE_MAX: u64 = 256;

/// The largest number of a Redis database; how many there are is known to Redis.
const DBNO_MAX: u64 = 65_535;

/// The variables that say where Redis is, of which one may be set.
const ADDRESSES: [&str; 3] = ["REDIS_ADDR", "REDIS_URL", "REDIS_SENTINELS"];

/// The variables that mean nothing without one of these.
const WITH_ADDRESS: [&str; 11] = [
    "REDIS_PORT",
    "REDIS_DBNO",
    "REDIS_USERNAME",
    "REDIS_PASSWORD",
    "REDIS_PASSWORD_FILE",
    "REDIS_TLS",
    "REDIS_TLS_CA",
    "REDIS_TLS_CERT",
    "REDIS_TLS_KEY",
    "REDIS_POOL_SIZE",
    "RESTORE",
];

/// The store to use.
pub enum StoreConfig {
    /// A file in this directory.
    Embedded(PathBuf),
    /// Redis.
    Redis(Box<Settings>),
}

impl StoreConfig {
    /// What the store is called.
    pub fn name(&self) -> &'static str {
        match self {
            StoreConfig::Embedded(_) => "embedded",
            StoreConfig::Redis(_) => "redis",
        }
    }

    pub(super) fn new(values: &Values<'_>) -> Result<StoreConfig, ConfigError> {
        let named: Vec<&'static str> = ADDRESSES.into_iter().filter(|name| values.raw(name).is_some()).collect();
        match named[..] {
            [] => Ok(StoreConfig::Embedded(values.path("DATA_DIR").unwrap_or_default())),
            [_] => Ok(StoreConfig::Redis(Box::new(redis(values)?))),
            [one, other, ..] => Err(ConfigError::secret(one, format!("set together with {other}; set one of them"))),
        }
    }
}

/// Variables of Redis that were set although no Redis is named: a mistyped name of the address would look like that.
pub(super) fn without_effect(values: &Values<'_>) -> Vec<&'static str> {
    if ADDRESSES.iter().any(|name| values.raw(name).is_some()) {
        return Vec::new();
    }
    WITH_ADDRESS.into_iter().filter(|name| values.raw(name).is_some()).collect()
}

fn redis(values: &Values<'_>) -> Result<Settings, ConfigError> {
    let mut settings = match values.text("REDIS_URL")? {
        Some(url) => Settings::from_url(&url).map_err(|e| ConfigError::secret("REDIS_URL", e.to_string()))?,
        None => Settings { database: database(values)?, ..Settings::new(address(values)?) },
    };
    // What stands in the URL is not overruled by a default.
    if values.raw("REDIS_DBNO").is_some() {
        settings.database = database(values)?;
    }
    settings.username = values.text("REDIS_USERNAME")?.or(settings.username);
    settings.password = secret(values, "REDIS_PASSWORD", "REDIS_PASSWORD_FILE")?.or(settings.password);
    settings.tls = tls(values, settings.tls)?;
    settings.restore = values.switch("RESTORE")?;
    let pool = values.number("REDIS_POOL_SIZE", 1, POOL_SIZE_MAX)?.unwrap_or(1);
    settings.pool_size = u32::try_from(pool).unwrap_or(1);
    Ok(settings)
}

fn database(values: &Values<'_>) -> Result<u32, ConfigError> {
    let number = values.number("REDIS_DBNO", 0, DBNO_MAX)?.unwrap_or_default();
    Ok(u32::try_from(number).unwrap_or_default())
}

fn address(values: &Values<'_>) -> Result<Address, ConfigError> {
    let hosts = values.parsed("REDIS_SENTINELS", "host:port,host:port,...", |text| {
        text.split(',').map(|host| host_and_port(host.trim())).collect::<Option<Vec<_>>>()
    })?;
    match hosts {
        Some(hosts) => Ok(Address::Sentinel(Sentinel {
            hosts,
            master: values.text("REDIS_SENTINEL_MASTER")?.unwrap_or_default(),
            username: values.text("REDIS_SENTINEL_USERNAME")?,
            password: secret(values, "REDIS_SENTINEL_PASSWORD", "REDIS_SENTINEL_PASSWORD_FILE")?,
        })),
        None => {
            let host = values.parsed("REDIS_ADDR", "a host name or an address; the port is REDIS_PORT", |text| {
                let host = text.trim_matches(['[', ']']);
                let (address, _zone) = host.split_once('%').unwrap_or((host, ""));
                (!host.contains(':') || address.parse::<Ipv6Addr>().is_ok()).then(|| host.to_owned())
            })?;
            let port =
                values.parsed("REDIS_PORT", "a port, 1 to 65535", |text| text.parse().ok().filter(|p| *p > 0))?;
            Ok(Address::Tcp(host.unwrap_or_default(), port.unwrap_or_default()))
        }
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

fn tls(values: &Values<'_>, from_url: Option<Tls>) -> Result<Option<Tls>, ConfigError> {
    let ca = values.path("REDIS_TLS_CA");
    let identity = match (values.path("REDIS_TLS_CERT"), values.path("REDIS_TLS_KEY")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(ConfigError::secret("REDIS_TLS_KEY", "not set, but REDIS_TLS_CERT is".to_owned()));
        }
        (None, Some(_)) => {
            return Err(ConfigError::secret("REDIS_TLS_CERT", "not set, but REDIS_TLS_KEY is".to_owned()));
        }
    };
    let on = from_url.is_some() || values.switch("REDIS_TLS")?;
    if !on && (ca.is_some() || identity.is_some()) {
        let reason = "is off, but a certificate is named; set it to on, or use a rediss:// URL".to_owned();
        return Err(ConfigError::secret("REDIS_TLS", reason));
    }
    Ok(on.then_some(Tls { ca, identity }))
}

/// A secret from its variable, or from the first line of a file.
fn secret(values: &Values<'_>, name: &'static str, file_name: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(path) = values.path(file_name) else {
        return match values.raw(name).map(|value| value.into_string()).transpose() {
            Ok(value) => Ok(value),
            Err(_) => Err(ConfigError::secret(name, "expected UTF-8".to_owned())),
        };
    };
    if values.raw(name).is_some() {
        return Err(ConfigError::secret(name, format!("set together with {file_name}; set one of them")));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|e| ConfigError::new(file_name, &path.to_string_lossy(), format!("cannot be read: {e}")))?;
    match text.lines().next().map(str::trim) {
        Some(secret) if !secret.is_empty() => Ok(Some(secret.to_owned())),
        _ => Err(ConfigError::new(file_name, &path.to_string_lossy(), "its first line is empty".to_owned())),
    }
}
