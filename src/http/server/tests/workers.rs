//! Where handlers run: in the thread of the connection, in turn, or by a worker at the other end of a private connection.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use std::os::linux::net::SocketAddrExt;

use super::*;

#[test]
fn requests_beyond_the_queue_are_sent_away() {
    let (go, gate) = mpsc::sync_channel::<()>(100);
    let gate = Mutex::new(gate);
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
        client.write_all(get("/store").as_bytes()).unwrap();
        let waiting =
            || server.metric("inventor_http_requests_in_flight") - server.metric("inventor_http_queue_length");
        wait_until(|| i >= 3 || waiting() == 1.0 && server.metric("inventor_http_queue_length") == i as f64);
    }
    for mut client in &clients[3..] {
        let (head, _) = read_response(&mut client);
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && head.contains("Retry-After: 2\r\n"),
            "{head}"
        );
    }
    (0..3).for_each(|_| go.send(()).unwrap());
    for mut client in &clients[..3] {
        assert_eq!(read_response(&mut client).1, b"ok");
    }
}

#[test]
fn questions_are_answered_so_many_at_a_time_and_make_nobody_else_wait() {
    let (entered, in_handler) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let limits = Limits { questions: 2, question_wait: SECOND, ..Limits::default() };
    let server = Fixture::with(
        |settings| (settings.workers, settings.limits) = (1, limits),
        move |request| {
            if request.path == "/question" {
                entered.send(()).unwrap();
                released.lock().recv().unwrap();
            }
            text("ok")
        },
    );
    let mut asking: Vec<_> = (0..2).map(|_| server.connect()).collect();
    asking.iter_mut().for_each(|client| client.write_all(get("/question").as_bytes()).unwrap());
    (0..2).for_each(|_| in_handler.recv().unwrap());
    let refused = server.exchange(last_get("/question"));
    assert!(
        refused.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && refused.contains("Retry-After: "),
        "{refused}"
    );
    for path in ["/", "/store"] {
        assert!(server.exchange(last_get(path)).ends_with("ok"));
    }
    let mut next = server.connect();
    next.write_all(get("/question").as_bytes()).unwrap();
    (0..3).for_each(|_| release.send(()).unwrap());
    for client in asking.iter_mut().chain([&mut next]) {
        assert_eq!(read_response(client).1, b"ok");
    }
    assert_eq!(in_handler.try_iter().count(), 1, "it was refused without a handler");
}

