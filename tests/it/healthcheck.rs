//! `inventor healthcheck`, which container engines run instead of curl.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::server::{Outcome, Server, Setup};

/// The outcome of the command for a server on this port, in an environment that has nothing else of a server.
fn healthcheck(port: u16, question: &[&str]) -> Outcome {
    let setup = Setup::new().without("API_TOKEN").without("DATA_DIR").env("LISTEN_PORT", &port.to_string());
    question.iter().fold(setup.argument("healthcheck"), |setup, word| setup.argument(word)).run()
}

#[test]
fn a_server_at_work_is_healthy_and_ready() {
    let server = Server::start(&[]);
    let port = server.address().port();
    for question in [&[][..], &["ready"], &["healthy"]] {
        let outcome = healthcheck(port, question);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{question:?}");
    }
}

#[test]
fn a_server_on_all_addresses_is_found() {
    for address in ["", "::", "0.0.0.0"] {
        let server = Setup::new().env("LISTEN_ADDR", address).start();
        let port = server.addresses()[0].rsplit_once(':').unwrap().1.to_owned();
        let setup = Setup::new().env("LISTEN_ADDR", address).env("LISTEN_PORT", &port).argument("healthcheck");
        assert_eq!(setup.run().code, Some(0), "{address:?}");
    }
}

#[test]
fn address_and_port_may_be_flags() {
    let server = Server::start(&[]);
    let port = format!("--listen-port={}", server.address().port());
    let setup = Setup::new().without("LISTEN_PORT");
    assert_eq!(setup.clone().argument("healthcheck").argument(&port).run().code, Some(0), "after the command");
    assert_eq!(setup.argument(&port).argument("healthcheck").run().code, Some(0), "before it");
}

#[test]
fn a_port_where_nobody_listens_is_named() {
    // Kept bound and never listening, so that no other program gets the port.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    let outcome = healthcheck(address.port(), &[]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(&address.to_string()), "{outcome:?}");
}

#[test]
fn another_answer_than_200_is_unhealthy() {
    for (answer, said) in [
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\nnot ready", "503: not ready"),
        ("220 mail.example.org ESMTP\r\n", "not HTTP"),
        ("", "not HTTP"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // With bytes unread the connection would end in a reset instead of an answer.
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let outcome = healthcheck(port, &[]);
        server.join().unwrap();
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(said), "{outcome:?}");
    }
}

#[test]
fn a_server_that_never_answers_is_unhealthy() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let outcome = healthcheck(silent.local_addr().unwrap().port(), &["healthy"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
}

#[test]
fn what_cannot_be_asked_ends_with_code_2() {
    assert_eq!(healthcheck(0, &[]).code, Some(2), "which port the system chose is not known here");
    assert_eq!(healthcheck(9101, &["happy"]).code, Some(2));
}
