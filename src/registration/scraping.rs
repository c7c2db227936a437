//! Labels that tell Prometheus how to scrape a target, interpreted as Prometheus does. If it cannot use a value, it
//! drops the target or scrapes something else, and the owner does not learn of it.

use std::borrow::Cow;
use std::time::Duration;

use super::checked::Registration;
use super::document::Content;

const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";

/// A label for which a target is not scraped as intended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeFault {
    pub label: &'static str,
    /// What is wrong with its value.
    pub reason: &'static str,
}

impl Registration {
    pub fn scrape_faults(&self) -> Vec<ScrapeFault> {
        let value = |name: &str| self.fields.labels.as_ref()?.get(name);
        scrape_faults(|name| value(name).map(|value| Cow::from(value.as_str())))
    }
}

impl Content {
    /// Most registrations have no such label, and nothing is decoded.
    pub fn scrape_faults(&self) -> Vec<ScrapeFault> {
        match memchr::memmem::find(self.labels_json(), b"\"__") {
            Some(_) => scrape_faults(|name| self.label(name)),
            None => Vec::new(),
        }
    }
}

/// The faults of labels with these values. An empty value counts as absent: the job's own value applies.
pub(super) fn scrape_faults<'a>(value: impl Fn(&str) -> Option<Cow<'a, str>>) -> Vec<ScrapeFault> {
    let given = |name: &str| value(name).filter(|value| !value.is_empty());
    let mut faults = Vec::new();
    let mut fault = |label, reason| faults.push(ScrapeFault { label, reason });
    if given(SCHEME).is_some_and(|scheme| !["http", "https"].contains(&&*scheme)) {
        fault(SCHEME, "expected http or https");
    }
    if given(PATH).is_some_and(|path| path.contains('?')) {
        fault(PATH, "Prometheus asks for a path with %3F in it; parameters are labels of their own, __param_NAME");
    }
    let mut duration = |name| -> Option<Duration> {
        let text = given(name)?;
        let duration = parse_duration(&text).filter(|duration| !duration.is_zero());
        if duration.is_none() {
            fault(name, "expected a duration such as 30s or 1m30s, not 0");
        }
        duration
    };
    let (interval, timeout) = (duration(INTERVAL), duration(TIMEOUT));
    if interval.zip(timeout).is_some_and(|(interval, timeout)| timeout > interval) {
        fault(TIMEOUT, "expected no more than __scrape_interval__");
    }
    faults
}

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

/// Parses a duration by the rules of Prometheus, such as `90s` or `1h30m`: whole numbers with units, each unit once and
/// the larger ones first, or just `0`. `None` for anything else, and for more than 292 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
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

    #[track_caller]
    fn check(labels: &[(&str, &str)], faulty: &[&str]) {
        let value = |name: &str| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| Cow::from(*value));
        let found: Vec<&str> = scrape_faults(value).iter().map(|fault| fault.label).collect();
        assert_eq!(found, faulty, "{labels:?}");
    }

    /// `prometheus::what_it_drops_is_a_problem` asks a real Prometheus about the same values.
    #[test]
    fn each_label_is_read_as_prometheus_reads_it() {
        for (label, right, wrong) in [
            (SCHEME, &["http", "https", ""][..], &["ftp", "HTTP", " http"][..]),
            (PATH, &["/metrics", "metrics", "/a b", ""], &["/probe?x=1", "?"]),
            (INTERVAL, &["15s", "1h30m", "1ms", ""], &["0", "0s", "15", "1.5s", "-1s", "1m1h", "soon", " 15s"]),
            (TIMEOUT, &["15s", "1w", ""], &["0", "10", "never"]),
            ("__param_x", &["", "?", "ftp"], &[]),
            ("scrape_interval", &["soon"], &[]),
        ] {
            right.iter().for_each(|value| check(&[(label, value)], &[]));
            wrong.iter().for_each(|value| check(&[(label, value)], &[label]));
        }
    }

    #[test]
    fn a_timeout_is_not_longer_than_its_interval() {
        check(&[(INTERVAL, "1m"), (TIMEOUT, "60s")], &[]);
        check(&[(INTERVAL, "1m"), (TIMEOUT, "61s")], &[TIMEOUT]);
        check(&[(INTERVAL, "0"), (TIMEOUT, "61s"), (SCHEME, "x")], &[SCHEME, INTERVAL]);
    }

    #[test]
    fn what_prometheus_takes_is_read() {
        for (text, seconds) in [("0", 0.0), ("15s", 15.0), ("1h30m", 5400.0), ("1w2d", 777_600.0), ("1m500ms", 60.5)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn what_prometheus_refuses_is_none() {
        for text in ["", "s", "15", "1.5h", "-1s", "1m1h", "1s1s", "1 s", "1S", "99999999999y", "never"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
