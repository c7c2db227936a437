//! The server over real sockets with handlers that a test chooses.

mod listening;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use parking_lot::Mutex;

use super::*;
use crate::http::Body;

const SECOND: Duration = Duration::from_secs(1);

struct Fixture {
    running: Option<Running>,
    address: String,
    metrics: Registry,
}

impl Fixture {
    fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Fixture {
        Fixture::with(|_| {}, handler)
    }

    fn with(
        change: impl FnOnce(&mut Settings),
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Fixture {
        let listen = vec![Listen::Tcp { addr: Some(Ipv4Addr::LOCALHOST.into()), port: 0 }];
        let mut settings = Settings {
            listen,
            workers: 4,
            may_wait: |request| request.path == "/patient",
            connections_max: 100,
            limits: Limits::default(),
        };
        change(&mut settings);
        let metrics = Registry::new();
        let server = Server::bind(settings, &metrics).unwrap();
        let address = server.addresses().remove(0);
        Fixture { running: Some(server.serve(Arc::new(handler)).unwrap()), address, metrics }
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

    fn workers(&self) -> &Workers {
        &self.running.as_ref().unwrap().workers
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
    Response { status: 200, content_type: "text/plain", headers: Vec::new(), body: Body::from(body.into()) }
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

#[test]
fn a_request_arrives_as_it_was_meant() {
    let (seen, requests) = mpsc::sync_channel(1);
    let server = Fixture::start(move |request| {
        seen.send(request.clone()).unwrap();
        text("ok")
    });
    let mut sent =
        "put http://h/group?name=zürich&x=%41 HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n".as_bytes().to_vec();
    sent.extend_from_slice(
        b"X-Api-Token: \t s\xfc%41\xc3\xbc \r\nx-inventor-ticket: mine\r\nConnection: close\r\n\r\n",
    );
    sent.extend_from_slice(&[b'b'; 2000]);
    assert!(server.exchange(sent).starts_with("HTTP/1.1 200 OK\r\n"));
    let got = requests.recv().unwrap();
    assert_eq!(got.method, "PUT");
    assert_eq!(got.path, "/group");
    assert_eq!(got.query, "name=z%C3%BCrich&x=%41");
    assert_eq!(got.header("x-api-token"), Some(&b"s\xfc%41\xc3\xbc"[..]));
    assert_eq!(got.header("x-inventor-ticket"), Some(&b"mine"[..]));
    assert_eq!(got.header("connection"), None);
    assert_eq!(got.body, [b'b'; 2000]);
    assert!(got.client.starts_with("127.0.0.1:"), "{}", got.client);
    let names: Vec<&str> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "x-api-token", "x-inventor-ticket", "content-length"]);
}

#[test]
fn a_response_carries_what_the_handler_gave_and_what_the_server_adds() {
    let server = Fixture::start(|_| Response {
        status: 405,
        content_type: "text/plain; charset=utf-8",
        headers: vec![("Allow", "GET, HEAD".to_owned()), ("X-Line", "a\r\nSet-Cookie: b".to_owned())],
        body: Body::new(vec![b"METHOD "[..].into(), b""[..].into(), b"NOT ALLOWED"[..].into()].into()),
    });
    let response = server.exchange(last_get("/"));
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "METHOD NOT ALLOWED");
    let mut lines: Vec<&str> = head.lines().collect();
    let date = lines.remove(1);
    assert!(date.starts_with("Date: ") && date.ends_with(" GMT") && date.len() == 35, "{date}");
    assert_eq!(
        lines,
        [
            "HTTP/1.1 405 Method Not Allowed",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Length: 18",
            "Allow: GET, HEAD",
            "X-Line: aSet-Cookie: b",
            "Connection: close"
        ]
    );
}

#[test]
fn head_has_the_head_of_get_and_no_body() {
    let server = Fixture::start(|_| text("body"));
    let response = server.exchange(format!("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{}", last_get("/")));
    let (first, second) = response.split_once("\r\n\r\n").unwrap();
    assert!(first.contains("Content-Length: 4"));
    assert!(second.starts_with("HTTP/1.1 200 OK\r\n") && second.ends_with("\r\n\r\nbody"), "{second}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Fixture::start(|request| text(request.path.as_str()));
    let all: String = (0..50).map(|i| get(&format!("/{i}"))).collect();
    let mut client = server.connect();
    client.write_all(all.as_bytes()).unwrap();
    for i in 0..50 {
        assert_eq!(read_response(&mut client).1, format!("/{i}").as_bytes());
    }
}

#[test]
fn http_1_0_is_answered_and_closed_or_told_that_it_is_kept() {
    let server = Fixture::start(|_| text("ok"));
    assert!(server.exchange("GET / HTTP/1.0\r\n\r\n").contains("Connection: close\r\n"));
    let mut client = server.connect();
    for _ in 0..2 {
        client.write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        assert!(read_response(&mut client).0.contains("Connection: keep-alive\r\n"));
    }
}

#[test]
fn a_client_that_asks_may_send_its_body() {
    let server = Fixture::start(|request| text(request.body.clone()));
    let mut client = server.connect();
    client.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).0, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").unwrap();
    assert_eq!(read_response(&mut client).1, b"abc");
}

#[test]
fn a_large_body_arrives_whole_and_in_order() {
    let parts: Vec<Arc<[u8]>> = (0..3000u32).map(|i| vec![i as u8; 7000].into()).collect();
    let body = Body::new(parts.clone().into());
    let server = Fixture::start(move |_| Response { body: body.clone(), ..text("") });
    let mut client = server.connect();
    for _ in 0..2 {
        client.write_all(get("/").as_bytes()).unwrap();
        assert!(read_response(&mut client).1 == parts.concat());
    }
}

#[test]
fn a_refused_request_gets_its_answer_although_more_was_sent() {
    let server = Fixture::start(|_| text("never"));
    let response = server.exchange(format!("GET /{} HTTP/1.1\r\n", "x".repeat(1_000_000)));
    assert!(response.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{response}");
    assert!(response.contains("Connection: close\r\n"));
    assert_eq!(server.metric("inventor_http_bad_requests_total"), 1.0);
}

#[test]
fn a_panic_costs_one_request() {
    let server = Fixture::start(|request| if request.path == "/panic" { panic!("on purpose") } else { text("ok") });
    let mut client = server.connect();
    for _ in 0..20 {
        client.write_all(get("/panic").as_bytes()).unwrap();
        assert!(read_response(&mut client).0.starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
        client.write_all(get("/").as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).1, b"ok");
    }
    assert_eq!(server.metric("inventor_http_handler_panics_total"), 20.0);
}

#[test]
fn slow_requests_are_told_so_and_silent_ones_are_closed() {
    let short = Duration::from_millis(100);
    let limits = Limits { idle: short, head: short, body: short, ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, |_| text("ok"));
    assert_eq!(server.exchange(""), "");
    let timed_out = "HTTP/1.1 408 Request Timeout\r\n";
    assert!(server.exchange("GET / HTTP/1.1\r\nHost:").starts_with(timed_out));
    assert!(server.exchange("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc").starts_with(timed_out));
}

#[test]
fn a_client_that_drips_is_held_to_the_total() {
    let limits = Limits { head: Duration::from_millis(300), ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, |_| text("ok"));
    let mut client = server.connect();
    let begun = Instant::now();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut byte = [0];
    while client.write_all(b"G").is_ok() && client.read(&mut byte).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        assert!(begun.elapsed() < 5 * SECOND, "it may drip for ever");
    }
    assert!(begun.elapsed() >= Duration::from_millis(250), "it was closed early");
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let limits =
        Limits { response: Duration::from_millis(200), response_bytes_per_second: usize::MAX, ..Limits::default() };
    let part: Arc<[u8]> = vec![0; 1 << 20].into();
    let body = Body::new(vec![part; 100].into());
    let server =
        Fixture::with(|settings| settings.limits = limits, move |_| Response { body: body.clone(), ..text("") });
    let mut client = server.connect();
    client.write_all(get("/").as_bytes()).unwrap();
    wait_until(|| server.metric("inventor_http_connections") == 0.0);
    assert_eq!(server.metric("inventor_http_sent_bytes_total"), 0.0);
}

#[test]
fn who_waits_longest_makes_room() {
    let server = Fixture::with(|settings| settings.connections_max = CONNECTIONS_MIN, |_| text("ok"));
    let silent: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    assert!(server.exchange(last_get("/")).starts_with("HTTP/1.1 200 OK\r\n"));
    let closed = |mut client: &TcpStream| {
        client.set_nonblocking(true).unwrap();
        client.read(&mut [0]).is_ok()
    };
    wait_until(|| silent[..85].iter().all(closed));
    assert!(!silent[85..].iter().any(closed), "more than needed had to go");
    assert_eq!(server.metric("inventor_http_connections_evicted_total"), 85.0);
}

#[test]
fn requests_beyond_the_queue_are_sent_away() {
    let (go, gate) = mpsc::sync_channel::<()>(100);
    let gate = parking_lot::Mutex::new(gate);
    let limits = Limits { queue: 2, ..Limits::default() };
    let server = Fixture::with(
        |settings| (settings.workers, settings.limits) = (1, limits),
        move |_| {
            gate.lock().recv().unwrap();
            text("ok")
        },
    );
    let clients: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    for (i, mut client) in clients.iter().enumerate() {
        client.write_all(get("/").as_bytes()).unwrap();
        let waiting =
            || server.metric("inventor_http_requests_in_flight") - server.metric("inventor_http_queue_length");
        wait_until(|| i >= 3 || waiting() == 1.0 && server.metric("inventor_http_queue_length") == i as f64);
    }
    for mut client in &clients[3..] {
        let (head, _) = read_response(&mut client);
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && head.contains("Retry-After: 1\r\n"),
            "{head}"
        );
    }
    (0..3).for_each(|_| go.send(()).unwrap());
    for mut client in &clients[..3] {
        assert_eq!(read_response(&mut client).1, b"ok");
    }
}

