//! Durations as Prometheus writes them, such as `90s` or `1h30m`.

use std::time::Duration;

/// The units in the order in which they may follow each other, with their lengths in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration by the rules of Prometheus: whole numbers with units, each unit once and the larger ones first, or
/// just `0`. `None` for anything else, and for more than 292 years.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
        rest = after;
    }
    (!text.is_empty() && total <= i64::MAX as u64 / 1_000_000).then_some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_takes_is_read() {
        for (text, seconds) in [("0", 0.0), ("15s", 15.0), ("1h30m", 5400.0), ("1w2d", 777_600.0), ("1m500ms", 60.5)] {
            assert_eq!(parse(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn what_prometheus_refuses_is_none() {
        for text in ["", "s", "15", "1.5h", "-1s", "1m1h", "1s1s", "1 s", "1S", "99999999999y", "never"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
