//! `--wait-for`: the first registration waits for the exporter, and nothing after it does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::agent::{agent, file_sd, lists};
use super::{Cli, listed};
use crate::eventually::{SOON, eventually};
use crate::server::Server;

/// A port that nobody listens on until an exporter does.
fn reserve() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// An exporter that answers every request with this status until it is dropped, and notes what it was sent.
struct Exporter {
    ended: Arc<AtomicBool>,
    address: SocketAddr,
    thread: Option<thread::JoinHandle<String>>,
}

impl Exporter {
    fn on(socket: socket2::Socket, status: &'static str) -> Exporter {
        socket.listen(16).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut heard = String::new();
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or_default();
                heard += &String::from_utf8_lossy(&request[..read]);
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
            heard
        });
        Exporter { ended, address, thread: Some(thread) }
    }

    /// Ends it, and returns what it was sent.
    fn end(mut self) -> String {
        self.ended.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn the_first_registration_waits_for_the_exporter_and_a_dead_one_stays_registered() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let (port, address) = reserve();
    let target = address.to_string();
    cli.write("d/a.json", file_sd(&target));
    let mut first = agent(&cli, &["--wait-for", "http://{target}/metrics"]);
    first.line_with(&["waiting for the exporter", &target]);
    assert!(listed(&server).is_empty());
    let exporter = Exporter::on(port, "401 Unauthorized");
    lists(&server, &[&target]);
    let heard = exporter.end();
    assert!(heard.starts_with("GET /metrics HTTP/1.1\r\n"), "{heard}");
    assert!(!heard.contains("secret"), "the token is not for exporters: {heard}");
    // Dead for longer than a registration lives: still there. And so it is for the next agent, after an upgrade.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(listed(&server), [target.as_str()]);
    drop(first);
    let mut second = agent(&cli, &["--wait-for", "http://{target}/metrics"]);
    second.line_with(&["msg=registered", &target]);
    assert!(!second.stderr().iter().any(|line| line.contains("waiting for")), "{:?}", second.stderr());
}

#[test]
fn an_exporter_that_fails_does_not_answer() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let (port, address) = reserve();
    let exporter = Exporter::on(port, "503 Service Unavailable");
    cli.write("d/a.json", file_sd("a:1"));
    let mut agent = agent(&cli, &["--wait-for", &format!("http://{address}/")]);
    agent.line_with(&["waiting for the exporter"]);
    eventually(SOON, || exporter.thread.as_ref().is_some_and(|thread| !thread.is_finished()));
    thread::sleep(Duration::from_secs(2));
    assert!(listed(&server).is_empty());
    assert!(exporter.end().matches("GET / ").count() >= 2, "it is asked again");
}

#[test]
fn an_agent_that_waits_for_many_renews_the_others() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let (port, address) = reserve();
    let alive = address.to_string();
    let exporter = Exporter::on(port, "200 OK");
    cli.write("d/alive.json", file_sd(&alive));
    // Nobody is there, and nothing says so: each question takes as long as it may.
    let silent = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for number in 1..20 {
        cli.write(&format!("d/{number}.json"), file_sd(&format!("127.0.0.{number}:{port}")));
    }
    let _agent = cli.start(&["agent", "--dir", "d", "--wait-for", "http://{target}/", "--ttl", "9s"]);
    let one_of_them = |list: Vec<String>| list.contains(&alive);
    eventually(Duration::from_secs(60), || one_of_them(listed(&server)));
    for _ in 0..12 {
        thread::sleep(Duration::from_secs(1));
        assert!(one_of_them(listed(&server)), "it has expired");
    }
    drop(exporter.end());
}
