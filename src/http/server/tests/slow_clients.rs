//! Clients that are slow, silent, or too many.

use std::io::ErrorKind;

use super::*;

#[test]
fn slow_requests_are_told_so_and_silent_ones_are_closed() {
    let short = Duration::from_millis(500);
    let limits = Limits { idle: short, head: short, body: short, ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, |_| text("ok"));
    assert_eq!(server.exchange(""), "");
    let timed_out = "HTTP/1.1 408 Request Timeout\r\n";
    assert!(server.exchange("GET / HTTP/1.1\r\nHost:").starts_with(timed_out));
    assert!(server.exchange("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc").starts_with(timed_out));
}

#[test]
fn who_sends_nothing_after_an_answer_is_closed_when_that_time_is_over() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, |_| text("ok"));
    let mut client = server.connect();
    client.write_all(get("/").as_bytes()).unwrap();
    read_response(&mut client);
    let answered = Instant::now();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let idle = answered.elapsed();
    assert!((Duration::from_millis(250)..5 * SECOND).contains(&idle), "closed after {idle:?}");
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
fn a_client_that_takes_nothing_is_cut_off_before_its_time_is_over() {
    let limits = Limits { stalled: 2 * SECOND, ..Limits::default() };
    let part: Arc<[u8]> = vec![0; 1 << 20].into();
    let body = Body::new(vec![part; 20].into());
    let server =
        Fixture::with(|settings| settings.limits = limits, move |_| Response { body: body.clone(), ..text("") });
    let (mut steady, mut stalled) = (server.connect(), server.connect());
    stalled.write_all(get("/").as_bytes()).unwrap();
    let end = read_steadily(&mut steady);
    assert!(end.len() < 1000, "only the head has made it longer");
    wait_until(|| server.metric("inventor_http_connections") == 0.0);
    assert_eq!(server.metric("inventor_http_sent_bytes_total"), (20 << 20) as f64 + end.len() as f64);
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
fn clients_that_do_not_read_make_room_after_those_that_are_idle() {
    let part: Arc<[u8]> = vec![0; 1 << 20].into();
    let body = Body::new(vec![part; 20].into());
    let server = Fixture::with(
        |settings| settings.connections_max = CONNECTIONS_MIN,
        move |request| if request.path == "/long" { Response { body: body.clone(), ..text("") } } else { text("ok") },
    );
    let evicted = || server.metric("inventor_http_connections_evicted_total");
    let mut idle = server.connect();
    idle.write_all(get("/").as_bytes()).unwrap();
    read_response(&mut idle);
    let readers: Vec<TcpStream> = (1..CONNECTIONS_MIN).map(|_| server.connect()).collect();
    readers.iter().for_each(|mut reader| reader.write_all(get("/long").as_bytes()).unwrap());
    assert!(server.exchange(last_get("/")).ends_with("ok"));
    assert_eq!((idle.read(&mut [0]).unwrap(), evicted()), (0, 1.0), "the idle one goes first");
    // New clients are answered, each at the cost of the one that has not read for longest.
    wait_until(|| server.metric("inventor_http_connections") == (CONNECTIONS_MIN - 1) as f64);
    let mut newcomers = Vec::new();
    for _ in 0..CONNECTIONS_MIN {
        let mut newcomer = server.connect();
        newcomer.write_all(get("/long").as_bytes()).unwrap();
        newcomer.read_exact(&mut [0]).unwrap();
        newcomers.push(newcomer);
    }
    assert_eq!(evicted(), CONNECTIONS_MIN as f64);
    for mut reader in &readers {
        let mut taken = Vec::new();
        let end = reader.read_to_end(&mut taken);
        assert!(end.is_err() || taken.len() < 20 << 20, "it got all of its answer");
    }
}
