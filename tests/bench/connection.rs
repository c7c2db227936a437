//! One keep-alive connection: sends the bytes of a request, reads exactly one response, and fails on anything else,
//! so that no figure is ever that of a wrong answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::wire::Wire;

/// The token for registrations of every server here.
pub(crate) const TOKEN: &str = "benchmark";

/// What is read at once; large, because the client shares its processors with the server it loads.
const BUFFER_BYTES: usize = 256 * 1024;

/// How long to wait for anything before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A GET as Prometheus sends it.
pub(crate) fn poll(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Prometheus/3.5.0\r\nAccept: application/json\r\n\
         X-Prometheus-Refresh-Interval-Seconds: 60\r\n\r\n"
    )
    .into_bytes()
}

/// A PUT of a registration.
pub(crate) fn put(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "PUT /target HTTP/1.1\r\nHost: localhost\r\nx-api-token: {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: Wire,
    buffer: Vec<u8>,
}

/// The answer was a 503, as it must be when a disk shared with others takes too long.
#[derive(Debug)]
pub(crate) struct Unavailable;

/// Where the parts of a response are in the buffer.
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Connection {
        Connection::open_with(address, None)
    }

    /// With TLS around it, if there is a configuration; the handshake begins with the first request.
    pub(crate) fn open_with(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Connection {
        let stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_nodelay(true).expect("a TCP connection has this option");
        stream.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
        let stream = Wire::new(stream.into(), tls);
        Connection { stream, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Asks and lets the body pass; returns its length. Panics unless the answer is complete, and a 200 or a 503.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<usize, Unavailable> {
        let (head, filled) = self.ask(request);
        let good = head.status == 200;
        assert!(good || head.status == 503, "{}", String::from_utf8_lossy(&self.buffer[..filled]));
        let mut rest = head.body_bytes.checked_sub(filled - head.bytes).expect("no byte follows the body");
        while rest > 0 {
            let most = rest.min(BUFFER_BYTES);
            let read = read(&mut self.stream, &mut self.buffer[..most]);
            assert_ne!(read, 0, "the connection ended {rest} bytes before the end of the body");
            rest -= read;
        }
        if good { Ok(head.body_bytes) } else { Err(Unavailable) }
    }

    /// Asks and returns the status and all bytes of the response, head and body.
    pub(crate) fn fetch(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        let (head, filled) = self.ask(request);
        let mut response = self.buffer[..filled].to_vec();
        response.resize(head.bytes + head.body_bytes, 0);
        self.stream.read_exact(&mut response[filled..]).expect("the body arrives");
        (head.status, response)
    }

    /// Asks, reads the head and perhaps the beginning of the body, and nothing more.
    pub(crate) fn begin(&mut self, request: &[u8]) {
        self.ask(request);
    }

    fn ask(&mut self, request: &[u8]) -> (Head, usize) {
        self.stream.write_all(request).expect("the server reads requests");
        let mut filled = 0;
        loop {
            let read = read(&mut self.stream, &mut self.buffer[filled..]);
            assert_ne!(read, 0, "the connection ended before the end of the head");
            filled += read;
            if let Some(head) = Head::parse(&self.buffer[..filled]) {
                return (head, filled);
            }
        }
    }
}

/// What has arrived. Linux may interrupt a read that has a time limit, and nothing is lost by that.
fn read(stream: &mut Wire, buffer: &mut [u8]) -> usize {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome.expect("a response arrives"),
        }
    }
}

impl Head {
    /// `None` while it is not complete.
    fn parse(bytes: &[u8]) -> Option<Head> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let (Some(status), Some(body_bytes)) = (status, length) else { panic!("not a sized response: {text}") };
        Some(Head { status, bytes: end + 4, body_bytes })
    }
}