#[test]
fn requests_that_wait_leave_workers_for_others_and_keep_their_order() {
    let (entered, in_handler) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let two_workers = |settings: &mut Settings| settings.workers = 2;
    let server = Fixture::with(two_workers, move |request| {
        if request.path == "/patient" {
            entered.send(request.query.clone()).unwrap();
            released.lock().recv().unwrap();
        }
        text("ok")
    });
    let mut patient: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for (at, client) in patient.iter_mut().enumerate() {
        client.write_all(get(&format!("/patient?{at}")).as_bytes()).unwrap();
        // One of the workers waits for the first; the others are set aside, one after the other.
        wait_until(|| server.workers().shared.set_aside() == at);
        if at == 0 {
            assert_eq!(in_handler.recv().unwrap(), "0");
        }
    }
    assert!(server.exchange(last_get("/")).ends_with("ok"));
    patient.iter().for_each(|_| release.send(()).unwrap());
    for client in &mut patient {
        assert_eq!(read_response(client).1, b"ok");
    }
    assert_eq!(in_handler.try_iter().collect::<Vec<_>>(), ["1", "2", "3", "4", "5", "6", "7"]);
}

#[test]
fn a_handler_that_takes_too_long_is_not_waited_for() {
    let (go, gate) = mpsc::sync_channel::<()>(100);
    let gate = parking_lot::Mutex::new(gate);
    let handled = Arc::new(AtomicUsize::new(0));
    let limits = Limits { answer: Duration::from_millis(100), ..Limits::default() };
    let counted = Arc::clone(&handled);
    let server = Fixture::with(
        |settings| (settings.workers, settings.limits) = (1, limits),
        move |request| {
            if request.path == "/slow" {
                gate.lock().recv().unwrap();
            }
            counted.fetch_add(1, Ordering::SeqCst);
            text("ok")
        },
    );
    for path in ["/slow", "/abandoned"] {
        assert!(server.exchange(last_get(path)).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    }
    go.send(()).unwrap();
    wait_until(|| server.exchange(last_get("/")).starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(handled.load(Ordering::SeqCst), 2, "what nobody waits for is not handled");
}

#[test]
fn broken_private_connections_are_replaced() {
    let server = Fixture::start(|request| text(request.body.clone()));
    let put =
        format!("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n{}", "x".repeat(3000));
    for _ in 0..3 {
        server.workers().engine.read().links.iter().for_each(|link| link.lock().shutdown(Shutdown::Both).unwrap());
        wait_until(|| server.exchange(&put).ends_with(&"x".repeat(3000)));
    }
    wait_until(|| *server.workers().shared.running.lock() == 4);
}

#[test]
fn a_drain_answers_what_is_under_way_and_ends_all_threads() {
    let (entered, in_handler) = mpsc::sync_channel(1);
    let mut server = Fixture::start(move |request| {
        if request.path == "/slow" {
            entered.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        text("ok")
    });
    let (mut idle, mut fresh, mut busy, mut late) =
        (server.connect(), server.connect(), server.connect(), server.connect());
    idle.write_all(get("/").as_bytes()).unwrap();
    read_response(&mut idle);
    busy.write_all(get("/slow").as_bytes()).unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    in_handler.recv().unwrap();
    let sent = (get("/").len() + get("/slow").len() + "GET / HTTP/1.1\r\nHo".len()) as f64;
    wait_until(|| server.metric("inventor_http_received_bytes_total") == sent);
    wait_until(|| server.metric("inventor_http_connections_accepted_total") == 4.0);

    let running = server.running.take().unwrap();
    let (workers, begun) = (Arc::clone(&running.workers), Instant::now());
    let draining = std::thread::spawn(move || running.drain(10 * SECOND));
    let mut end = Vec::new();
    assert_eq!(idle.read_to_end(&mut end).unwrap() + fresh.read_to_end(&mut end).unwrap(), 0);
    wait_until(|| TcpStream::connect(&server.address).is_err());
    late.write_all(b"st: a\r\n\r\n").unwrap();
    for client in [&mut busy, &mut late] {
        let (head, body) = read_response(client);
        assert!(head.contains("Connection: close\r\n") && body == b"ok", "{head}");
        client.shutdown(Shutdown::Both).unwrap();
    }
    draining.join().unwrap();
    assert!(begun.elapsed() < 5 * SECOND);
    assert_eq!((*workers.shared.running.lock(), server.metric("inventor_http_connections")), (0, 0.0));
}

#[test]
fn a_drain_has_an_end() {
    let (entered, in_handler) = mpsc::sync_channel(1);
    let mut server = Fixture::start(move |_| {
        entered.send(()).unwrap();
        std::thread::sleep(3 * SECOND);
        text("late")
    });
    let mut client = server.connect();
    client.write_all(get("/").as_bytes()).unwrap();
    in_handler.recv().unwrap();
    let begun = Instant::now();
    server.running.take().unwrap().drain(Duration::from_millis(200));
    assert!(begun.elapsed() < 2 * SECOND);
}

#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < 10 * SECOND, "it never came true");
        std::thread::sleep(Duration::from_millis(2));
    }
}
