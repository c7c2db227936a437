//! The end of the server.

use std::net::Shutdown;

use super::*;

#[test]
fn a_drain_answers_what_is_under_way_and_ends_all_threads() {
    let (entered, in_handler) = mpsc::sync_channel(1);
    let held_by_workers = Arc::new(());
    let ended = Arc::downgrade(&held_by_workers);
    let mut server = Fixture::start(move |request| {
        let _held = &held_by_workers;
        if request.path == "/slow" {
            entered.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        text("ok")
    });
    let [mut idle, mut prompt, mut fresh, mut busy, mut late] = [(); 5].map(|()| server.connect());
    for client in [&mut idle, &mut prompt] {
        client.write_all(get("/").as_bytes()).unwrap();
        read_response(client);
    }
    busy.write_all(get("/slow").as_bytes()).unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    in_handler.recv().unwrap();
    let sent = (2 * get("/").len() + get("/slow").len() + "GET / HTTP/1.1\r\nHo".len()) as f64;
    wait_until(|| server.metric("inventor_http_received_bytes_total") == sent);
    wait_until(|| server.metric("inventor_http_connections_accepted_total") == 5.0);

    let running = server.running.take().unwrap();
    let begun = Instant::now();
    let draining = std::thread::spawn(move || running.drain(10 * SECOND));
    wait_until(|| TcpStream::connect(&server.address).is_err());
    prompt.write_all(get("/").as_bytes()).unwrap();
    // On a machine that stood still for longer, it may have come too late.
    if begun.elapsed() < Duration::from_millis(400) {
        assert_eq!(read_response(&mut prompt).1, b"ok");
    }
    let mut end = Vec::new();
    assert_eq!(idle.read_to_end(&mut end).unwrap() + fresh.read_to_end(&mut end).unwrap(), 0);
    late.write_all(b"st: a\r\n\r\n").unwrap();
    for client in [&mut busy, &mut late] {
        let (head, body) = read_response(client);
        assert!(head.contains("Connection: close\r\n") && body == b"ok", "{head}");
        client.shutdown(Shutdown::Both).unwrap();
    }
    draining.join().unwrap();
    assert!(begun.elapsed() < 5 * SECOND);
    assert_eq!(server.metric("inventor_http_connections"), 0.0);
    // No worker has the handler any more.
    wait_until(|| ended.upgrade().is_none());
}

#[test]
fn who_was_told_that_a_connection_goes_on_may_send_another_request() {
    let part: Arc<[u8]> = vec![0; 1 << 20].into();
    let body = Body::new(vec![part; 30].into());
    let mut server = Fixture::start(move |_| Response { body: body.clone(), ..text("") });
    let mut client = server.connect();
    client.write_all(get("/").as_bytes()).unwrap();
    // The head is sent, and the rest waits for the client to read.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(!String::from_utf8(head).unwrap().contains("Connection: close"));
    let running = server.running.take().unwrap();
    let draining = std::thread::spawn(move || running.drain(10 * SECOND));
    wait_until(|| TcpStream::connect(&server.address).is_err());
    client.read_exact(&mut vec![0; 30 << 20]).unwrap();
    client.write_all(get("/").as_bytes()).unwrap();
    let (head, body) = read_response(&mut client);
    assert!(head.contains("Connection: close\r\n") && body.len() == 30 << 20, "{head}");
    drop(client);
    draining.join().unwrap();
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
