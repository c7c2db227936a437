//! Bodies above the limit of ordinary requests: who may send them, how many at a time, for how long.

use super::*;
use crate::http::gate::limits::{BODY_BYTES_MAX, LARGE_BODIES_MAX, LARGE_BODY_BYTES_MAX};

/// Answers with the number of received bytes.
fn measuring() -> Fixture {
    let limits = Limits { large_body: 5 * SECOND, ..Limits::default() };
    Fixture::with(|settings| settings.limits = limits, measure)
}

fn measure(request: &Request) -> Response {
    text(format!("{} {}", request.body.len(), request.body.iter().all(|byte| *byte == b'x')))
}

/// The head of a request with the right to a large body.
fn head(framing: &str) -> Vec<u8> {
    let mut head = b"PUT /store/large?x=1 HTTP/1.1\r\nHost: a\r\nx-api-token: \xfc%\r\n".to_vec();
    head.extend_from_slice(format!("{framing}\r\n\r\n").as_bytes());
    head
}

fn with_length(size: usize) -> Vec<u8> {
    let mut request = head(&format!("Connection: close\r\nContent-Length: {size}"));
    request.resize(request.len() + size, b'x');
    request
}

fn in_chunks(size: usize) -> Vec<u8> {
    let mut request = head("Connection: close\r\nTransfer-Encoding: chunked");
    for part in vec![b'x'; size].chunks(50_000) {
        request.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        request.extend_from_slice(part);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

#[test]
fn a_large_body_is_taken_by_right() {
    let server = measuring();
    for size in [BODY_BYTES_MAX, BODY_BYTES_MAX + 1, LARGE_BODY_BYTES_MAX] {
        for request in [with_length(size), in_chunks(size)] {
            let answer = server.exchange(request);
            assert!(answer.ends_with(&format!("\r\n\r\n{size} true")), "{size}: {answer}");
        }
    }
    for request in [with_length(LARGE_BODY_BYTES_MAX + 1), in_chunks(LARGE_BODY_BYTES_MAX + 1)] {
        assert!(server.exchange(request).starts_with("HTTP/1.1 413 Content Too Large\r\n"));
    }
}

#[test]
fn without_the_right_it_is_refused_before_it_is_read() {
    let server = measuring();
    let chunk = format!("ffff\r\n{}\r\n2\r\n", "x".repeat(0xffff));
    for (path, status) in [("/", "413 Content Too Large"), ("/store/large", "401 Unauthorized")] {
        for framing in ["Content-Length: 65537\r\n\r\n", "Content-Length: 99999999999\r\n\r\n"] {
            let answer =
                server.exchange(format!("PUT {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        }
        let answer =
            server.exchange(format!("PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }
}

#[test]
fn a_client_that_asks_may_send_its_large_body() {
    let server = measuring();
    let mut client = server.connect();
    client.write_all(&head("Expect: 100-continue\r\nContent-Length: 70000")).unwrap();
    assert_eq!(read_response(&mut client).0, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(&[b'x'; 70_000]).unwrap();
    assert_eq!(read_response(&mut client).1, b"70000 true");
}

#[test]
fn only_so_many_are_handled_at_a_time_and_the_others_wait() {
    let (entered, in_handler) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = parking_lot::Mutex::new(released);
    let limits = Limits { answer: SECOND, ..Limits::default() };
    let server = Fixture::with(
        |settings| settings.limits = limits,
        move |request| {
            entered.send(()).unwrap();
            released.lock().recv().unwrap();
            measure(request)
        },
    );
    // They are handled for so long that their clients have been sent away, but they still count.
    for _ in 0..LARGE_BODIES_MAX {
        assert!(server.exchange(with_length(70_000)).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        in_handler.recv().unwrap();
    }
    let answer = server.exchange(with_length(70_000));
    assert!(answer.contains("Retry-After: ") && answer.ends_with("other large bodies are being handled\n"), "{answer}");
    assert!(in_handler.try_recv().is_err());
    (0..LARGE_BODIES_MAX + 1).for_each(|_| release.send(()).unwrap());
    wait_until(|| server.exchange(with_length(70_000)).ends_with("70000 true") || release.send(()).is_err());
    wait_until(|| server.metric("inventor_http_held_bytes") == 0.0);
}

#[test]
fn slow_ones_keep_nobody_from_declaring() {
    let limits = Limits { held_bytes: 16 << 20, large_body: 60 * SECOND, ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, measure);
    let slow = |sent: usize| {
        let mut client = server.connect();
        client.write_all(&head("Content-Length: 8000000")).unwrap();
        // It may have to make room before it has sent all that.
        let _ = client.write_all(&vec![b'x'; sent]);
        client
    };
    // Some have sent next to nothing, and others all that they could and then no more.
    let waiting: Vec<TcpStream> = (0..20).map(|_| slow(0)).collect();
    let full: Vec<TcpStream> = (0..20).map(|_| slow(2_000_000)).collect();
    for size in [70_000, 3 << 20, LARGE_BODY_BYTES_MAX - (1 << 20)] {
        let answer = server.exchange(with_length(size));
        assert!(answer.ends_with(&format!("{size} true")), "{answer}");
        assert!(server.metric("inventor_http_held_bytes") <= (16 << 20) as f64);
    }
    drop((waiting, full));
}

#[test]
fn a_body_that_drips_makes_room_although_it_goes_on() {
    let limits = Limits { held_bytes: 10_000_000, large_body: 60 * SECOND, ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, measure);
    let mut dripping = server.connect();
    dripping.write_all(&head("Content-Length: 8000000")).unwrap();
    wait_until(|| server.metric("inventor_http_held_bytes") == 8_000_000.0);
    std::thread::scope(|scope| {
        let drips = scope.spawn(move || {
            while dripping.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let answer = server.exchange(with_length(3 << 20));
        assert!(answer.ends_with(&format!("{} true", 3 << 20)), "{answer}");
        drips.join().unwrap();
    });
}

#[test]
fn a_large_body_has_its_own_time() {
    let limits =
        Limits { body: Duration::from_millis(200), large_body: Duration::from_millis(600), ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, measure);
    let mut client = server.connect();
    client.write_all(&head("Content-Length: 70000")).unwrap();
    let begun = Instant::now();
    assert!(read_response(&mut client).0.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert!(begun.elapsed() >= Duration::from_millis(500), "it had only the time of an ordinary body");
}
