//! Tokens and certificates, taken up while the server runs: soon after their files have changed, and at once when
//! somebody asks. Whatever the files do, such as a mount that hangs, nobody waits for them but the thread that does this.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use log::{error, info, warn};
use prometheus::Registry;

use crate::config::{ConfigError, TlsSources, TokenSources};
use crate::files::WatchedFiles;
use crate::http::server::{Credentials, Tls};
use crate::http::{TokenSets, Tokens};

/// How often the files are looked at. A change is taken up at the second look that sees it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long before its end a certificate is worth a warning.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often that is said.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is secret, where it comes from, and what the files were when it was read.
pub(super) struct Secrets {
    tokens: Arc<Tokens>,
    token_sources: TokenSources,
    token_files: WatchedFiles,
    tls: Option<Certificate>,
}

struct Certificate {
    tls: Arc<Tls>,
    sources: TlsSources,
    files: WatchedFiles,
    /// When somebody was last warned that it expires.
    warned: Option<Instant>,
}

impl Secrets {
    /// Reads everything.
    ///
    /// # Errors
    /// [`ConfigError`] names the file that is wrong.
    pub(super) fn read(
        token_sources: TokenSources,
        tls_sources: Option<TlsSources>,
        metrics: &Registry,
    ) -> Result<Secrets, ConfigError> {
        let token_files = WatchedFiles::new(token_sources.paths());
        let tokens = Arc::new(Tokens::new(token_sources.read()?));
        let certificate = |sources: TlsSources| {
            let files = WatchedFiles::new(sources.paths());
            let tls = Arc::new(Tls::new(sources.read()?, metrics));
            Ok(Certificate { tls, sources, files, warned: None })
        };
        let tls = tls_sources.map(certificate).transpose()?;
        Ok(Secrets { tokens, token_sources, token_files, tls })
    }

    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens)
    }

    /// What the server shows, if it speaks TLS.
    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.as_ref().map(|certificate| Arc::clone(&certificate.tls))
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
                certificate.warn_of_expiry();
            }
            match asked.recv_timeout(LOOK_EVERY) {
                Ok(()) => {
                    self.reread();
                    reread();
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reread(&mut self) {
        self.token_files.take();
        replace_tokens(&self.tokens, self.token_sources.read());
        if let Some(certificate) = &mut self.tls {
            certificate.files.take();
            let read = certificate.sources.read();
            certificate.replace(read);
        }
    }

    fn look(&mut self) {
        if let Some(read) = self.token_files.read_if_changed(|| self.token_sources.read()) {
            replace_tokens(&self.tokens, read);
        }
        if let Some(certificate) = &mut self.tls
            && let Some(read) = certificate.files.read_if_changed(|| certificate.sources.read())
        {
            certificate.replace(read);
        }
    }
}

fn replace_tokens(tokens: &Tokens, read: Result<TokenSets, ConfigError>) {
    match read {
        Ok(sets) => {
            info!(write = sets.write.len(), read = sets.read.len(), named = sets.named.len(); "tokens reread");
            tokens.replace(sets);
        }
        Err(e) => error!(reason:% = e; "cannot reread the tokens, keeping the old ones"),
    }
}

impl Certificate {
    fn replace(&mut self, read: Result<Credentials, ConfigError>) {
        match read {
            Ok(credentials) => {
                info!(expires_at:% = time(credentials.expires_at()); "certificate reread");
                self.tls.replace(credentials);
                self.warned = None;
            }
            Err(e) => error!(reason:% = e; "cannot reread the certificate, keeping the old one"),
        }
    }

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
