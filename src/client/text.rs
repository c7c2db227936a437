//! Values as text: cells of tables, times as people read them (how long ago, how long still), and text from elsewhere,
//! made harmless to a terminal: control characters and those that direct writing (such as U+202E) become escapes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The text, with everything that does not print as itself escaped as in Rust.
pub(super) fn line(text: &str) -> String {
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return text.to_owned();
    }
    // Quotes and backslashes are harmless and stay.
    let quoted = format!("{text:?}");
    let mut chars = quoted[1..quoted.len() - 1].chars();
    let mut out = String::with_capacity(quoted.len());
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(quote @ ('"' | '\\' | '\''))) => {
                out.push(quote);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// JSON with an escape for each such character; they are only in strings, where the escape means the same.
pub(super) fn json(json: &str) -> String {
    escaped(json, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// A string of JSON as one of YAML, with an escape for each such character.
pub(super) fn yaml(json: &str) -> String {
    escaped(json, |c, out| {
        let number = u32::from(c);
        out.push_str(&if number > 0xffff { format!("\\U{number:08x}") } else { format!("\\u{number:04x}") });
    })
}

/// Lines with an escape for each such character, except the line ends.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |c, out| out.extend(c.escape_default()))
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let shows = c == '\n' || c == ' ' || c.is_ascii_graphic() || !c.is_ascii() && c.escape_debug().len() == 1;
        if shows { out.push(c) } else { escape(c, &mut out) }
    }
    out
}

/// The members of an answer as rows of path and value.
pub(super) fn members(value: &Value) -> Vec<Vec<String>> {
    fn add(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    add(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, rows);
                }
            }
            value => rows.push(vec![path.to_owned(), cell(value)]),
        }
    }
    let mut rows = Vec::new();
    add("", value, &mut rows);
    rows
}

/// A value as the cell of a table; null is empty.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(members) => {
            // Labels that relabelling removes come last.
            let (hidden, own): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| name.starts_with("__"));
            let member = |(name, value): (&String, &Value)| match value.as_str() {
                Some(text) if is_one_word(text) => format!("{name}={text}"),
                _ => format!("{name}={value}"),
            };
            own.into_iter().chain(hidden).map(member).collect::<Vec<_>>().join(",")
        }
        value => value.to_string(),
    }
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_./:@+".contains(c))
}

/// The beginning of an id, enough for a person to tell it from others.
pub(super) fn short_id(id: &Value) -> String {
    cell(id).chars().take(8).collect()
}

/// A number of things: `1 registration`, `2 registrations`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

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

/// A lifetime in seconds; 0 means for ever.
pub(super) fn lifetime(seconds: &Value) -> String {
    match seconds.as_u64() {
        Some(0) => "never".to_owned(),
        Some(seconds) => duration(Duration::from_secs(seconds)),
        None => String::new(),
    }
}

/// The time left until this instant of the server; null is never.
pub(super) fn until(time: &Value) -> String {
    match (time, instant(time)) {
        (Value::Null, _) => "never".to_owned(),
        (_, Some(time)) => time.duration_since(SystemTime::now()).map_or_else(|_| "due".to_owned(), duration),
        _ => String::new(),
    }
}

/// How long ago this instant was; null is unknown.
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
    fn a_terminal_is_told_nothing() {
        assert_eq!(line("a\u{1b}[31mb\u{9b}c\u{202e}\nü\"\\'"), "a\\u{1b}[31mb\\u{9b}c\\u{202e}\\nü\"\\'");
        assert_eq!(json("{\n\"\u{9b}ü\u{e0001}\"}"), "{\n\"\\u009bü\\udb40\\udc01\"}");
        assert_eq!(lines("a\u{1b}\nb"), "a\\u{1b}\nb");
    }

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
        assert_eq!((lifetime(&Value::from(0)), lifetime(&Value::from(600))), ("never".to_owned(), "10m".to_owned()));
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
