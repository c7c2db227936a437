//! A proxy before a server, that a test tells to fall silent, to cut connections, to hold back answers, to refuse, or to
//! pass for an older one.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use crate::eventually::{SOON, eventually};

/// After this Redis says which version it is.
const VERSION: &[u8] = b"redis_version:";

/// Passes bytes between clients and one or more servers.
pub(crate) struct Proxy {
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
    ended: bool,
    silent: bool,
    /// Redis passes for Redis 6.
    disguised: bool,
    /// What a connection asks that is held from then on.
    hold: Option<Vec<u8>>,
    /// What is refused.
    refuse: Option<Vec<u8>>,
    connections: Vec<Passed>,
}

/// One connection.
struct Passed {
    client: UnixStream,
    server: UnixStream,
    /// Its answers are held back.
    held: bool,
    /// An answer is there and is held back.
    holding: bool,
}

impl Proxy {
    /// A proxy before one server.
    pub(crate) fn before(server: &Path) -> Proxy {
        Proxy::alternating(&[server.to_owned()])
    }

    /// A proxy that leads each new connection to the next server.
    pub(crate) fn alternating(servers: &[PathBuf]) -> Proxy {
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
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("proxy.sock")
    }

    /// Passes nothing on any more, and closes nothing: as a network does that drops every packet.
    pub(crate) fn fall_silent(&self) {
        self.control.set(|state| state.silent = true);
    }

    /// Passes on what was held back, and everything after it.
    pub(crate) fn speak(&self) {
        self.control.set(|state| {
            (state.silent, state.hold) = (false, None);
            state.connections.iter_mut().for_each(|passed| passed.held = false);
        });
    }

    /// Has Redis say that it is Redis 6 from now on.
    pub(crate) fn disguise(&self) {
        self.control.set(|state| state.disguised = true);
    }

    /// Holds back the answers to whichever connection asks something with this text in it from now on.
    pub(crate) fn hold_next(&self, text: &str) {
        self.control.set(|state| state.hold = Some(text.into()));
    }

    /// Holds back the answers to the connection that was made first: the tracked one of a replica.
    pub(crate) fn hold_the_first(&self) {
        self.control.set(|state| state.connections[0].held = true);
    }

    /// Answers whatever has this text in it with an error, as a service does that does not know it.
    pub(crate) fn refuse(&self, text: &str) {
        self.control.set(|state| state.refuse = Some(text.into()));
    }

    /// Waits until an answer has come that is held back: the server has done what it was asked.
    #[track_caller]
    pub(crate) fn is_holding(&self) {
        eventually(SOON, || self.control.state.lock().connections.iter().any(|passed| passed.holding));
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        self.control.set(|state| {
            for passed in &mut state.connections {
                passed.held = false;
                let _ = passed.client.shutdown(Shutdown::Both);
                let _ = passed.server.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.set(|state| state.ended = true);
        self.speak();
        self.cut();
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
        let (from_client, to_server) = (clone(&client), clone(&server));
        let (from_server, to_client) = (clone(&server), clone(&client));
        let mut state = self.state.lock();
        let number = state.connections.len();
        state.connections.push(Passed { client, server, held: false, holding: false });
        let (asks, answers) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || pass(from_client, to_server, |bytes| asks.ask(number, bytes)));
        thread::spawn(move || {
            pass(from_server, to_client, |bytes| {
                answers.answer(number, bytes);
                true
            })
        });
    }

    /// Returns when these bytes may go to the server, and whether they may.
    fn ask(&self, number: usize, bytes: &mut [u8]) -> bool {
        let mut state = self.state.lock();
        while state.silent {
            self.changed.wait(&mut state);
        }
        let hold = state.hold.as_ref().is_some_and(|text| contains(bytes, text));
        state.connections[number].held |= hold;
        let is_refused = state.refuse.as_ref().is_some_and(|text| contains(bytes, text));
        if is_refused {
            state.connections[number].client.write_all(b"-ERR syntax error\r\n").unwrap();
        }
        !is_refused
    }

    /// Returns when an answer may go to the client.
    fn answer(&self, number: usize, bytes: &mut [u8]) {
        let mut state = self.state.lock();
        while state.silent || state.connections[number].held {
            state.connections[number].holding = true;
            self.changed.wait(&mut state);
        }
        state.connections[number].holding = false;
        if state.disguised
            && let Some(at) = bytes.windows(VERSION.len()).position(|part| part == VERSION)
        {
            bytes[at + VERSION.len()] = b'6';
        }
    }
}

fn pass(mut from: UnixStream, mut to: UnixStream, gate: impl Fn(&mut [u8]) -> bool) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if gate(&mut bytes[..count]) && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|part| part == text)
}
