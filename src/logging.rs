//! One line per event: `ts=... level=... msg="..." key=value ...`, with values quoted where necessary, or one JSON
//! object with the same keys. No client can forge a line, and no flood of events makes a flood of lines.

mod queue;

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::time::{Duration, Instant};

use env_logger::Target;
use log::kv::{self, Key, Value, VisitSource, VisitValue};
use log::{LevelFilter, error};
use parking_lot::Mutex;
use serde_json::Value as Json;

pub use queue::{End, print};

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Which events are logged, in the syntax of `env_logger`.
    pub filter: String,
    pub format: Format,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `key=value` pairs.
    Logfmt,
    Json,
}

/// Sends the log to standard error, without the events of the muted modules unless the filter names them. The last lines
/// may still be on their way when the program ends, unless it drops an [`End`].
pub fn start(logging: &Logging, muted: &[&str]) {
    let mut builder = env_logger::Builder::new();
    for module in muted {
        builder.filter_module(module, LevelFilter::Off);
    }
    // Without that thread, whoever logs writes.
    if queue::start().is_ok() {
        builder.target(Target::Pipe(Box::new(queue::Input)));
    }
    let format = logging.format;
    builder
        .parse_filters(&logging.filter)
        .format(move |out, record| {
            let mut line = Line { text: String::new(), format };
            line.add("ts", &Value::from_display(&out.timestamp_millis()));
            line.add("level", &record.level().as_str().to_lowercase().as_str().into());
            line.add("msg", &Value::from_display(record.args()));
            // A value that cannot be printed is left out; the event is not.
            let _ = record.key_values().visit(&mut line);
            out.write_all(line.end().as_bytes()) as io::Result<()>
        })
        .init();
    if format == Format::Json {
        panic::set_hook(Box::new(log_panic));
    }
}

/// Logs a panic as an event, for readers that expect only JSON.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = info.location().map(ToString::to_string);
    let said = info.payload();
    let reason = said.downcast_ref::<&str>().copied().or_else(|| said.downcast_ref::<String>().map(String::as_str));
    error!(thread = thread.name(), location = location.as_deref(), reason; "a thread panicked");
}

/// The line of an event.
struct Line {
    text: String,
    format: Format,
}

impl Line {
    fn add(&mut self, key: &str, value: &Value<'_>) {
        let is_first = self.text.is_empty();
        match self.format {
            Format::Logfmt => {
                self.text.push_str(if is_first { "" } else { " " });
                self.text.push_str(key);
                self.text.push('=');
                write_value(&mut self.text, &value.to_string());
            }
            Format::Json => {
                self.text.push(if is_first { '{' } else { ',' });
                self.write(Json::from(key));
                self.text.push(':');
                // A value that cannot be printed is left out.
                let _ = value.visit(self);
            }
        }
    }

    fn end(mut self) -> String {
        self.text.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
        self.text
    }

    /// Writing to a string cannot fail.
    fn write(&mut self, value: impl Display) {
        let _ = write!(self.text, "{value}");
    }
}

impl<'kvs> VisitSource<'kvs> for Line {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.add(key.as_str(), &value);
        Ok(())
    }
}

/// The value of a pair in JSON.
impl<'v> VisitValue<'v> for Line {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        let integer = value.to_u64().map(Json::from).or_else(|| value.to_i64().map(Json::from));
        let other = || value.to_bool().map(Json::from).or_else(|| value.to_f64().map(Json::from));
        match integer.or_else(other) {
            Some(json) => self.write(json),
            None => return self.visit_str(&value.to_string()),
        }
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        let (shown, rest) = shown(value);
        self.write(Json::from(format!("{shown}{rest}")));
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.write(Json::Null);
        Ok(())
    }
}

/// The longest value, in characters: clients choose some values, and could fill the disk.
const VALUE_CHARS_MAX: usize = 500;

/// The part of a value that is shown, and the mark for the rest.
fn shown(value: &str) -> (&str, &str) {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => (&value[..end], "..."),
        None => (value, ""),
    }
}

fn write_value(line: &mut String, value: &str) {
    let (shown, rest) = shown(value);
    let plain = |c: char| c.is_alphanumeric() || "-_.:,/+@[]%*".contains(c);
    if !shown.is_empty() && shown.chars().all(plain) {
        line.push_str(shown);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(line, "{shown:?}");
    }
    line.push_str(rest);
}

/// The shortest time between two lines for an event that a flood may repeat.
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

/// A text that is logged once, until it changes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct News(Option<String>);

impl News {
    /// Whether this text must be logged, because it differs from the last one.
    pub fn is(&mut self, text: &str) -> bool {
        let is_news = self.0.as_deref() != Some(text);
        self.0 = Some(text.to_owned());
        is_news
    }

    /// Forgets the last text, so that the next one is logged. Returns whether there was one.
    pub fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use log::kv::ToValue;

    use super::*;

    fn line(format: Format, pairs: &[(&str, Value<'_>)]) -> String {
        let mut line = Line { text: String::new(), format };
        pairs.iter().for_each(|(key, value)| line.add(key, value));
        line.end()
    }

    #[test]
    fn both_formats_say_the_same_and_cannot_be_forged() {
        let pairs = [
            ("msg", Value::from("two words")),
            ("text", Value::from("a\"b\\\n\u{1b}{}=ü")),
            ("number", Value::from(7_u16)),
            ("negative", Value::from(-7_i64)),
            ("half", Value::from(0.5)),
            ("yes", Value::from(true)),
            ("none", None::<&str>.to_value()),
            ("shown", Value::from_display(&12)),
            ("empty", Value::from("")),
        ];
        let logfmt = "msg=\"two words\" text=\"a\\\"b\\\\\\n\\u{1b}{}=ü\" number=7 negative=-7 half=0.5 yes=true none=None shown=12 empty=\"\"\n";
        assert_eq!(line(Format::Logfmt, &pairs), logfmt);
        let json = r#"{"msg":"two words","text":"a\"b\\\n\u001b{}=ü","number":7,"negative":-7,"half":0.5,"yes":true,"none":null,"shown":"12","empty":""}"#;
        assert_eq!(line(Format::Json, &pairs), format!("{json}\n"));
    }

    #[test]
    fn no_value_fills_the_disk() {
        let long = "\u{7}".repeat(2 * VALUE_CHARS_MAX);
        for format in [Format::Logfmt, Format::Json] {
            let line = line(format, &[("long", Value::from(long.as_str()))]);
            assert!(line.contains("...") && line.len() < 7 * VALUE_CHARS_MAX, "{line}");
        }
        let nan: Json = serde_json::from_str(&line(Format::Json, &[("nan", Value::from(f64::NAN))])).unwrap();
        assert_eq!(nan["nan"], Json::Null);
    }
}
