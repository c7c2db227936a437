//! Where registrations are kept: in a file, or in Redis.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::error::ConfigError;
use super::values::Values;
use super::variables::{
    DATA_DIR, REDIS_ADDR, REDIS_CLUSTER, REDIS_DBNO, REDIS_PASSWORD, REDIS_PASSWORD_FILE, REDIS_POOL_SIZE, REDIS_PORT,
    REDIS_SENTINEL_MASTER, REDIS_SENTINEL_PASSWORD, REDIS_SENTINEL_PASSWORD_FILE, REDIS_SENTINEL_USERNAME,
    REDIS_SENTINELS, REDIS_TLS, REDIS_TLS_CA, REDIS_TLS_CERT, REDIS_TLS_KEY, REDIS_URL, REDIS_USERNAME, RESTORE,
    VARIABLES, Variable,
};
use crate::files;
use crate::store::redis::{Address, Sentinel, Settings, Tls};

const POOL_SIZE_MAX: u32 = 256;

/// The largest number of a Redis database; how many there are is known to Redis.
const DBNO_MAX: u32 = 65_535;

/// The variables that say where Redis is, of which one may be set.
const ADDRESSES: [Variable; 4] = [REDIS_ADDR, REDIS_URL, REDIS_SENTINELS, REDIS_CLUSTER];

/// The store to use.
pub enum StoreConfig {
    Embedded(PathBuf),
    Redis(Box<Settings>),
}

impl StoreConfig {
    pub fn name(&self) -> &'static str {
        match self {
            StoreConfig::Embedded(_) => "embedded",
            StoreConfig::Redis(_) => "redis",
        }
    }

    pub(super) fn new(values: &Values) -> Result<StoreConfig, ConfigError> {
        let named: Vec<Variable> = ADDRESSES.into_iter().filter(|address| values.is_given(*address)).collect();
        match named[..] {
            [] => Ok(StoreConfig::Embedded(values.path(DATA_DIR).unwrap_or_default())),
            [_] => Ok(StoreConfig::Redis(Box::new(redis(values)?))),
            [one, other, ..] => Err(ConfigError::together(one, other)),
        }
    }
}

/// Variables of Redis that were set although no Redis is named: a mistyped name of the address would look like that.
pub(super) fn without_effect(values: &Values) -> Vec<&'static str> {
    if ADDRESSES.iter().any(|address| values.is_given(*address)) {
        return Vec::new();
    }
    let names = VARIABLES.iter().filter(|variable| values.is_given(**variable)).map(|variable| variable.name);
    names.filter(|name| name.starts_with("REDIS_") || *name == RESTORE.name).collect()
}

fn redis(values: &Values) -> Result<Settings, ConfigError> {
    let mut settings = match values.text(REDIS_URL)? {
        Some(url) => Settings::from_url(&url).map_err(|e| ConfigError::without_value(REDIS_URL, e.to_string()))?,
        None => Settings::new(address(values)?),
    };
    // What stands in the URL is not overruled by a default.
    if values.is_given(REDIS_DBNO) || !values.is_given(REDIS_URL) {
        let max = if values.is_given(REDIS_CLUSTER) { 0 } else { DBNO_MAX };
        settings.database = values.number(REDIS_DBNO, 0..=max)?;
    }
    settings.username = values.text(REDIS_USERNAME)?.or(settings.username);
    settings.password = secret(values, REDIS_PASSWORD, REDIS_PASSWORD_FILE)?.or(settings.password);
    settings.tls = tls(values, settings.tls)?;
    settings.restore = values.switch(RESTORE)?;
    settings.pool_size = values.number(REDIS_POOL_SIZE, 1..=POOL_SIZE_MAX)?;
    Ok(settings)
}

fn address(values: &Values) -> Result<Address, ConfigError> {
    if let Some(nodes) = values.optional(REDIS_CLUSTER, HOSTS, hosts)? {
        return Ok(Address::Cluster(nodes));
    }
    if let Some(hosts) = values.optional(REDIS_SENTINELS, HOSTS, hosts)? {
        return Ok(Address::Sentinel(Sentinel {
            hosts,
            master: values.required(REDIS_SENTINEL_MASTER, "UTF-8", |text| Some(text.to_owned()))?,
            username: values.text(REDIS_SENTINEL_USERNAME)?,
            password: secret(values, REDIS_SENTINEL_PASSWORD, REDIS_SENTINEL_PASSWORD_FILE)?,
        }));
    }
    let host = values.required(REDIS_ADDR, "a host name or an address; the port is REDIS_PORT", |text| {
        let host = text.trim_matches(['[', ']']);
        let (address, _zone) = host.split_once('%').unwrap_or((host, ""));
        (!host.contains(':') || address.parse::<Ipv6Addr>().is_ok()).then(|| host.to_owned())
    })?;
    let port = values.required(REDIS_PORT, "a port, 1 to 65535", |text| text.parse().ok().filter(|p| *p > 0))?;
    Ok(Address::Tcp(host, port))
}

/// What several hosts look like.
const HOSTS: &str = "host:port,host:port,...";

fn hosts(text: &str) -> Option<Vec<(String, u16)>> {
    text.split(',').map(|host| host_and_port(host.trim())).collect()
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

fn tls(values: &Values, from_url: Option<Tls>) -> Result<Option<Tls>, ConfigError> {
    let ca = values.path(REDIS_TLS_CA);
    let missing = |missing: Variable, other: Variable| {
        ConfigError::without_value(missing, format!("not set, but {} is", other.name))
    };
    let identity = match (values.path(REDIS_TLS_CERT), values.path(REDIS_TLS_KEY)) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(missing(REDIS_TLS_KEY, REDIS_TLS_CERT)),
        (None, Some(_)) => return Err(missing(REDIS_TLS_CERT, REDIS_TLS_KEY)),
    };
    let on = from_url.is_some() || values.switch(REDIS_TLS)?;
    if !on && (ca.is_some() || identity.is_some()) {
        let reason = "is off, but a certificate is set; set it to on, or use a rediss:// URL".to_owned();
        return Err(ConfigError::without_value(REDIS_TLS, reason));
    }
    Ok(on.then_some(Tls { ca, identity }))
}

/// A secret from its variable, or from the first line of a file.
fn secret(values: &Values, variable: Variable, file: Variable) -> Result<Option<String>, ConfigError> {
    let Some(path) = values.path(file) else {
        return match values.raw(variable).map(|value| value.to_str()) {
            Some(None) => Err(ConfigError::without_value(variable, "expected UTF-8".to_owned())),
            value => Ok(value.flatten().map(str::to_owned)),
        };
    };
    if values.is_given(variable) {
        return Err(ConfigError::together(variable, file));
    }
    let wrong = |reason| ConfigError::new(file, &path.to_string_lossy(), reason);
    let secret = files::secret(&path).map_err(wrong)?;
    String::from_utf8(secret).map(Some).map_err(|_| wrong("is not UTF-8".to_owned()))
}
