//! The chunked transfer coding, decoded as its bytes arrive. Pure.

use super::limits::HEAD_BYTES_MAX;
use crate::http::response::Refusal;

/// The longest line with the size of a chunk, in bytes; extensions are allowed and ignored.
const SIZE_LINE_BYTES_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Chunks {
    body: Vec<u8>,
    expected: Expected,
    trailer_bytes: usize,
}

#[derive(Debug)]
enum Expected {
    Size,
    Data(usize),
    /// The line end after the data of a chunk.
    DataEnd,
    Trailer,
}

/// How far a body has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Part,
    /// The last chunk and the trailer have arrived.
    Whole(Vec<u8>),
    /// The next chunk would make the body larger than it may be, and is left in the input.
    TooLarge,
}

impl Chunks {
    pub(super) fn new() -> Chunks {
        Chunks { body: Vec::new(), expected: Expected::Size, trailer_bytes: 0 }
    }

    /// Takes what it can from the front of `input`, as long as the body has no more than `bytes_max`.
    pub(super) fn take(&mut self, input: &mut Vec<u8>, bytes_max: usize) -> Result<Taken, Refusal> {
        let mut rest = input.as_slice();
        let taken = self.advance(&mut rest, bytes_max)?;
        let used = input.len() - rest.len();
        input.drain(..used);
        Ok(taken)
    }

    fn advance(&mut self, input: &mut &[u8], bytes_max: usize) -> Result<Taken, Refusal> {
        loop {
            match self.expected {
                Expected::Size => {
                    let before = *input;
                    let Some(line) = take_line(input, SIZE_LINE_BYTES_MAX)? else { return Ok(Taken::Part) };
                    self.expected = match chunk_size(line)? {
                        0 => Expected::Trailer,
                        size if size > bytes_max.saturating_sub(self.body.len()) as u64 => {
                            *input = before;
                            return Ok(Taken::TooLarge);
                        }
                        size => Expected::Data(size as usize),
                    };
                }
                Expected::Data(left) => {
                    let (data, rest) = input.split_at(left.min(input.len()));
                    self.body.try_reserve(data.len()).map_err(|_| Refusal::no_memory())?;
                    self.body.extend_from_slice(data);
                    *input = rest;
                    if data.len() < left {
                        self.expected = Expected::Data(left - data.len());
                        return Ok(Taken::Part);
                    }
                    self.expected = Expected::DataEnd;
                }
                Expected::DataEnd => match input.split_at_checked(2) {
                    None => return Ok(Taken::Part),
                    Some((b"\r\n", rest)) => {
                        *input = rest;
                        self.expected = Expected::Size;
                    }
                    Some(_) => return Err(Refusal::bad("a chunk is longer than its size")),
                },
                Expected::Trailer => {
                    let Some(line) = take_line(input, HEAD_BYTES_MAX)? else { return Ok(Taken::Part) };
                    self.trailer_bytes += line.len();
                    if self.trailer_bytes > HEAD_BYTES_MAX {
                        return Err(Refusal::new(431, "the trailer is too large"));
                    }
                    if line == b"\r\n" {
                        return Ok(Taken::Whole(std::mem::take(&mut self.body)));
                    }
                }
            }
        }
    }
}

/// Takes a line with its CRLF from the front of `input`, once it is complete.
fn take_line<'a>(input: &mut &'a [u8], bytes_max: usize) -> Result<Option<&'a [u8]>, Refusal> {
    let Some(end) = input.iter().take(bytes_max).position(|b| *b == b'\n') else {
        return match input.len() < bytes_max {
            true => Ok(None),
            false => Err(Refusal::bad("a line of the chunked body is too long")),
        };
    };
    let (line, rest) = input.split_at(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(Refusal::bad("a line of the chunked body does not end with CRLF"));
    }
    *input = rest;
    Ok(Some(line))
}

fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    // httparse takes a line without digits for zero.
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((end, size))) if end == line.len() && line[0].is_ascii_hexdigit() => Ok(size),
        _ => Err(Refusal::bad("the size of a chunk is malformed")),
    }
}
