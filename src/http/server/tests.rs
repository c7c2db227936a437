//! The server over real sockets with handlers that a test chooses.

mod draining;
mod held;
mod large_bodies;
mod listening;
mod messages;
mod slow_clients;
mod tls;
mod workers;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;
use crate::http::gate::{Found, Runs};
use crate::http::request::Request;
use crate::http::response::{Body, Errors, Response};

const SECOND: Duration = Duration::from_secs(1);

/// A handler that decides by path how each request runs.
struct ByPath<F>(F);

impl<F: Fn(&Request) -> Response + Send + Sync + 'static> Handler for ByPath<F> {
    type Route = ();

    fn find(&self, head: &Request) -> Found<()> {
        let runs = match head.path.as_str() {
            path if path.starts_with("/store") => Runs::ByWorker,
            path if path.ends_with("/question") => Runs::InTurn,
            _ => Runs::AtOnce,
        };
        let errors = if head.path.starts_with("/api/") { Errors::Problem } else { Errors::Text };
        Found {
            runs,
            errors,
            takes_large_bodies: head.path == "/store/large",
            is_probe: head.path == "/probe",
            route: (),
        }
    }

    fn admit(&self, (): (), head: &Request) -> Result<(), Response> {
        let is_known = head.path != "/store/large" || head.header("x-api-token") == Some(b"\xfc%");
        if is_known { Ok(()) } else { Err(Response { status: 401, ..text("who are you?") }) }
    }

    fn handle(&self, (): (), request: &Request) -> Response {
        (self.0)(request)
    }
}

type AnyHandler = ByPath<Box<dyn Fn(&Request) -> Response + Send + Sync>>;

struct Fixture {
    running: Option<Running<AnyHandler>>,
    address: String,
    metrics: Registry,
}

impl Fixture {
    fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Fixture {
        Fixture::with(|_| {}, handler)
    }

    fn with(
        change: impl FnOnce(&mut ServerSettings),
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Fixture {
        let listen = vec![Listen::Tcp { addr: Some(Ipv4Addr::LOCALHOST.into()), port: 0 }];
        let mut settings = ServerSettings {
            listen,
            workers: 4,
            connections_max: 100,
            proxies: TrustedProxies::default(),
            limits: Limits::default(),
            tls: None,
        };
        change(&mut settings);
        let metrics = Registry::new();
        let server = Server::bind(settings, &metrics).unwrap();
        let address = server.endpoints().remove(0).to_string();
        Fixture { running: Some(server.serve(Arc::new(ByPath(Box::new(handler) as _))).unwrap()), address, metrics }
    }

    fn upstream(&self) -> &Upstream {
        self.running.as_ref().unwrap().upstream()
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(&self.address).unwrap();
        client.set_read_timeout(Some(10 * SECOND)).unwrap();
        client
    }

    /// Everything that comes back for these bytes until the server closes.
    fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.write_all(request.as_ref()).unwrap();
        let mut response = Vec::new();
        client.read_to_end(&mut response).unwrap();
        String::from_utf8(response).unwrap()
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.metrics.gather();
        let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        metrics.map(|metric| metric.get_gauge().get_value() + metric.get_counter().get_value()).sum()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.drain(SECOND);
        }
    }
}

fn text(body: impl Into<Vec<u8>>) -> Response {
    Response {
        status: 200,
        content_type: "text/plain".into(),
        headers: Vec::new(),
        body: Body::from(body.into()),
        turn: None,
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn last_get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// Reads one response with a body of known length.
fn read_response(client: &mut impl Read) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    client.read_exact(&mut body).unwrap();
    (head, body)
}

/// Requests 20 MiB and reads them slowly, but never long without progress. Returns the bytes after them.
fn read_steadily(client: &mut (impl Read + Write)) -> Vec<u8> {
    client.write_all(last_get("/").as_bytes()).unwrap();
    let mut taken = vec![0; 1 << 20];
    for _ in 0..20 {
        client.read_exact(&mut taken).unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    let mut end = Vec::new();
    client.read_to_end(&mut end).unwrap();
    end
}

#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < 10 * SECOND, "it never came true");
        std::thread::sleep(Duration::from_millis(2));
    }
}