#[test]
fn a_handler_that_takes_too_long_is_not_waited_for() {
    let (go, gate) = mpsc::sync_channel::<()>(100);
    let gate = Mutex::new(gate);
    let handled = Arc::new(AtomicUsize::new(0));
    let limits = Limits { answer: Duration::from_millis(500), ..Limits::default() };
    let counted = Arc::clone(&handled);
    let server = Fixture::with(
        |settings| (settings.workers, settings.limits) = (1, limits),
        move |request| {
            if request.path == "/store/slow" {
                gate.lock().recv().unwrap();
            }
            counted.fetch_add(1, Ordering::SeqCst);
            text("ok")
        },
    );
    for path in ["/store/slow", "/store/abandoned"] {
        assert!(server.exchange(last_get(path)).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    }
    go.send(()).unwrap();
    wait_until(|| server.exchange(last_get("/store")).starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(handled.load(Ordering::SeqCst), 2, "what nobody waits for is not handled");
}

#[test]
fn an_answer_that_comes_too_late_is_not_sent() {
    let (ended, handled) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let limits = Limits { answer: SECOND, ..Limits::default() };
    let server = Fixture::with(
        |settings| settings.limits = limits,
        move |request| {
            if request.path == "/store/slow" {
                gate.lock().recv().unwrap();
                ended.send(()).unwrap();
            }
            text(request.path.as_str())
        },
    );
    let mut client = server.connect();
    for _ in 0..3 {
        client.write_all(get("/store/slow").as_bytes()).unwrap();
        assert!(read_response(&mut client).0.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        go.send(()).unwrap();
        handled.recv().unwrap();
        client.write_all(get("/store/next").as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).1, b"/store/next");
    }
}

#[test]
fn answers_of_any_size_come_one_after_the_other() {
    let server = Fixture::with(|settings| settings.workers = 1, |request| text(request.body.clone()));
    let mut client = server.connect();
    for size in [0, 1, 3000, 3900, 4096, 60_000, 5, 0, 8192, 1] {
        let put = format!("PUT /store HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size));
        client.write_all(put.as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).1.len(), size);
    }
}

#[test]
fn a_private_connection_that_fails_is_replaced_and_its_worker_with_it() {
    let (entered, in_handler) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let server = Fixture::start(move |request| {
        if request.path == "/store/held" {
            entered.send(()).unwrap();
            gate.lock().recv().unwrap();
        }
        text(request.body.clone())
    });
    let size = 3000;
    let put = format!(
        "PUT /store HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{}",
        "x".repeat(size)
    );
    for _ in 0..3 {
        // One fails while idle; another with a request under way.
        let upstream = server.upstream();
        let line = upstream.take(Instant::now() + SECOND).unwrap();
        line.stream().shutdown(std::net::Shutdown::Both).unwrap();
        let others: Vec<_> = (1..4).map(|_| upstream.take(Instant::now() + SECOND).unwrap()).collect();
        upstream.put(line);
        let lost = server.exchange(&put);
        assert!(lost.starts_with("HTTP/1.1 503 ") && lost.contains("lost this request"), "{lost}");
        let mut held = server.connect();
        held.write_all(get("/store/held").as_bytes()).unwrap();
        in_handler.recv().unwrap();
        go.send(()).unwrap();
        assert!(read_response(&mut held).0.starts_with("HTTP/1.1 200 OK\r\n"), "the new one works");
        others.into_iter().for_each(|line| upstream.put(line));
    }
    // As many are handled at a time as there are workers, no more and no fewer.
    let clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    clients.iter().for_each(|mut client| client.write_all(last_get("/store/held").as_bytes()).unwrap());
    (0..4).for_each(|_| in_handler.recv().unwrap());
    wait_until(|| server.metric("inventor_http_queue_length") == 1.0);
    assert!(in_handler.try_recv().is_err());
    (0..5).for_each(|_| go.send(()).unwrap());
    assert!(server.exchange(&put).ends_with(&"x".repeat(size)));
}

#[test]
fn a_request_that_is_cut_off_on_its_way_to_a_worker_is_not_handled() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let server = Fixture::with(
        |settings| settings.workers = 1,
        move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            text("ok")
        },
    );
    let upstream = server.upstream();
    let line = upstream.take(Instant::now() + SECOND).unwrap();
    line.stream().write_all(b"PUT /store HTTP/1.1\r\nContent-Length: 2000\r\n\r\npart").unwrap();
    line.stream().shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    line.stream().read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 500 "), "{}", String::from_utf8_lossy(&answer));
    upstream.put(line);
    assert!(server.exchange(last_get("/store")).starts_with("HTTP/1.1 503 "));
    assert!(server.exchange(last_get("/store")).ends_with("ok"));
    assert_eq!(handled.load(Ordering::SeqCst), 1);
}

#[test]
fn nobody_else_can_connect_to_the_workers() {
    let server = Fixture::start(|_| text("ok"));
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let names: Vec<&str> = sockets.lines().filter_map(|line| line.split_once(" @")).map(|(_, name)| name).collect();
    let ours: Vec<&str> = names.into_iter().filter(|name| name.starts_with("inventor-")).collect();
    assert!(ours.len() >= 4, "the system shows the sockets of the workers");
    for name in ours {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let refused = std::os::unix::net::UnixStream::connect_addr(&address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{name}");
    }
    assert!(server.exchange(last_get("/store")).ends_with("ok"));
}
