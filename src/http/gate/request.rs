//! The request reader: bytes in, complete and bounded requests out. It knows no socket and no clock.

use super::chunks::Chunks;
use super::head::{self, BodyLength, Head};
use super::limits::HEAD_BYTES_MAX;

/// What a connection keeps of its buffer while it waits for the next request, in bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// A request as tiny_http is to see it.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The request line and the header fields, ASCII only, each line ended by CRLF; without the last empty line.
    pub head: Vec<u8>,
    /// The body, without transfer coding.
    pub body: Vec<u8>,
    /// Whether the client wants to go on with this connection.
    pub keep_alive: bool,
    /// Whether the client speaks HTTP/1.0.
    pub http_1_0: bool,
    /// Whether the response goes without its body.
    pub is_head: bool,
}

/// Why a request is not let through. The connection ends with it, because nobody can say where the next
/// request would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// What is wrong, for the client.
    pub reason: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: u16, reason: &'static str) -> Refusal {
        Refusal { status, reason }
    }

    pub(super) const fn bad(reason: &'static str) -> Refusal {
        Refusal::new(400, reason)
    }

    pub(super) const fn too_large() -> Refusal {
        Refusal::new(413, "the body is larger than 65536 bytes")
    }

    pub(super) const fn no_memory() -> Refusal {
        Refusal::new(503, "there is no memory for this request now")
    }
}

/// What the reader asks of its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Give it more bytes.
    Read(Phase),
    /// Tell the client to go on with the body.
    Continue,
    /// Answer this request.
    Request(Incoming),
}

/// What the reader waits for; each has its own time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of its head.
    Head,
    /// Its body.
    Body,
}

/// Finds the requests in the bytes of one connection.
#[derive(Debug, Default)]
pub struct RequestReader {
    input: Vec<u8>,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Head(Lines),
    Body(Head, Option<Chunks>),
}

/// How far the lines of a head have been looked at, so that a client which sends single bytes costs no more
/// than one which sends them at once.
#[derive(Debug, Default)]
struct Lines {
    line_start: usize,
    scanned: usize,
    begun: bool,
}

impl Default for Part {
    fn default() -> Part {
        Part::Head(Lines::default())
    }
}

impl RequestReader {
    /// Takes bytes that the client has sent.
    ///
    /// # Errors
    /// A refusal when there is no memory for them.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.input.try_reserve(bytes.len()).map_err(|_| Refusal::no_memory())?;
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    /// Goes on as far as the bytes so far allow.
    ///
    /// # Errors
    /// A refusal, after which the reader is of no more use.
    pub fn step(&mut self) -> Result<Step, Refusal> {
        if let Part::Head(lines) = &mut self.part {
            let Some(end) = lines.find_end(&mut self.input)? else {
                let phase = if lines.begun { Phase::Head } else { Phase::Idle };
                if phase == Phase::Idle {
                    self.input.shrink_to(KEPT_BYTES_MAX);
                }
                return Ok(Step::Read(phase));
            };
            let head = head::parse(&self.input[..end])?;
            self.input.drain(..end);
            let chunks = (head.body == BodyLength::Chunked).then(Chunks::new);
            self.part = Part::Body(head, chunks);
        }
        self.body_step()
    }

    fn body_step(&mut self) -> Result<Step, Refusal> {
        let Part::Body(head, chunks) = &mut self.part else { return Ok(Step::Read(Phase::Idle)) };
        if std::mem::take(&mut head.expects_continue) && self.input.is_empty() {
            return Ok(Step::Continue);
        }
        let body = match (chunks, head.body) {
            (Some(chunks), _) => chunks.take(&mut self.input)?,
            (None, BodyLength::Known(length)) if self.input.len() == length => Some(std::mem::take(&mut self.input)),
            (None, BodyLength::Known(length)) if self.input.len() > length => {
                Some(self.input.drain(..length).collect())
            }
            _ => None,
        };
        let Some(body) = body else { return Ok(Step::Read(Phase::Body)) };
        let Part::Body(head, _) = std::mem::take(&mut self.part) else { return Ok(Step::Read(Phase::Idle)) };
        Ok(Step::Request(complete(head, body)))
    }
}

fn complete(head: Head, body: Vec<u8>) -> Incoming {
    let mut forward = head.forward;
    if !body.is_empty() {
        forward.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    Incoming { head: forward, body, keep_alive: head.keep_alive, http_1_0: head.http_1_0, is_head: head.is_head }
}

impl Lines {
    /// The length of the head, once its empty line is there. Says no as early as the bytes allow, because a
    /// client that speaks something else would otherwise wait for the time limit.
    fn find_end(&mut self, input: &mut Vec<u8>) -> Result<Option<usize>, Refusal> {
        if self.scanned == 0 {
            self.begun |= !input.is_empty();
            // Some old clients send an empty line after a body.
            while input.starts_with(b"\r\n") {
                input.drain(..2);
            }
            match input.first() {
                None | Some(b'\r') if input.len() < 2 => return Ok(None),
                Some(first) if is_token(*first) => {}
                _ => return Err(Refusal::bad("this is not HTTP")),
            }
        }
        let end = input.len().min(HEAD_BYTES_MAX);
        while let Some(line_feed) = input[self.scanned..end].iter().position(|b| *b == b'\n') {
            let after = self.scanned + line_feed + 1;
            let Some(line) = input[self.line_start..after].strip_suffix(b"\r\n") else {
                return Err(Refusal::bad("a line of the head ends without a carriage return"));
            };
            if self.line_start == 0 {
                check_version(line)?;
            }
            if line.is_empty() {
                return Ok(Some(after));
            }
            (self.line_start, self.scanned) = (after, after);
        }
        self.scanned = end;
        match end == HEAD_BYTES_MAX {
            false => Ok(None),
            true if self.line_start == 0 => Err(Refusal::new(414, "the request line is too long")),
            true => Err(Refusal::new(431, "the header is too large")),
        }
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn check_version(request_line: &[u8]) -> Result<(), Refusal> {
    match request_line.rsplit(|b| *b == b' ').next() {
        Some(b"HTTP/1.1" | b"HTTP/1.0") => Ok(()),
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::new(505, "only HTTP/1.1 and HTTP/1.0 are spoken here"))
        }
        _ => Err(Refusal::bad("the request line does not end with a version of HTTP")),
    }
}

#[cfg(test)]
mod tests;
