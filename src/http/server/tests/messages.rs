//! Requests and responses, one client at a time.

use super::*;

/// A path whose handler runs in the thread of the connection, and one that a worker handles.
const BOTH_WAYS: [&str; 2] = ["/group", "/store/group"];

#[test]
fn a_request_arrives_as_it_was_meant() {
    BOTH_WAYS.into_iter().for_each(arrives_as_it_was_meant);
}

fn arrives_as_it_was_meant(path: &str) {
    let (seen, requests) = mpsc::sync_channel(1);
    let server = Fixture::start(move |request| {
        seen.send(request.clone()).unwrap();
        text("ok")
    });
    let mut sent =
        format!("put http://h{path}?name=zürich&x=%41 HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n").into_bytes();
    sent.extend_from_slice(
        b"X-Api-Token: \t s\xfc%41\xc3\xbc \r\nx-inventor-client: forged\r\nConnection: close\r\n\r\n",
    );
    sent.extend_from_slice(&[b'b'; 2000]);
    assert!(server.exchange(sent).starts_with("HTTP/1.1 200 OK\r\n"));
    let got = requests.recv().unwrap();
    assert_eq!(got.method, "PUT");
    assert_eq!(got.path, path);
    assert_eq!(got.query, "name=z%C3%BCrich&x=%41");
    assert_eq!(got.header("x-api-token"), Some(&b"s\xfc%41\xc3\xbc"[..]));
    assert_eq!(got.body, [b'b'; 2000]);
    assert!(got.client.starts_with("127.0.0.1:"), "{}", got.client);
    let names: Vec<&str> = got.headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["x-api-token"], "nobody reads the others");
}

#[test]
fn a_response_carries_what_the_handler_gave_and_what_the_server_adds() {
    BOTH_WAYS.into_iter().for_each(carries_what_the_handler_gave);
}

fn carries_what_the_handler_gave(path: &str) {
    let server = Fixture::start(|_| Response {
        status: 405,
        content_type: "text/plain; charset=utf-8".into(),
        headers: vec![("Allow".into(), "GET, HEAD".to_owned()), ("X-Line".into(), "a\r\nSet-Cookie: b".to_owned())],
        body: Body::new(vec![b"METHOD "[..].into(), b""[..].into(), b"NOT ALLOWED"[..].into()].into()),
        turn: None,
    });
    let response = server.exchange(last_get(path));
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
    for path in BOTH_WAYS {
        let response = server.exchange(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n{}", last_get(path)));
        let (first, second) = response.split_once("\r\n\r\n").unwrap();
        assert!(first.contains("Content-Length: 4"));
        assert!(second.starts_with("HTTP/1.1 200 OK\r\n") && second.ends_with("\r\n\r\nbody"), "{second}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Fixture::start(|request| text(request.path.as_str()));
    let paths: Vec<String> =
        (0..50).map(|i| if i % 3 == 0 { format!("/{i}") } else { format!("/store/{i}") }).collect();
    let mut client = server.connect();
    client.write_all(paths.iter().map(|path| get(path)).collect::<String>().as_bytes()).unwrap();
    for path in paths {
        assert_eq!(read_response(&mut client).1, path.as_bytes());
    }
}

#[test]
fn what_is_sent_while_a_request_is_handled_is_answered_next() {
    let (entered, in_handler) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = parking_lot::Mutex::new(gate);
    let server = Fixture::start(move |request| {
        entered.send(()).unwrap();
        gate.lock().recv().unwrap();
        text(request.path.as_str())
    });
    let (second, third) = (get("/second"), last_get("/third"));
    // All of the next request, a part of it, and only the end of the client's data.
    for sent_meanwhile in [second.len(), 10, 0] {
        let mut client = server.connect();
        client.write_all(get("/first").as_bytes()).unwrap();
        in_handler.recv().unwrap();
        client.write_all(&second.as_bytes()[..sent_meanwhile]).unwrap();
        if sent_meanwhile == 0 {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        go.send(()).unwrap();
        assert_eq!(read_response(&mut client).1, b"/first");
        if sent_meanwhile > 0 {
            client.write_all(&second.as_bytes()[sent_meanwhile..]).unwrap();
            (0..2).for_each(|_| go.send(()).unwrap());
            assert_eq!(read_response(&mut client).1, b"/second");
            client.write_all(third.as_bytes()).unwrap();
            assert_eq!(read_response(&mut client).1, b"/third");
            (0..2).for_each(|_| in_handler.recv().unwrap());
        }
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn small_and_large_answers_follow_each_other() {
    let part: Arc<[u8]> = vec![b'x'; 1 << 20].into();
    let large = Body::new(vec![part; 8].into());
    let server = Fixture::start(move |request| match request.path.as_str() {
        "/large" => Response { body: large.clone(), ..text("") },
        path => text(path),
    });
    let mut client = server.connect();
    for _ in 0..10 {
        for (path, length) in [("/large", 8 << 20), ("/small", 6), ("/smaller", 8)] {
            client.write_all(get(path).as_bytes()).unwrap();
            assert_eq!(read_response(&mut client).1.len(), length);
        }
    }
    wait_until(|| server.metric("inventor_http_requests_in_flight") == 0.0);
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
    for path in BOTH_WAYS.repeat(2) {
        client.write_all(get(path).as_bytes()).unwrap();
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
fn a_refusal_has_the_form_of_its_path() {
    let short = Duration::from_millis(500);
    let limits = Limits { head: short, body: short, questions: 0, question_wait: short, ..Limits::default() };
    let server = Fixture::with(|settings| settings.limits = limits, |_| panic!("on purpose"));
    let fields = "a: b\r\n".repeat(70);
    for (path, family) in [("/api/", "application/problem+json"), ("/", "text/plain; charset=utf-8")] {
        for (status, rest) in [
            (431, format!("x HTTP/1.1\r\nHost: a\r\nx: {}", "x".repeat(20_000))),
            (431, format!("x HTTP/1.1\r\nHost: a\r\n{fields}\r\n")),
            (413, "x HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n".to_owned()),
            (415, "x HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\n".to_owned()),
            (400, "x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
            (408, "x HTTP/1.1\r\nHost: a\r\n".to_owned()),
            (408, "x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n".to_owned()),
            (503, "question HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned()),
            (500, "x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned()),
        ] {
            let answer = server.exchange(format!("PUT {path}{rest}"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{rest}: {answer}");
            assert!(answer.contains(&format!("Content-Type: {family}\r\n")), "{rest}: {answer}");
            assert_eq!(answer.contains("Retry-After: "), status == 503, "{rest}: {answer}");
        }
    }
    let unknown = server.exchange(format!("PUT /api/{} HTTP/1.1\r\n", "x".repeat(20_000)));
    assert!(unknown.starts_with("HTTP/1.1 414 ") && unknown.contains("text/plain"), "{unknown}");
}

#[test]
fn a_panic_costs_one_request() {
    let fails = |request: &Request| if request.path.ends_with("/panic") { panic!("on purpose") } else { text("ok") };
    let server = Fixture::start(fails);
    let mut client = server.connect();
    for path in ["/", "/store/"].repeat(20) {
        client.write_all(get(&format!("{path}panic")).as_bytes()).unwrap();
        assert!(read_response(&mut client).0.starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
        client.write_all(get(path).as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).1, b"ok");
    }
    assert_eq!(server.metric("inventor_http_handler_panics_total"), 40.0);
}
