//! Another program that is asked by HTTP: an exporter, or a server with a list of its own. It answers as it is told, and
//! remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

/// The media type and the body for a path with its query; `None` is a 404.
type Answers = fn(&str) -> Option<(&'static str, &'static str)>;

/// Nobody who asks it takes longer to say what he wants.
const HEAD_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) struct StandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    ended: bool,
    heard: Vec<String>,
}

impl StandIn {
    pub(crate) fn start(answers: Answers) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("it listens");
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.lock().ended {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(client, answers, &shared));
            }
        });
        StandIn { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The paths that it was asked for so far, with their queries, each once, sorted.
    pub(crate) fn heard(&self) -> Vec<String> {
        let mut heard = self.state.lock().heard.clone();
        heard.sort();
        heard.dedup();
        heard
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.state.lock().ended = true;
        let _ = TcpStream::connect(self.address);
    }
}

/// One request for each connection.
fn serve(client: TcpStream, answers: Answers, state: &Mutex<State>) -> Option<()> {
    client.set_read_timeout(Some(HEAD_TIME_MAX)).ok()?;
    let mut lines = BufReader::new(&client).lines();
    let first = lines.next()?.ok()?;
    lines.map_while(Result::ok).find(String::is_empty)?;
    let path = first.split(' ').nth(1)?;
    state.lock().heard.push(path.to_owned());
    let (status, (content_type, body)) = match answers(path) {
        Some(answer) => ("200 OK", answer),
        None => ("404 Not Found", ("text/plain", "not found\n")),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n");
    (&client).write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).ok()
}
