//! One line per event: `ts=... level=... msg="..." key=value ...`, with values quoted where they need it,
//! so that no client can forge a line. A flood cannot multiply the lines, either.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use log::LevelFilter;
use log::kv::{self, Key, Value, VisitSource};
use parking_lot::Mutex;

/// Sends the log to standard error through this filter (see `env_logger`); without the lines of the muted modules,
/// unless the filter names them.
pub fn start(filter: &str, muted: &[&str]) {
    let mut builder = env_logger::Builder::new();
    for module in muted {
        builder.filter_module(module, LevelFilter::Off);
    }
    builder
        .parse_filters(filter)
        .format(|out, record| {
            let mut line =
                format!("ts={} level={} msg=", out.timestamp_millis(), record.level().as_str().to_lowercase());
            write_value(&mut line, &record.args().to_string());
            // A value that cannot be printed is left out; the event is not.
            let _ = record.key_values().visit(&mut Pairs(&mut line));
            line.push('\n');
            out.write_all(line.as_bytes()) as io::Result<()>
        })
        .init();
}

struct Pairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        write!(self.0, " {key}=")?;
        write_value(self.0, &value.to_string());
        Ok(())
    }
}

/// The longest value in characters: clients choose some of them, and could fill the disk.
const VALUE_CHARS_MAX: usize = 500;

fn write_value(line: &mut String, value: &str) {
    let end = value.char_indices().nth(VALUE_CHARS_MAX).map(|(end, _)| end);
    let shown = &value[..end.unwrap_or(value.len())];
    let plain = |c: char| c.is_alphanumeric() || "-_.:,/+@[]%*".contains(c);
    if !shown.is_empty() && shown.chars().all(plain) {
        line.push_str(shown);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(line, "{shown:?}");
    }
    if end.is_some() {
        line.push_str("...");
    }
}

/// How often an event that a flood multiplies may be logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Lets one log line per second through and counts the others.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Throttled>);

#[derive(Debug, Default)]
struct Throttled {
    last: Option<Instant>,
    untold: u64,
}

impl Throttle {
    /// Counts an event. If a line may be written now, returns how many events it stands for, this one included.
    pub fn admit(&self) -> Option<u64> {
        let mut state = self.0.lock();
        state.untold += 1;
        let now = Instant::now();
        if state.last.is_some_and(|last| now.duration_since(last) < LOG_INTERVAL) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}
