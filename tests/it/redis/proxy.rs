//! A proxy before a Redis, that a test tells to fall silent, to cut connections, or to hold back an answer.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use crate::eventually::{SOON, eventually};

/// Passes bytes between clients and one or more servers.
pub(super) struct Proxy {
    directory: TempDir,
    control: Arc<Control>,
}

#[derive(Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    silent: bool,
    /// Answers to connections that ask something that holds this text are held back.
    held: Option<Vec<u8>>,
    /// How many connections are held.
    holding: usize,
    ended: bool,
    open: Vec<UnixStream>,
}

impl Proxy {
    /// A proxy before one server.
    pub(super) fn before(server: &Path) -> Proxy {
        Proxy::alternating(&[server.to_owned()])
    }

    /// A proxy that leads each new connection to the next server.
    pub(super) fn alternating(servers: &[PathBuf]) -> Proxy {
        let directory = TempDir::new().unwrap();
        let control = Arc::new(Control::default());
        let listener = UnixListener::bind(directory.path().join("proxy.sock")).unwrap();
        let (servers, accepting) = (servers.to_vec(), Arc::clone(&control));
        thread::spawn(move || {
            for (client, server) in listener.incoming().zip(servers.iter().cycle()) {
                if accepting.state.lock().ended {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, UnixStream::connect(server)) {
                    accepting.connect(client, server);
                }
            }
        });
        Proxy { directory, control }
    }

    /// Where clients connect.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("proxy.sock")
    }

    /// Passes nothing on any more, and closes nothing: as a network does that drops every packet.
    pub(super) fn fall_silent(&self) {
        self.control.set(|state| state.silent = true);
    }

    /// Passes on what has been held up, and everything after it.
    pub(super) fn speak(&self) {
        self.control.set(|state| (state.silent, state.held) = (false, None));
    }

    /// Holds back every answer to the next connection that asks something with this text in it.
    pub(super) fn hold(&self, text: &str) {
        self.control.set(|state| state.held = Some(text.into()));
    }

    /// Waits until the answer is held back.
    #[track_caller]
    pub(super) fn is_holding(&self) {
        eventually(SOON, || self.control.state.lock().holding > 0);
    }

    /// Closes every connection.
    pub(super) fn cut(&self) {
        self.control.set(|state| {
            for stream in state.open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.speak();
        self.cut();
        self.control.set(|state| state.ended = true);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(self.socket());
    }
}

impl Control {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    fn connect(self: &Arc<Control>, client: UnixStream, server: UnixStream) {
        let clone = |stream: &UnixStream| stream.try_clone().unwrap();
        self.state.lock().open.extend([clone(&client), clone(&server)]);
        let held = Arc::new(Mutex::new(false));
        for (from, to, asks) in [(clone(&client), clone(&server), true), (server, client, false)] {
            let (control, held) = (Arc::clone(self), Arc::clone(&held));
            thread::spawn(move || control.pass(from, to, asks, &held));
        }
    }

    /// Passes on what is asked (`asks`) or answered on one connection.
    fn pass(&self, mut from: UnixStream, mut to: UnixStream, asks: bool, held: &Mutex<bool>) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let bytes = &bytes[..count];
            let mut state = self.state.lock();
            if asks && state.held.as_ref().is_some_and(|text| bytes.windows(text.len()).any(|part| part == text)) {
                *held.lock() = true;
                state.holding += 1;
            }
            while state.silent || (!asks && *held.lock() && state.held.is_some()) {
                self.changed.wait_for(&mut state, Duration::from_secs(1));
            }
            drop(state);
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
