//! The ASCII form in which the bytes of a header value travel through tiny_http, which takes ASCII only.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends bytes as they are, but those outside ASCII as `%XX`. There is no way back: this is for the
/// target, where a client could have written the same itself.
pub(super) fn push_ascii(out: &mut Vec<u8>, bytes: &[u8]) {
    push(out, bytes, |b| !b.is_ascii());
}

/// Appends a header value; [`unescape`] gives back its bytes exactly, because `%` is escaped as well.
pub(super) fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    push(out, value, |b| !b.is_ascii() || b == b'%');
}

fn push(out: &mut Vec<u8>, bytes: &[u8], escaped: impl Fn(u8) -> bool) {
    for &b in bytes {
        if escaped(b) {
            out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        } else {
            out.push(b);
        }
    }
}

/// The bytes of a header value that the gate has escaped.
pub fn unescape(value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let byte = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                digit(*high) << 4 | digit(*low)
            }
            _ => first,
        };
        out.push(byte);
    }
    out
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex.wrapping_sub(b'A') & 15).wrapping_add(10) & 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_value_comes_back() {
        let value: Vec<u8> = (0..=255).collect();
        let mut escaped = Vec::new();
        push_value(&mut escaped, &value);
        assert!(escaped.is_ascii());
        assert_eq!(unescape(std::str::from_utf8(&escaped).unwrap()), value);
    }

    #[test]
    fn only_bytes_outside_ascii_change_in_a_target() {
        let mut target = Vec::new();
        push_ascii(&mut target, "/group?name=zürich%20&x=%".as_bytes());
        assert_eq!(target, b"/group?name=z%C3%BCrich%20&x=%");
    }
}
