//! Times as people read them: how long ago, how long still.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The units, with their lengths in seconds.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// The largest two units of a duration, such as `5h59m`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let Some(first) = UNITS.iter().position(|(_, length)| seconds >= *length) else { return "0s".to_owned() };
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, length) in &UNITS[first..UNITS.len().min(first + 2)] {
        if rest / length > 0 {
            text += &format!("{}{unit}", rest / length);
        }
        rest %= length;
    }
    text
}

/// A lifetime in seconds, of which 0 is for ever.
pub(super) fn lifetime(seconds: u64) -> String {
    if seconds == 0 { "never".to_owned() } else { duration(Duration::from_secs(seconds)) }
}

/// How long it is until this time as the server writes it; null is never.
pub(super) fn until(time: &Value) -> String {
    match (time, instant(time)) {
        (Value::Null, _) => "never".to_owned(),
        (_, Some(time)) => time.duration_since(SystemTime::now()).map_or_else(|_| "due".to_owned(), duration),
        _ => String::new(),
    }
}

/// How long ago this time was; null is not known.
pub(super) fn since(time: &Value) -> String {
    let ago = |time: SystemTime| duration(SystemTime::now().duration_since(time).unwrap_or_default());
    instant(time).map(|time| format!("{} ago", ago(time))).unwrap_or_default()
}

fn instant(time: &Value) -> Option<SystemTime> {
    let timestamp: jiff::Timestamp = time.as_str()?.parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::try_from(timestamp.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_two_units_at_most() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m1s"),
            (3599, "59m59s"),
            (3600, "1h"),
            (21_599, "5h59m"),
            (86_400, "1d"),
            (90_061, "1d1h"),
            (86_461, "1d"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
        assert_eq!((lifetime(0), lifetime(600)), ("never".to_owned(), "10m".to_owned()));
    }

    #[test]
    fn times_are_those_of_the_server() {
        let hour = SystemTime::now() + Duration::from_secs(3605);
        let text = jiff::Timestamp::try_from(hour).unwrap().to_string();
        assert!(until(&Value::from(text)).starts_with("1h"));
        assert_eq!(until(&Value::Null), "never");
        assert_eq!(until(&Value::from("2020-01-01T00:00:00Z")), "due");
        assert_eq!(since(&Value::Null), "");
        assert!(
            since(&Value::from("2020-01-01T00:00:00Z")).ends_with("d ago")
                || since(&Value::from("2020-01-01T00:00:00Z")).contains('d')
        );
    }
}
