//! Where the records of TLS begin and end in what a client sends: that is not encrypted. Pure.

/// A type, a version, and the length of what follows, in the last two bytes (RFC 8446, 5.1).
const HEADER_BYTES: usize = 5;

/// How far the last record has come.
#[derive(Debug, Default)]
pub(in crate::http::gate) struct Records {
    /// How much of its header.
    header: usize,
    /// The last two bytes of that; once they are complete, how many bytes are still to come.
    rest: u16,
}

impl Records {
    /// These bytes have come.
    pub(in crate::http::gate) fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, after @ ..] = bytes {
            if self.header < HEADER_BYTES {
                (self.header, self.rest) = (self.header + 1, self.rest << 8 | u16::from(*first));
                bytes = after;
            } else {
                let passed = bytes.len().min(self.rest.into());
                self.rest -= passed as u16;
                bytes = &bytes[passed..];
            }
            if self.header == HEADER_BYTES && self.rest == 0 {
                *self = Records::default();
            }
        }
    }

    /// Whether a record has begun and not ended.
    pub(in crate::http::gate) fn end_amid(&self) -> bool {
        self.header > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_record_is_known_however_the_bytes_come() {
        let record = |length: u16| {
            let [high, low] = length.to_be_bytes();
            [&[0x17, 3, 3, high, low][..], &vec![0x16; length.into()]].concat()
        };
        let sent = [record(1), record(0), record(300), record(16 * 1024), record(u16::MAX)].concat();
        let ends = [0, 6, 11, 316, 16_705, 82_245];
        for step in [1, 2, 3, 5, 7, 4096, sent.len()] {
            let (mut records, mut passed) = (Records::default(), 0);
            for part in sent.chunks(step) {
                records.pass(part);
                passed += part.len();
                assert_eq!(records.end_amid(), !ends.contains(&passed), "after {passed}, {step} at a time");
            }
            assert_eq!(passed, sent.len());
        }
    }
}
