//! The workers: each receives complete requests from tiny_http, has them handled, and answers with tiny_http's response.

use std::borrow::Cow;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tiny_http::{Header, StatusCode};

use crate::http::gate::{CLIENT_FIELD, Handler, Handling, Line, unescape};
use crate::http::request::{FIELDS, Request};
use crate::http::response::Response;

/// How many lines go to one tiny_http server: as many as it has threads from the start. Its thread pool forgets some
/// connections if more arrive at once.
const LINES_PER_SERVER: usize = 4;

/// How many socket names are tried. A name fails only if another program has guessed it and connected within
/// microseconds.
const NAMES_MAX: usize = 10;

/// How long the first request of a line may take.
const PROOF_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a write to a line may make no progress. Its worker does nothing else.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Opens `count` lines, each with a worker at its other end.
pub(super) fn open<H: Handler>(count: usize, handling: &Arc<Handling<H>>) -> io::Result<Vec<Line>> {
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        let (server, streams) = connect(LINES_PER_SERVER.min(count - lines.len()))?;
        for stream in streams {
            let worker_handling = Arc::clone(handling);
            let work = move || {
                while let Ok(request) = server.recv() {
                    // If that fails, nobody is left to be told.
                    let _ = answer(request, &worker_handling);
                }
            };
            thread::Builder::new().name("worker".to_owned()).spawn(work)?;
            lines.push(Line::new(stream, EndsWorker(server)));
        }
    }
    Ok(lines)
}

/// Ends one of a server's workers when dropped, as soon as no requests wait.
struct EndsWorker(&'static tiny_http::Server);

impl Drop for EndsWorker {
    fn drop(&mut self) {
        self.0.unblock();
    }
}

/// Makes a tiny_http server with all the connections that it will ever have. It trusts what comes over them, and one
/// malformed request would end the process, so nobody else may connect, not even for a moment: the queue has no place
/// beyond these connections, and it is closed before the server sees it.
fn connect(count: usize) -> io::Result<(&'static tiny_http::Server, Vec<UnixStream>)> {
    let (listener, streams) =
        (0..NAMES_MAX).find_map(|_| listen(count).transpose()).unwrap_or_else(|| Err(ErrorKind::AddrInUse.into()))?;
    let server = tiny_http::Server::from_listener(UnixListener::from(listener), None).map_err(io::Error::other)?;
    // Leaked, because dropping it would look for the file of its socket, find none, and panic.
    let server: &'static _ = Box::leak(Box::new(server));
    prove(server, &streams)?;
    Ok((server, streams))
}

/// A listening socket with an abstract name, which needs no file system, and its connections, `count` of them. It takes
/// no others. `None` if somebody else was quicker.
fn listen(count: usize) -> io::Result<Option<(Socket, Vec<UnixStream>)>> {
    let address = SockAddr::unix(format!("\0inventor-{:032x}", fastrand::u128(..)))?;
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    listener.bind(&address)?;
    // The system lets one more than this wait.
    listener.listen(i32::try_from(count).unwrap_or(i32::MAX) - 1)?;
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        stream.set_nonblocking(true)?;
        match stream.connect(&address) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            connected => connected?,
        }
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_WAIT_MAX))?;
        streams.push(UnixStream::from(stream));
    }
    // Connections that wait are still accepted.
    listener.shutdown(Shutdown::Both)?;
    Ok(Some((listener, streams)))
}

/// Sends a request through each line, to see that none has been forgotten, and receives the error that there will be no
/// more connections, which would end a worker.
fn prove(server: &tiny_http::Server, streams: &[UnixStream]) -> io::Result<()> {
    for mut stream in streams {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    }
    let (mut requests, mut is_closed) = (0, false);
    while requests < streams.len() || !is_closed {
        match server.recv_timeout(PROOF_WAIT_MAX) {
            Ok(Some(request)) => {
                drop(request.into_writer());
                requests += 1;
            }
            Ok(None) => return Err(ErrorKind::TimedOut.into()),
            Err(_) => is_closed = true,
        }
    }
    Ok(())
}

fn answer<H: Handler>(mut received: tiny_http::Request, handling: &Handling<H>) -> io::Result<()> {
    let request = read(&mut received)?;
    let response = handling.handle(&request);
    let Response { status, content_type, headers, body, turn: _ } = response;
    let content_type = (Cow::Borrowed("Content-Type"), content_type.into_owned());
    let headers = [content_type].into_iter().chain(headers).filter_map(|(name, value)| {
        let value: String = value.chars().filter(|c| c.is_ascii() && !c.is_control()).collect();
        Header::from_bytes(name.as_bytes(), value).ok()
    });
    let (length, body) = (body.len(), body.parts().concat());
    let response =
        tiny_http::Response::new(StatusCode(status), headers.collect(), Cursor::new(body), Some(length), None);
    // Always with its length, never in chunks.
    received.respond(response.with_chunked_threshold(usize::MAX))
}

/// The request as the gate received it.
fn read(received: &mut tiny_http::Request) -> io::Result<Request> {
    let (path, query) = received.url().split_once('?').unwrap_or((received.url(), ""));
    let mut request = Request {
        method: received.method().to_string(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    for Header { field, value } in received.headers() {
        let (name, value) = (field.as_str().as_str(), unescape(value.as_str()));
        match name {
            CLIENT_FIELD => request.client = String::from_utf8_lossy(&value).into_owned(),
            "Content-Length" => {}
            _ => request.headers.extend(FIELDS.into_iter().find(|known| *known == name).map(|known| (known, value))),
        }
    }
    let length = received.body_length().unwrap_or(0);
    request.body.try_reserve_exact(length).map_err(io::Error::other)?;
    received.as_reader().take(length as u64).read_to_end(&mut request.body)?;
    // The connection ended before the body did.
    if request.body.len() == length { Ok(request) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
