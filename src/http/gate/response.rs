//! The response writer: head and shared parts of a body go to the client as they are, within limits of time.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant, SystemTime};

use super::head::ConnectionField;
use super::limits::Limits;
use super::stream::Stream;
use crate::http::response::{Body, Response, phrase};

/// The most parts that one call to the system takes (`IOV_MAX`).
const PARTS_PER_WRITE_MAX: usize = 1024;

/// The most bytes of one call, so that it comes back soon to say that the client makes progress.
const BYTES_PER_WRITE_MAX: usize = 128 * 1024;

/// How often a client is looked at within the time after which it counts as stalled. A call that waits does not come
/// back as soon as some bytes are taken, only when it has waited for this long.
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
        // A line end in a value would begin a field of somebody else's making.
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

/// Writes all of it within the time for this many bytes, if the client is not stalled before. Each time the client has
/// taken a part but the last, `progressed` is called.
///
/// # Errors
/// What the socket says; `TimedOut` when the client has not taken it in time.
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

/// The first of these parts, as many as one call is given.
fn one_write<'a, 'b>(parts: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    let mut bytes = 0;
    let beyond = parts.iter().position(|part| {
        bytes += part.len();
        bytes > BYTES_PER_WRITE_MAX
    });
    &parts[..beyond.unwrap_or(parts.len()).clamp(1, PARTS_PER_WRITE_MAX).min(parts.len())]
}

/// The lingering close: ends a connection so that the last response arrives. Bytes that nobody has read would make
/// the system reset the connection, and the reset overtakes the response.
pub(super) fn close_lingering(stream: &mut Stream<'_>, limit: Duration) {
    let begun = Instant::now();
    if stream.end(limit).is_err() {
        return;
    }
    while matches!(stream.discard(limit.saturating_sub(begun.elapsed())), Ok(bytes) if bytes > 0) {}
}
