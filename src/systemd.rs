//! What passes between the server and systemd, or another program with the same protocol: listening sockets at the
//! start, the state of the service, the watchdog. Without such a program, all of this does nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use listenfd::ListenFd;
use log::warn;
use sd_notify::NotifyState;

use crate::endpoint::{Endpoint, unix_address};
use crate::http_client::healthcheck;

/// How often the watchdog is fed within its timeout: one lost request must not get the server killed.
const FEEDS_PER_PERIOD: u32 = 4;

/// Takes the listening sockets that were passed to this process. Call it before there are threads: it changes the
/// environment.
///
/// # Errors
/// A descriptor that was passed is not a stream socket.
pub fn passed_sockets() -> io::Result<Vec<OwnedFd>> {
    let mut passed = ListenFd::from_env();
    (0..passed.len()).map(|at| take(&mut passed, at)).collect()
}

fn take(passed: &mut ListenFd, at: usize) -> io::Result<OwnedFd> {
    // A socket of the other family is left where it is, for the next call.
    if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
        return Ok(listener.into());
    }
    match passed.take_unix_listener(at) {
        Ok(Some(listener)) => Ok(listener.into()),
        Ok(None) => Err(io::Error::other("it is already in use")),
        Err(_) => Err(io::Error::other("it is neither a TCP socket nor a Unix stream socket")),
    }
}

/// Reports that the server answers, at the start or after a reload.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Reports that the server rereads its configuration; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(e) => warn!(reason:% = e; "could not tell systemd about the reload"),
    }
}

pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Sets the sentence that `systemctl status` shows.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Sets where systemd listens, in the form of `NOTIFY_SOCKET`: a path, or `@` and a name in the abstract namespace.
/// Call it once, before anything is reported.
pub fn notify_at(socket: Option<OsString>) {
    let _ = NOTIFIED.set(socket);
}

static NOTIFIED: OnceLock<Option<OsString>> = OnceLock::new();

fn notify(states: &[NotifyState<'_>]) {
    if let Some(socket) = NOTIFIED.get().and_then(Option::as_deref)
        && let Err(e) = send(socket, states)
    {
        warn!(reason:% = e; "could not notify systemd");
    }
}

fn send(socket: &OsStr, states: &[NotifyState<'_>]) -> io::Result<()> {
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &unix_address(Path::new(socket))?).map(drop)
}

/// Feeds the watchdog of systemd for as long as requests through the public ports are answered; ends when dropped.
pub struct Watchdog {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts feeding, if systemd has set a watchdog on this process, which listens at these endpoints.
    pub fn start(endpoints: Vec<Endpoint>) -> io::Result<Option<Watchdog>> {
        let Some(period) = sd_notify::watchdog_enabled() else { return Ok(None) };
        let (end, ended) = mpsc::channel();
        let feed = move || {
            while ended.recv_timeout(period / FEEDS_PER_PERIOD) == Err(RecvTimeoutError::Timeout) {
                feed_if_answered(&endpoints, period);
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(feed)?;
        Ok(Some(Watchdog { end: Some(end), thread: Some(thread) }))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // A panic there was logged, and systemd acts when the feeding stops.
            let _ = thread.join();
        }
    }
}

fn feed_if_answered(endpoints: &[Endpoint], period: Duration) {
    match endpoints.iter().try_for_each(|endpoint| healthcheck(endpoint, "healthy")) {
        Ok(()) => notify(&[NotifyState::Watchdog]),
        Err(e) => {
            warn!(reason:% = e, period_seconds = period.as_secs(); "not feeding the systemd watchdog: the server does not answer")
        }
    }
}
