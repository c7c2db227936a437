//! The whole edge: whatever the request reader lets through reaches a handler, and is answered.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use inventor::http::gate::request::ConnectionField;
use inventor::http::server::{Limits, Listen, Server, ServerSettings, TrustedProxies};
use inventor::http::{Errors, Found, Handler, Request, Response, Runs};

use crate::for_each_input;
use crate::requests::{SEEDS, read};

/// Fewer than elsewhere, because each takes a connection of its own.
const INPUTS: u64 = 2_000;

#[test]
fn what_the_reader_lets_through_is_answered() {
    let settings = ServerSettings {
        listen: vec![Listen::Tcp { addr: Some(Ipv4Addr::LOCALHOST.into()), port: 0 }],
        workers: 2,
        connections_max: 64,
        proxies: TrustedProxies::default(),
        limits: Limits::default(),
        tls: None,
    };
    let server = Server::bind(settings, &prometheus::Registry::new()).unwrap();
    let address = server.endpoints().remove(0).to_string();
    let running = server.serve(Arc::new(Describer)).unwrap();
    for_each_input("HTTP edge", INPUTS, SEEDS, |input, _| {
        let (requests, refused) = read(&[input]);
        let mut client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(input).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        let closes = requests.iter().position(|request| request.connection == ConnectionField::Close);
        let answered = closes.map_or(requests.len(), |last| last + 1);
        let statuses: Vec<&[u8]> = answers
            .split(|b| *b == b'\n')
            .filter_map(|line| line.strip_prefix(b"HTTP/1.1 ")?.get(..3).filter(|status| *status != b"100"))
            .collect();
        assert_eq!(statuses.iter().filter(|status| **status == b"200").count(), answered);
        assert_eq!(statuses.len(), answered + usize::from(refused.is_some() && closes.is_none()));
    });
    running.drain(Duration::from_secs(5));
}

/// Describes each request, which has come through a worker if its method is one that workers are given.
struct Describer;

impl Handler for Describer {
    type Route = ();

    fn find(&self, head: &Request) -> Found<()> {
        let runs = if ["GET", "PUT", "DELETE"].contains(&head.method.as_str()) { Runs::ByWorker } else { Runs::AtOnce };
        Found { runs, errors: Errors::Text, takes_large_bodies: false, is_probe: false, route: () }
    }

    fn admit(&self, (): (), _: &Request) -> Result<(), Response> {
        Ok(())
    }

    fn handle(&self, (): (), request: &Request) -> Response {
        assert!(request.path.starts_with(['/', '*']), "{request:?}");
        let text = format!("{} {}\n", request.method, request.body.len());
        Response {
            status: 200,
            content_type: "text/plain".into(),
            headers: Vec::new(),
            body: text.into_bytes().into(),
            turn: None,
        }
    }
}
