//! A gzip stream (RFC 1952) put together from pieces that were compressed one by one, so that a change
//! compresses its segment alone. Each piece ends at a byte boundary and refers to nothing before it.

use std::iter;
use std::sync::Arc;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// No file name, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A compressed piece and what the trailer has to know of it.
#[derive(Debug)]
pub(super) struct Piece {
    deflated: Arc<[u8]>,
    crc: Crc,
}

impl Piece {
    /// Compresses some bytes for a place in the middle of a stream.
    pub(super) fn new(bytes: &[u8]) -> Piece {
        let mut crc = Crc::new();
        crc.update(bytes);
        let mut out = Vec::with_capacity(bytes.len() / 4 + 64);
        let mut deflate = Compress::new(Compression::fast(), false);
        loop {
            let rest = &bytes[usize::try_from(deflate.total_in()).unwrap_or(bytes.len())..];
            // Compressing into memory that is made larger when it is full cannot fail.
            let status = deflate.compress_vec(rest, &mut out, FlushCompress::Full);
            let done = deflate.total_in() == bytes.len() as u64 && out.len() < out.capacity();
            if done || !matches!(status, Ok(Status::Ok)) {
                break;
            }
            out.reserve(out.capacity().max(64));
        }
        Piece { deflated: out.into(), crc }
    }

    pub(super) fn len(&self) -> usize {
        self.deflated.len()
    }
}

/// A stream under construction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    parts: Vec<Arc<[u8]>>,
    crc: Crc,
}

impl Stream {
    pub(super) fn piece(&mut self, piece: &Piece) {
        self.parts.push(piece.deflated.clone());
        self.crc.combine(&piece.crc);
    }

    /// Appends a few bytes as they are.
    pub(super) fn plain(&mut self, bytes: &[u8]) {
        self.parts.push(stored_block(bytes, false).into());
        self.crc.update(bytes);
    }

    /// Appends the last few bytes and ends the stream.
    pub(super) fn finish(mut self, bytes: &[u8]) -> Vec<Arc<[u8]>> {
        self.crc.update(bytes);
        let mut end = stored_block(bytes, true);
        end.extend_from_slice(&self.crc.sum().to_le_bytes());
        end.extend_from_slice(&self.crc.amount().to_le_bytes());
        let header = iter::once(Arc::from(&HEADER[..]));
        header.chain(self.parts).chain(iter::once(end.into())).collect()
    }
}

/// Bytes as a block without compression (RFC 1951, 3.2.4), which starts and ends at a byte boundary.
fn stored_block(bytes: &[u8], last: bool) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut block = vec![u8::from(last)];
    block.extend_from_slice(&len.to_le_bytes());
    block.extend_from_slice(&(!len).to_le_bytes());
    block.extend_from_slice(&bytes[..usize::from(len)]);
    block
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_of_every_kind_make_one_stream_that_others_can_read() {
        let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let pieces = [Vec::new(), b"x".to_vec(), b"abc".repeat(50_000), noise];
        let (mut stream, mut plain) = (Stream::default(), b"[".to_vec());
        stream.plain(b"[");
        for piece in &pieces {
            stream.piece(&Piece::new(piece));
            stream.plain(b",");
            plain.extend_from_slice(piece);
            plain.push(b',');
        }
        let bytes = stream.finish(b"]\n").concat();
        plain.extend_from_slice(b"]\n");
        let mut read = Vec::new();
        // This reader checks length and checksum, and would stop at the end of a first member.
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut read).unwrap();
        assert!(read == plain);
    }
}
