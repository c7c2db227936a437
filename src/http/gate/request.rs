//! The request reader: bytes in, complete and bounded requests out. It knows no socket and no clock.

use super::chunks::Taken;
use super::head::{self, Extent, Head};
pub use super::head::{ConnectionField, Incoming};
use super::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, LARGE_BODY_BYTES_MAX};
use crate::http::request::Request;
use crate::http::response::Refusal;

/// How much buffer a connection keeps while it waits for the next request, in bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// What the reader asks of its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Read(Phase),
    /// Tell the client to go on with the body.
    Continue,
    /// The body is larger than [`BODY_BYTES_MAX`]: call [`RequestReader::allow_large_body`], or give up. The request
    /// has no body yet.
    LargeBody {
        request: Request,
    },
    Request(Incoming),
}

/// What the reader waits for; each has its own time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first byte of a request.
    Idle,
    Head,
    Body,
    /// A large body that has been permitted.
    LargeBody,
}

/// Finds the requests in the bytes of one connection.
#[derive(Debug, Default)]
pub struct RequestReader {
    input: Vec<u8>,
    part: Part,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each connection")]
enum Part {
    Lines(Lines),
    Body(Head),
}

/// How far the lines of a head have been scanned, so that a client that sends single bytes costs no more than one that
/// sends all at once.
#[derive(Debug, Default)]
struct Lines {
    line_start: usize,
    scanned: usize,
    begun: bool,
}

impl Default for Part {
    fn default() -> Part {
        Part::Lines(Lines::default())
    }
}

impl RequestReader {
    /// Takes bytes that the client has sent.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.input.try_reserve(bytes.len()).map_err(|_| Refusal::no_memory())?;
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    /// Goes as far as the received bytes allow.
    pub fn step(&mut self) -> Result<Step, Refusal> {
        if let Part::Lines(lines) = &mut self.part {
            let Some(end) = lines.find_end(&mut self.input)? else {
                let phase = if lines.begun { Phase::Head } else { Phase::Idle };
                if phase == Phase::Idle {
                    self.input.shrink_to(KEPT_BYTES_MAX);
                }
                return Ok(Step::Read(phase));
            };
            self.part = Part::Body(head::parse(&self.input[..end])?);
            self.input.drain(..end);
        }
        self.body_step()
    }

    /// What is known of a request that is incomplete or faulty: its method and its path at least.
    pub fn begun(&self) -> Option<Request> {
        match &self.part {
            Part::Body(head) => Some(head.incoming.request.clone()),
            Part::Lines(_) => head::request_line(&self.input),
        }
    }

    /// How many bytes the body that has just begun may have; none if it will be refused.
    pub fn large_body_bytes(&self) -> usize {
        match &self.part {
            Part::Body(Head { body: Extent::Chunked(_), .. }) => LARGE_BODY_BYTES_MAX,
            Part::Body(Head { body: Extent::Known(length), .. }) if *length <= LARGE_BODY_BYTES_MAX as u64 => {
                *length as usize
            }
            _ => 0,
        }
    }

    /// Lets the body of the request that has just begun be as large as [`LARGE_BODY_BYTES_MAX`].
    pub fn allow_large_body(&mut self) -> Result<(), Refusal> {
        let Part::Body(head) = &mut self.part else { return Ok(()) };
        head.bytes_max = LARGE_BODY_BYTES_MAX;
        match head.body {
            Extent::Known(length) if length <= LARGE_BODY_BYTES_MAX as u64 => {
                let more = (length as usize).saturating_sub(self.input.len());
                self.input.try_reserve_exact(more).map_err(|_| Refusal::no_memory())
            }
            _ => Ok(()),
        }
    }

    fn body_step(&mut self) -> Result<Step, Refusal> {
        let Part::Body(head) = &mut self.part else { return Ok(Step::Read(Phase::Idle)) };
        if matches!(head.body, Extent::Known(length) if length > head.bytes_max as u64) {
            return head.too_large();
        }
        if std::mem::take(&mut head.expects_continue) && self.input.is_empty() {
            return Ok(Step::Continue);
        }
        match head.take_body(&mut self.input)? {
            Taken::Part => Ok(Step::Read(head.phase())),
            Taken::TooLarge => head.too_large(),
            Taken::Whole(body) => {
                let mut incoming = std::mem::take(&mut head.incoming);
                incoming.request.body = body;
                self.part = Part::default();
                Ok(Step::Request(incoming))
            }
        }
    }
}

impl Head {
    fn take_body(&mut self, input: &mut Vec<u8>) -> Result<Taken, Refusal> {
        match &mut self.body {
            Extent::Chunked(chunks) => chunks.take(input, self.bytes_max),
            Extent::Known(0) => Ok(Taken::Whole(Vec::new())),
            Extent::Known(length) if input.len() as u64 >= *length => {
                let rest = input.split_off(*length as usize);
                Ok(Taken::Whole(std::mem::replace(input, rest)))
            }
            Extent::Known(_) => Ok(Taken::Part),
        }
    }

    fn too_large(&self) -> Result<Step, Refusal> {
        match self.phase() {
            Phase::LargeBody => Err(Refusal::new(413, "the body is larger than 8388608 bytes")),
            _ => Ok(Step::LargeBody { request: self.incoming.request.clone() }),
        }
    }

    fn phase(&self) -> Phase {
        if self.bytes_max > BODY_BYTES_MAX { Phase::LargeBody } else { Phase::Body }
    }
}

impl Lines {
    /// The length of the head, once its empty line is there. Fails as early as the bytes allow: a client that speaks
    /// another protocol would otherwise wait for the time limit.
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
                _ => return Err(Refusal::bad("this is not an HTTP request")),
            }
        }
        let end = input.len().min(HEAD_BYTES_MAX);
        while let Some(line_feed) = input[self.scanned..end].iter().position(|b| *b == b'\n') {
            let after = self.scanned + line_feed + 1;
            let Some(line) = input[self.line_start..after].strip_suffix(b"\r\n") else {
                return Err(Refusal::bad("a header line does not end with CRLF"));
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
            Err(Refusal::new(505, "only HTTP/1.1 and HTTP/1.0 are supported"))
        }
        _ => Err(Refusal::bad("the request line does not end with an HTTP version")),
    }
}

#[cfg(test)]
mod tests;
