//! Where registrations are stored: in a file, or in Redis.

use std::net::Ipv6Addr;
use std::path::Path;

use super::secrets::{IdentityFiles, SecretFile, Source, Sources};
use super::values::{ConfigError, Values};
use super::variables::{
    REDIS_ADDR, REDIS_CLUSTER, REDIS_DBNO, REDIS_PASSWORD, REDIS_PASSWORD_FILE, REDIS_POOL_SIZE, REDIS_PORT,
    REDIS_SENTINEL_MASTER, REDIS_SENTINEL_PASSWORD, REDIS_SENTINEL_PASSWORD_FILE, REDIS_SENTINEL_USERNAME,
    REDIS_SENTINELS, REDIS_TLS, REDIS_TLS_CA, REDIS_TLS_CERT, REDIS_TLS_KEY, REDIS_URL, REDIS_USERNAME, RESTORE,
    VARIABLES, Variable,
};
use crate::store::redis::{Address, Sentinel, Settings, Tls};

const POOL_SIZE_MAX: u32 = 256;

/// The largest number of a Redis database. Redis itself knows how many it has.
const DBNO_MAX: u32 = 65_535;

/// The variables for the address of Redis. Only one may be set.
const ADDRESSES: [Variable; 4] = [REDIS_ADDR, REDIS_URL, REDIS_SENTINELS, REDIS_CLUSTER];

/// How to reach Redis. Passwords and certificates may come from files, which are reread while the server runs.
pub struct RedisSources {
    /// Without the secrets below.
    settings: Settings,
    password: Option<Source>,
    sentinel_password: Option<Source>,
    ca: Option<SecretFile>,
    identity: Option<IdentityFiles>,
}

impl RedisSources {
    /// `None` if registrations are stored without Redis.
    pub(super) fn new(values: &Values) -> Result<Option<RedisSources>, ConfigError> {
        let named: Vec<Variable> = ADDRESSES.into_iter().filter(|address| values.is_given(*address)).collect();
        match named[..] {
            [] => Ok(None),
            [_] => of_redis(values).map(Some),
            [one, other, ..] => Err(ConfigError::together(one, other)),
        }
    }
}

impl Sources for RedisSources {
    type Read = Settings;

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let passwords = [&self.password, &self.sentinel_password].into_iter().flatten().filter_map(Source::file);
        let single = passwords.chain(&self.ca).map(SecretFile::path);
        single.chain(self.identity.iter().flat_map(IdentityFiles::paths))
    }

    fn read(&self) -> Result<Settings, ConfigError> {
        let mut settings = self.settings.clone();
        if let Some(password) = &self.password {
            settings.password = Some(password.text()?);
        }
        if let (Some(password), Address::Sentinel(sentinel)) = (&self.sentinel_password, &mut settings.address) {
            sentinel.password = Some(password.text()?);
        }
        if settings.tls.is_some() {
            let ca = self.ca.as_ref().map(SecretFile::read_authorities).transpose()?;
            let identity = self.identity.as_ref().map(IdentityFiles::read).transpose()?;
            settings.tls = Some(Tls::new(ca, identity));
        }
        Ok(settings)
    }
}

/// Variables of Redis that are set although no address is: the name of the address may be mistyped.
pub(super) fn without_effect(values: &Values) -> Vec<&'static str> {
    if ADDRESSES.iter().any(|address| values.is_given(*address)) {
        return Vec::new();
    }
    let names = VARIABLES.iter().filter(|variable| values.is_given(**variable)).map(|variable| variable.name);
    names.filter(|name| name.starts_with("REDIS_") || *name == RESTORE.name).collect()
}

fn of_redis(values: &Values) -> Result<RedisSources, ConfigError> {
    let sentinel_password = Source::of_text(values, REDIS_SENTINEL_PASSWORD, REDIS_SENTINEL_PASSWORD_FILE)?;
    let mut settings = match values.text(REDIS_URL)? {
        Some(url) => Settings::from_url(&url).map_err(|e| ConfigError::without_value(REDIS_URL, e.to_string()))?,
        None => Settings::new(address(values)?),
    };
    // A default does not override the URL.
    if values.is_given(REDIS_DBNO) || !values.is_given(REDIS_URL) {
        let max = if values.is_given(REDIS_CLUSTER) { 0 } else { DBNO_MAX };
        settings.database = values.number(REDIS_DBNO, 0..=max)?;
    }
    settings.username = values.text(REDIS_USERNAME)?.or(settings.username);
    let password = Source::of_text(values, REDIS_PASSWORD, REDIS_PASSWORD_FILE)?;
    let ca = SecretFile::of(values, REDIS_TLS_CA);
    let identity = IdentityFiles::of(values, REDIS_TLS_CERT, REDIS_TLS_KEY)?;
    if settings.tls.is_none() && values.switch(REDIS_TLS)? {
        settings.tls = Some(Tls::default());
    }
    if settings.tls.is_none() && (ca.is_some() || identity.is_some()) {
        let reason = "is off, but a certificate is set; set it to on, or use a rediss:// URL".to_owned();
        return Err(ConfigError::without_value(REDIS_TLS, reason));
    }
    settings.restore = values.switch(RESTORE)?;
    settings.pool_size = values.number(REDIS_POOL_SIZE, 1..=POOL_SIZE_MAX)?;
    Ok(RedisSources { settings, password, sentinel_password, ca, identity })
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
            password: None,
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

const HOSTS: &str = "host:port,host:port,...";

fn hosts(text: &str) -> Option<Vec<(String, u16)>> {
    text.split(',').map(|host| host_and_port(host.trim())).collect()
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}
