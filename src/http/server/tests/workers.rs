//! Where handlers run: in the thread of the connection, in turn, or by the worker pool with its queue and its private
//! connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

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
    let limits = Limits { questions: 2, question_wait: Duration::from_millis(500), ..Limits::default() };
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
    let limits = Limits { answer: Duration::from_millis(100), ..Limits::default() };
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
    let limits = Limits { answer: Duration::from_millis(100), ..Limits::default() };
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
fn who_waits_in_a_broken_engine_is_told_at_once() {
    let (entered, in_handler) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let limits = Limits { answer: 60 * SECOND, ..Limits::default() };
    let server = Fixture::with(
        |settings| (settings.workers, settings.limits) = (1, limits),
        move |request| {
            if request.path == "/store/held" {
                entered.send(()).unwrap();
                gate.lock().recv().unwrap();
            }
            text("ok")
        },
    );
    let (mut held, mut waiting) = (server.connect(), server.connect());
    held.write_all(get("/store/held").as_bytes()).unwrap();
    in_handler.recv().unwrap();
    waiting.write_all(get("/store").as_bytes()).unwrap();
    wait_until(|| server.metric("inventor_http_queue_length") == 1.0);
    let workers = &server.running.as_ref().unwrap().workers;
    let broken = Arc::clone(&workers.engine.read());
    workers.replace(&broken);
    assert!(read_response(&mut waiting).0.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    go.send(()).unwrap();
    assert_eq!(read_response(&mut held).1, b"ok");
}

#[test]
fn broken_private_connections_are_replaced() {
    let (entered, in_handler) = mpsc::channel();
    let (go, gate) = mpsc::sync_channel::<()>(100);
    let gate = Mutex::new(gate);
    let limits = Limits { answer: Duration::from_millis(300), ..Limits::default() };
    let server = Fixture::with(
        |settings| settings.limits = limits,
        move |request| {
            if request.path == "/store/held" {
                entered.send(()).unwrap();
                gate.lock().recv().unwrap();
            }
            text(request.body.clone())
        },
    );
    let put = format!(
        "PUT /store HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n{}",
        "x".repeat(3000)
    );
    for _ in 0..3 {
        let engine = Arc::clone(&server.running.as_ref().unwrap().workers.engine.read());
        // tiny_http closes a connection on which it finds this.
        engine.write(b"this is not an HTTP request\r\n\r\n", Instant::now() + SECOND).unwrap();
        assert!(server.exchange(&put).starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "nothing was broken");
        wait_until(|| server.exchange(&put).ends_with(&"x".repeat(3000)));
    }
    let clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    clients.iter().for_each(|mut client| client.write_all(last_get("/store/held").as_bytes()).unwrap());
    // As many are handled as there are workers, no more.
    (0..4).for_each(|_| in_handler.recv().unwrap());
    wait_until(|| server.metric("inventor_http_queue_length") == 1.0);
    assert!(in_handler.try_recv().is_err());
    (0..5).for_each(|_| go.send(()).unwrap());
}
