//! An HTTP/1.1 client that sends exactly the bytes it is given, so that tests can say what a tidy library would not.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No answer of the server takes longer, whatever the machine is doing.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// A request; sent with a `Host`, and with a `Content-Length` when it has a body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without header fields of its own and without a body.
    pub(crate) fn new(method: &str, target: &str) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None }
    }

    /// Adds a header field after those it has.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds the write token of the servers under test.
    pub(crate) fn token(self) -> Request {
        self.header("x-api-token", "secret")
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// The bytes on the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if let Some(body) = &self.body {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

/// A response, complete.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of the only header field with this name, in any case.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} comes twice: {self:?}");
        value
    }

    /// The body as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {:?}", self.text()))
    }

    /// Asserts status and body.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.text()), (status, body));
    }

    /// Asserts the status alone; `what` says which of several requests it answers.
    #[track_caller]
    pub(crate) fn has_status(&self, status: u16, what: impl Debug) {
        assert_eq!(self.status, status, "{what:?} is answered by {:?}", String::from_utf8_lossy(&self.body));
    }
}

/// One connection, on which requests follow each other.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect_timeout(&address, ANSWER_WAIT_MAX).expect("the server accepts connections");
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).unwrap();
        stream.set_write_timeout(Some(ANSWER_WAIT_MAX)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream: BufReader::new(stream) }
    }

    /// Sends these bytes and nothing else.
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the server takes what it is sent");
    }

    /// Sends these bytes unless the server has closed the connection.
    pub(crate) fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Sends the request and reads its response.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Response {
        self.write(request.to_bytes());
        self.read(&request.method)
    }

    /// Tells the server that nothing more will be sent.
    pub(crate) fn end_sending(&mut self) {
        self.stream.get_mut().shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Reads the response to a request of this method; an interim one (1xx) is a response of its own.
    #[track_caller]
    pub(crate) fn read(&mut self, method: &str) -> Response {
        let status_line = self.read_line();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.read_line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header field: {line:?}"));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if method != "HEAD" && !matches!(status, 100..200 | 204 | 304) {
            response.body = self.read_body(&response);
        }
        response
    }

    /// Whether the server has closed the connection without a further byte; waits for it to do either.
    pub(crate) fn is_at_end(&mut self) -> bool {
        // A reset is an end as well: the server may have closed with bytes of ours unread.
        self.stream.fill_buf().map_or(true, <[u8]>::is_empty)
    }

    #[track_caller]
    fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).expect("the server answers in time");
        assert!(line.ends_with(b"\r\n"), "the response breaks off: {:?}", String::from_utf8_lossy(&line));
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("header fields are text")
    }

    #[track_caller]
    fn read_body(&mut self, response: &Response) -> Vec<u8> {
        let mut body = Vec::new();
        if let Some(length) = response.header("Content-Length") {
            body.resize(length.parse().expect("a length is a number"), 0);
            self.stream.read_exact(&mut body).expect("the body is complete");
        } else if response.header("Transfer-Encoding") == Some("chunked") {
            while let Some(chunk) = self.read_chunk() {
                body.extend(chunk);
            }
        } else {
            self.stream.read_to_end(&mut body).expect("the body ends with the connection");
        }
        body
    }

    #[track_caller]
    fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.read_line();
        let length = usize::from_str_radix(&line, 16).expect("a chunk begins with its length");
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk).expect("the chunk is complete");
        assert_eq!(self.read_line(), "", "a chunk ends where its length says");
        (length > 0).then_some(chunk)
    }
}
