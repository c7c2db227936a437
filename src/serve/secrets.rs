//! Tokens, certificates and the secrets for Redis, taken up while the server runs: soon after their files have changed, and
//! at once when somebody asks. Whatever the files do, such as a mount that hangs, nobody waits for them but the thread that
//! does this.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use log::{error, info, warn};
use prometheus::Registry;

use crate::config::{ConfigError, RedisSources, TlsSources, TokenSources};
use crate::files::WatchedFiles;
use crate::http::Tokens;
use crate::http::server::{Credentials, Tls};
use crate::store::redis::{Connector, Settings};
use crate::tokens::{API, SD, Token};

/// How often the files are looked at. A change is taken up at the second look that sees it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long before its end a certificate is worth a warning.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often that is said.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is secret, where it comes from, and what the files were when it was read.
pub(super) struct Secrets {
    tokens: Watched<TokenSecrets>,
    tls: Option<Watched<Certificate>>,
    redis: Option<Watched<RedisSecrets>>,
}

impl Secrets {
    /// Reads everything.
    ///
    /// # Errors
    /// [`ConfigError`] names the file that is wrong.
    pub(super) fn read(
        tokens: TokenSources,
        tls: Option<TlsSources>,
        redis: Option<RedisSources>,
        metrics: &Registry,
    ) -> Result<Secrets, ConfigError> {
        let files = WatchedFiles::new(tokens.paths());
        let secret = TokenSecrets { tokens: Arc::new(Tokens::new(tokens.read()?)), sources: tokens };
        let tokens = Watched { files, secret };
        let certificate = |sources: TlsSources| {
            let files = WatchedFiles::new(sources.paths());
            let tls = Arc::new(Tls::new(sources.read()?, metrics));
            Ok(Watched { files, secret: Certificate { tls, sources, warned: None } })
        };
        let of_redis = |sources: RedisSources| {
            let files = WatchedFiles::new(sources.paths());
            let connector = Arc::new(Connector::new(sources.read()?));
            Ok(Watched { files, secret: RedisSecrets { connector, sources } })
        };
        Ok(Secrets { tokens, tls: tls.map(certificate).transpose()?, redis: redis.map(of_redis).transpose()? })
    }

    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.secret.tokens)
    }

    /// What the server shows, if it speaks TLS.
    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.as_ref().map(|watched| Arc::clone(&watched.secret.tls))
    }

    /// How Redis is reached, if the registrations are there.
    pub(super) fn redis(&self) -> Option<Arc<Connector>> {
        self.redis.as_ref().map(|watched| Arc::clone(&watched.secret.connector))
    }

    /// Keeps them up to date from now on, in a thread of its own that ends with the process. Whoever sends something has
    /// everything read at once, and `reread` says when that is done.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn keep_up(mut self, reread: impl Fn() + Send + 'static) -> Result<Sender<()>, String> {
        let (ask, asked) = mpsc::channel();
        let run = move || self.run(&asked, reread);
        let thread = thread::Builder::new().name("secrets".into()).spawn(run);
        thread.map(|_| ask).map_err(|e| format!("cannot start the thread that reads tokens and certificates: {e}"))
    }

    fn run(&mut self, asked: &Receiver<()>, reread: impl Fn()) {
        loop {
            if let Some(certificate) = &mut self.tls {
                certificate.secret.warn_of_expiry();
            }
            match asked.recv_timeout(LOOK_EVERY) {
                Ok(()) => {
                    self.look(true);
                    reread();
                }
                Err(RecvTimeoutError::Timeout) => self.look(false),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads what has changed, or all of it if that is asked for.
    fn look(&mut self, is_asked_for: bool) {
        self.tokens.look(is_asked_for);
        if let Some(tls) = &mut self.tls {
            tls.look(is_asked_for);
        }
        if let Some(redis) = &mut self.redis {
            redis.look(is_asked_for);
        }
    }
}

/// Something secret, and the files in which it is.
struct Watched<S> {
    files: WatchedFiles,
    secret: S,
}

/// Something secret that can be replaced by what its files say now.
trait Secret {
    /// What the log says when the files are of no use.
    const KEPT: &'static str;
    type Read;

    fn read(&self) -> Result<Self::Read, ConfigError>;

    /// Goes on with this, and says so.
    fn replace(&mut self, read: Self::Read);
}

impl<S: Secret> Watched<S> {
    fn look(&mut self, is_asked_for: bool) {
        match self.files.look(is_asked_for, || self.secret.read()) {
            Some(Ok(read)) => self.secret.replace(read),
            Some(Err(reason)) => error!(reason:%; "{}", S::KEPT),
            None => {}
        }
    }
}

struct TokenSecrets {
    tokens: Arc<Tokens>,
    sources: TokenSources,
}

impl Secret for TokenSecrets {
    const KEPT: &'static str = "cannot reread the tokens, keeping the old ones";
    type Read = Vec<Token>;

    fn read(&self) -> Result<Vec<Token>, ConfigError> {
        self.sources.read()
    }

    fn replace(&mut self, tokens: Vec<Token>) {
        let [write, read] = [API, SD].map(|name| tokens.iter().filter(|token| token.name == name).count());
        info!(write, read, named = tokens.len() - write - read; "tokens reread");
        self.tokens.replace(tokens);
    }
}

struct RedisSecrets {
    connector: Arc<Connector>,
    sources: RedisSources,
}

impl Secret for RedisSecrets {
    const KEPT: &'static str = "cannot reread the secrets for Redis, keeping the old ones";
    type Read = Settings;

    fn read(&self) -> Result<Settings, ConfigError> {
        self.sources.read()
    }

    fn replace(&mut self, settings: Settings) {
        info!("secrets for Redis reread");
        self.connector.replace(settings);
    }
}

struct Certificate {
    tls: Arc<Tls>,
    sources: TlsSources,
    /// When somebody was last warned that it expires.
    warned: Option<Instant>,
}

impl Secret for Certificate {
    const KEPT: &'static str = "cannot reread the certificate, keeping the old one";
    type Read = Credentials;

    fn read(&self) -> Result<Credentials, ConfigError> {
        self.sources.read()
    }

    fn replace(&mut self, credentials: Credentials) {
        info!(expires_at:% = time(credentials.expires_at()); "certificate reread");
        self.tls.replace(credentials);
        self.warned = None;
    }
}

impl Certificate {
    fn warn_of_expiry(&mut self) {
        let expires_at = time(self.tls.expires_at());
        let left = expires_at.duration_since(Timestamp::now());
        if left > EXPIRES_SOON || self.warned.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            return;
        }
        self.warned = Some(Instant::now());
        match left.is_positive() {
            true => warn!(expires_at:%; "the certificate expires soon"),
            false => warn!(expires_at:%; "the certificate has expired"),
        }
    }
}

fn time(unix_seconds: i64) -> Timestamp {
    Timestamp::from_second(unix_seconds).unwrap_or(Timestamp::MAX)
}
