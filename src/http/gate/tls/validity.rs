//! When a certificate expires. Of X.509 no more is read than that. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The tags of DER that are met on the way (X.690, 8.1.2).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The last second of a certificate, in Unix seconds; `None` when this is none (RFC 5280, 4.1).
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (fields, _) = take(certificate, SEQUENCE)?;
    let fields = take(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_serial, rest) = take(fields, INTEGER)?;
    let (_algorithm, rest) = take(rest, SEQUENCE)?;
    let (_issuer, rest) = take(rest, SEQUENCE)?;
    let (validity, _) = take(rest, SEQUENCE)?;
    let (_, not_before, rest) = element(validity)?;
    time(UTC_TIME, not_before).or_else(|| time(GENERALIZED_TIME, not_before))?;
    let (tag, not_after, _) = element(rest)?;
    time(tag, not_after)
}

/// The content of the first element, if it has this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        // So many bytes of length follow.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A time as certificates write it: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` after.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let century = match (tag, text.as_bytes().first()?) {
        (UTC_TIME, b'5'..) => "19",
        (UTC_TIME, _) => "20",
        (GENERALIZED_TIME, _) => "",
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", format!("{century}{text}")).ok()?;
    // The last of all times, 99991231235959Z, means never, and is later than those of the library.
    Some(time.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |time| time.timestamp()).as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000001Z", Some(1)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(Timestamp::MAX.as_second())),
            (GENERALIZED_TIME, "20500101000000", None),
            (UTC_TIME, "501301000000Z", None),
            (INTEGER, "500101000000Z", None),
            (UTC_TIME, "", None),
        ] {
            assert_eq!(time(tag, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let tags = [SEQUENCE, VERSION, INTEGER, UTC_TIME, 0x82, 0x84, 0xff, 0, 1, 2, 5, 13];
            let bytes: Vec<u8> = (0..random.usize(..40)).map(|_| tags[random.usize(..tags.len())]).collect();
            assert_eq!(not_after(&bytes), None, "{bytes:x?}");
        }
    }
}
