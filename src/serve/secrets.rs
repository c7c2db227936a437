//! Tokens, certificates and the secrets for Redis, reread while the server runs: soon after their files have changed,
//! and at once on demand. Only the thread that does this waits for slow files, such as those on a hanging mount.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use log::{error, info, warn};
use prometheus::Registry;

use crate::config::{ConfigError, RedisSources, Sources, TlsSources, TokenSources};
use crate::files::WatchedFiles;
use crate::http::Tokens;
use crate::http::server::Tls;
use crate::store::redis::Connector;
use crate::tokens::{API, SD};

/// How often the files are looked at. The second look that sees a change rereads them.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The server warns of a certificate that expires within this time.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often that warning is repeated.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Looks at the files of one secret. Rereads them if they have changed, or if the argument asks for it.
type Look = Box<dyn FnMut(bool) + Send>;

#[derive(Default)]
pub(super) struct Secrets(Vec<Look>);

impl Secrets {
    /// # Errors
    /// [`ConfigError`] names the file that is wrong.
    pub(super) fn tokens(&mut self, sources: TokenSources) -> Result<Arc<Tokens>, ConfigError> {
        let kept = "cannot reread the tokens, keeping the old ones";
        self.watch(sources, kept, Tokens::new, |tokens, read_again| {
            let count = |name| read_again.iter().filter(|token| token.name == name).count();
            let (write, read) = (count(API), count(SD));
            info!(write, read, named = read_again.len() - write - read; "tokens reread");
            tokens.replace(read_again);
        })
    }

    pub(super) fn certificate(&mut self, sources: TlsSources, metrics: &Registry) -> Result<Arc<Tls>, ConfigError> {
        let kept = "cannot reread the certificate, keeping the old one";
        let tls = self.watch(
            sources,
            kept,
            |read| Tls::new(read, metrics),
            |tls, read| {
                info!(expires_at:% = time(read.expires_at()); "certificate reread");
                tls.replace(read);
            },
        )?;
        let (current, mut warned) = (Arc::clone(&tls), None);
        self.0.push(Box::new(move |_| warn_of_expiry(current.expires_at(), &mut warned)));
        Ok(tls)
    }

    pub(super) fn of_redis(&mut self, sources: RedisSources) -> Result<Arc<Connector>, ConfigError> {
        let kept = "cannot reread the secrets for Redis, keeping the old ones";
        self.watch(sources, kept, Connector::new, |connector, settings| {
            info!("secrets for Redis reread");
            connector.replace(settings);
        })
    }

    /// Makes a value of what the files hold, and replaces it whenever they change. `kept` is logged when they cannot be
    /// used.
    fn watch<S: Sources, T: Send + Sync + 'static>(
        &mut self,
        sources: S,
        kept: &'static str,
        make: impl FnOnce(S::Read) -> T,
        replace: impl Fn(&T, S::Read) + Send + 'static,
    ) -> Result<Arc<T>, ConfigError> {
        let mut files = WatchedFiles::new(sources.paths());
        let made = Arc::new(make(sources.read()?));
        let current = Arc::clone(&made);
        self.0.push(Box::new(move |is_asked_for| match files.look(is_asked_for, || sources.read()) {
            Some(Ok(read)) => replace(&current, read),
            Some(Err(reason)) => error!(reason:%; "{kept}"),
            None => {}
        }));
        Ok(made)
    }

    /// Keeps all secrets up to date from now on, in a thread that ends with the process. A message to the returned
    /// channel has everything reread at once, and then `reread` is called. A message that still waits stands for any
    /// later ones.
    pub(super) fn keep_up(mut self, reread: impl Fn() + Send + 'static) -> Result<SyncSender<()>, String> {
        let (ask, asked) = mpsc::sync_channel(1);
        let mut look = move |is_asked_for| self.0.iter_mut().for_each(|look| look(is_asked_for));
        let run = move || {
            look(false);
            loop {
                match asked.recv_timeout(LOOK_EVERY) {
                    Ok(()) => {
                        look(true);
                        reread();
                    }
                    Err(RecvTimeoutError::Timeout) => look(false),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = thread::Builder::new().name("secrets".into()).spawn(run);
        thread.map(|_| ask).map_err(|e| format!("cannot start the thread that reads tokens and certificates: {e}"))
    }
}

/// Warns that a certificate expires soon, unless the last warning was for the same one and not long ago.
fn warn_of_expiry(expires_at: i64, warned: &mut Option<(i64, Instant)>) {
    let is_known = warned.is_some_and(|(of, at)| of == expires_at && at.elapsed() < WARN_EVERY);
    let left = time(expires_at).duration_since(Timestamp::now());
    if left > EXPIRES_SOON || is_known {
        return;
    }
    *warned = Some((expires_at, Instant::now()));
    match left.is_positive() {
        true => warn!(expires_at:% = time(expires_at); "the certificate expires soon"),
        false => warn!(expires_at:% = time(expires_at); "the certificate has expired"),
    }
}

fn time(unix_seconds: i64) -> Timestamp {
    Timestamp::from_second(unix_seconds).unwrap_or(Timestamp::MAX)
}
