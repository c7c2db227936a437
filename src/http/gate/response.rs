//! The response writer: sends the head and the shared parts of a body without copying, within limits of time.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant, SystemTime};

use super::head::ConnectionField;
use super::limits::Limits;
use super::stream::Stream;
use crate::http::response::{Body, Response, phrase};

/// The most parts that one call to the system takes (`IOV_MAX`).
const PARTS_PER_WRITE_MAX: usize = 1024;

/// The most bytes of one call, so that it soon returns to report progress.
const BYTES_PER_WRITE_MAX: usize = 128 * 1024;

/// How often a client is checked within the time after which it counts as stalled: a call that waits returns only after
/// its own limit, even if some bytes were taken.
const LOOKS_PER_STALL: u32 = 10;

pub(super) fn head(response: &Response, connection: ConnectionField, now: SystemTime) -> String {
    let mut head = String::with_capacity(256);
    let status = response.status;
    // Writing to a String cannot fail.
    let _ = write!(head, "HTTP/1.1 {status} {}\r\nDate: {}\r\n", phrase(status), httpdate::HttpDate::from(now));
    if !response.has_no_content() {
        let _ = write!(head, "Content-Type: {}\r\nContent-Length: {}\r\n", response.content_type, response.body.len());
    }
    for (name, value) in &response.headers {
        let _ = write!(head, "{name}: ");
        // A line end in a value would begin a field that somebody else made.
        head.extend(value.chars().filter(|c| !c.is_control()));
        head.push_str("\r\n");
    }
    head.push_str(match connection {
        ConnectionField::Unsaid => "\r\n",
        ConnectionField::KeepAlive => "Connection: keep-alive\r\n\r\n",
        ConnectionField::Close => "Connection: close\r\n\r\n",
    });
    head
}

/// Writes a response within the time for its size, unless the client stalls before. Calls `progressed` whenever the
/// client has taken a part, except for the last.
///
/// # Errors
/// The error of the socket; `TimedOut` if the client has not taken all in time.
pub(super) fn write(
    stream: &mut Stream<'_>,
    head: &str,
    body: &Body,
    limits: &Limits,
    progressed: impl Fn(),
) -> io::Result<()> {
    let mut slices = Vec::with_capacity(1 + body.parts().len());
    slices.push(IoSlice::new(head.as_bytes()));
    slices.extend(body.parts().iter().flat_map(|part| part.chunks(BYTES_PER_WRITE_MAX)).map(IoSlice::new));
    let mut left = slices.as_mut_slice();
    let (begun, limit) = (Instant::now(), limits.response_time(body.len()));
    let mut last_progress = begun;
    while !left.is_empty() || stream.has_unsent() {
        let time_left = limit.saturating_sub(begun.elapsed());
        let is_over = || time_left.is_zero() || last_progress.elapsed() >= limits.stalled;
        match stream.write_vectored(one_write(left), time_left.min(limits.stalled / LOOKS_PER_STALL)) {
            Ok(written) => {
                IoSlice::advance_slices(&mut left, written);
                last_progress = Instant::now();
                if !left.is_empty() {
                    progressed();
                }
            }
            Err(error) if error.kind() == ErrorKind::TimedOut && !is_over() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The first of these parts, as many as one call may take.
fn one_write<'a, 'b>(parts: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    let mut bytes = 0;
    let beyond = parts.iter().position(|part| {
        bytes += part.len();
        bytes > BYTES_PER_WRITE_MAX
    });
    &parts[..beyond.unwrap_or(parts.len()).clamp(1, PARTS_PER_WRITE_MAX).min(parts.len())]
}

/// The lingering close: ends a connection so that the last response arrives. Unread bytes would make the system reset
/// the connection, and the reset overtakes the response.
pub(super) fn close_lingering(stream: &mut Stream<'_>, limit: Duration) {
    let begun = Instant::now();
    if stream.end(limit).is_err() {
        return;
    }
    while matches!(stream.discard(limit.saturating_sub(begun.elapsed())), Ok(bytes) if bytes > 0) {}
}
