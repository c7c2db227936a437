//! Something between a client and its server that passes requests on, or answers them itself: a proxy, a firewall, a
//! portal, or another program at that address.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::server::Server;

/// Listens at a Unix socket.
pub(crate) struct Between {
    directory: TempDir,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    ended: bool,
    /// What it answers itself, byte by byte.
    says: Option<String>,
    /// The same, by the first line of the request.
    answers: Option<fn(&str) -> &'static str>,
    heard: Vec<String>,
    passed: usize,
}

impl Between {
    /// Passes everything on to this server until it is told otherwise.
    pub(crate) fn before(server: &Server) -> Between {
        Between::listen(server.address(), State::default())
    }

    /// Nobody is behind it: it is another program, which answers so.
    pub(crate) fn alone(answers: fn(&str) -> &'static str) -> Between {
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        Between::listen(nobody, State { answers: Some(answers), ..State::default() })
    }

    fn listen(address: std::net::SocketAddr, state: State) -> Between {
        let directory = TempDir::new().unwrap();
        let state = Arc::new(Mutex::new(state));
        let listener = UnixListener::bind(directory.path().join("between.sock")).unwrap();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.lock().ended {
                    return;
                }
                let (client, shared) = (client.unwrap(), Arc::clone(&shared));
                thread::spawn(move || serve(client, address, &shared));
            }
        });
        Between { directory, state }
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> String {
        format!("unix:{}", self.directory.path().join("between.sock").display())
    }

    /// Answers everything itself with this status, media type and body.
    pub(crate) fn says(&self, status: &str, content_type: &str, body: &str) {
        let length = body.len();
        self.says_bytes(&format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ));
    }

    /// Answers everything itself with these bytes.
    pub(crate) fn says_bytes(&self, bytes: &str) {
        self.state.lock().says = Some(bytes.to_owned());
    }

    /// Passes everything on again.
    pub(crate) fn passes(&self) {
        self.state.lock().says = None;
    }

    /// The first lines of what it has heard so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.state.lock().heard.clone()
    }

    /// How many requests it has passed on.
    pub(crate) fn passed(&self) -> usize {
        self.state.lock().passed
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.state.lock().ended = true;
        let _ = UnixStream::connect(self.directory.path().join("between.sock"));
    }
}

/// One request for each connection.
fn serve(mut client: UnixStream, server: std::net::SocketAddr, state: &Mutex<State>) {
    let Some((head, body)) = request(&mut client) else { return };
    let first = head.lines().next().unwrap_or_default();
    state.lock().heard.push(first.to_owned());
    let answers = state.lock().answers;
    let says = answers.map(|answers| answers(first).to_owned()).or_else(|| state.lock().says.clone());
    let answer = match says {
        Some(says) => says.into_bytes(),
        None => {
            state.lock().passed += 1;
            let mut server = TcpStream::connect(server).unwrap();
            let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            server.write_all(&[head.as_bytes(), &body].concat()).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            answer
        }
    };
    let _ = client.write_all(&answer);
}

fn request(client: &mut UnixStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(end) = text.find("\r\n\r\n").map(|at| at + 4) {
            let length =
                text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= end + length.unwrap_or(0) {
                return Some((text[..end].to_owned(), bytes[end..].to_vec()));
            }
        }
        match client.read(&mut part) {
            Ok(count @ 1..) => bytes.extend_from_slice(&part[..count]),
            _ => return None,
        }
    }
}
