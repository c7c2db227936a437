//! How commands end: their output, as tables and colours for a terminal, tabs for a pipe, JSON and YAML for programs;
//! and their failures, as a sentence and an exit code.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use console::{Style, Term, measure_text_width, truncate_str};
use serde::Serialize;
use serde_json::Value;

use super::text::{self, cell, members};
use crate::config::commands::Format;

const GAP: &str = "  ";

/// The least width to which a column is cut, so that it stays recognizable; and that of a column that is cut first.
const WIDTH_MIN: usize = 8;
const WIDTH_FIRST: usize = 12;

/// Why standard output takes no more. A command does everything but printing all the same.
static REFUSED: OnceLock<io::Error> = OnceLock::new();

#[derive(Clone, Copy)]
pub(super) struct Output {
    format: Format,
    terminal: bool,
    color: bool,
}

/// A column of a table: a member of each row's value.
#[derive(Clone, Copy)]
pub(super) struct Column {
    header: &'static str,
    member: &'static str,
    cut: Cut,
    /// What is shown instead of the member.
    instead: Option<(Show, When)>,
}

/// Turns a row's value into the text of a cell.
type Show = fn(&Value) -> String;

/// When something other than the member is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    AtTerminal,
    /// At a terminal, unless everything is to be shown however wide.
    Narrow,
}

/// Which columns are cut if the terminal is narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    /// If there is no other way.
    Last,
    First,
}

impl Column {
    const fn new(header: &'static str, member: &'static str, cut: Cut) -> Column {
        Column { header, member, cut, instead: None }
    }

    /// A column that is never cut.
    pub(super) const fn fixed(header: &'static str, member: &'static str) -> Column {
        Column::new(header, member, Cut::Never)
    }

    pub(super) const fn flexible(header: &'static str, member: &'static str) -> Column {
        Column::new(header, member, Cut::Last)
    }

    /// A column whose beginning says most.
    pub(super) const fn details(header: &'static str, member: &'static str) -> Column {
        Column::new(header, member, Cut::First)
    }

    pub(super) const fn shown(self, instead: Show) -> Column {
        Column { instead: Some((instead, When::Always)), ..self }
    }

    /// Shows a duration instead, for a person at a terminal.
    pub(super) const fn in_words(self, instead: Show) -> Column {
        Column { instead: Some((instead, When::AtTerminal)), ..self }
    }

    /// Shows a short form instead, for a person who has not asked for everything.
    pub(super) const fn in_short(self, instead: Show) -> Column {
        Column { instead: Some((instead, When::Narrow)), ..self }
    }
}

impl Output {
    /// `color` says whether colours are welcome. Without a terminal there are none in any case.
    pub(super) fn new(format: Format, color: bool) -> Output {
        let terminal = io::stdout().is_terminal();
        Output { format, terminal, color: color && terminal && Term::stdout().features().colors_supported() }
    }

    pub(super) fn is_table(self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Whether everything is shown, however wide.
    pub(super) fn is_wide(self) -> bool {
        self.format == Format::Wide
    }

    pub(super) fn is_terminal(self) -> bool {
        self.terminal
    }

    pub(super) fn style(self, style: Style) -> Style {
        style.force_styling(self.color)
    }

    /// Shows a value to programs, or rows to people. The rows are made only if they are needed.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        columns: &[Column],
        rows: impl FnOnce() -> Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        if self.is_table() {
            self.table(columns, rows());
            return Ok(());
        }
        self.value(value)
    }

    /// Shows a list: to programs as it is, to people with a row for each value.
    pub(super) fn list(self, values: &[Value], columns: &[Column]) -> Result<(), Failure> {
        self.show(&values, columns, || values.iter().map(|value| self.row(value, columns)).collect())
    }

    pub(super) fn row(self, value: &Value, columns: &[Column]) -> Vec<String> {
        let cell = |column: &Column| match column.instead {
            Some((instead, When::Always)) => instead(value),
            Some((instead, When::AtTerminal)) if self.terminal => instead(value),
            Some((instead, When::Narrow)) if self.terminal && !self.is_wide() => instead(value),
            _ => cell(&value[column.member]),
        };
        columns.iter().map(cell).collect()
    }

    /// Shows one object: to people with a row for each member.
    pub(super) fn object(self, value: &Value) -> Result<(), Failure> {
        self.show(value, &[Column::fixed("", ""); 2], || members(value))
    }

    /// Prints a value as JSON, or as YAML if that is asked for.
    pub(super) fn value<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::Unavailable(format!("the answer cannot be written: {e}"));
        let text = match self.format {
            Format::Yaml => yaml(value).map_err(|e| failed(&e))?,
            Format::Table | Format::Wide | Format::Json => {
                text::json(&(serde_json::to_string_pretty(value).map_err(|e| failed(&e))? + "\n"))
            }
        };
        print(&text);
        Ok(())
    }

    /// Prints rows for people: on a terminal with a header and without empty columns, otherwise with tabs between all
    /// columns.
    pub(super) fn table(self, columns: &[Column], rows: Vec<Vec<String>>) {
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.iter().map(|cell| text::line(cell)).collect()).collect();
        if !self.terminal {
            let mut text = String::new();
            rows.iter().for_each(|row| text.extend([&row.join("\t"), "\n"]));
            return print(&text);
        }
        let is_empty = |column: usize| rows.iter().all(|row| row[column].is_empty());
        let shown: Vec<usize> = (0..columns.len()).filter(|column| rows.is_empty() || !is_empty(*column)).collect();
        let header: Vec<String> = columns.iter().map(|column| column.header.to_owned()).collect();
        let width_of = |column: usize| rows.iter().chain([&header]).map(move |row| measure_text_width(&row[column]));
        let mut widths: Vec<usize> = shown.iter().map(|column| width_of(*column).max().unwrap_or(0)).collect();
        let usual: Vec<usize> = shown.iter().map(|column| usual(width_of(*column).collect())).collect();
        let screen = usize::from(Term::stdout().size().1);
        if !self.is_wide() {
            let cuts: Vec<Cut> = shown.iter().map(|column| columns[*column].cut).collect();
            fit(&mut widths, &usual, &cuts, screen);
        }
        let line = |row: &Vec<String>| {
            let cells = shown.iter().zip(&widths).map(|(column, width)| {
                let cell = truncate_str(&row[*column], *width, "…");
                let blanks = width.saturating_sub(measure_text_width(&cell));
                format!("{cell}{}", " ".repeat(blanks))
            });
            let line = cells.collect::<Vec<_>>().join(GAP);
            let line = line.trim_end();
            if self.is_wide() { line.to_owned() } else { truncate_str(line, screen, "…").into_owned() }
        };
        let mut text = String::new();
        if header.iter().any(|name| !name.is_empty()) {
            text = format!("{}\n", self.style(Style::new().bold()).apply_to(line(&header)));
        }
        rows.iter().for_each(|row| text.extend([&*line(row), "\n"]));
        print(&text);
    }
}

/// Prints text that must be harmless to a terminal.
fn print(text: &str) {
    let mut output = io::stdout().lock();
    if !is_closed()
        && let Err(e) = output.write_all(text.as_bytes()).and_then(|()| output.flush())
    {
        let _ = REFUSED.set(e);
    }
}

/// Whether standard output takes no more.
pub(super) fn is_closed() -> bool {
    REFUSED.get().is_some()
}

/// Fails unless everything printed has arrived. A reader that closes the pipe early has read enough.
pub(super) fn finish() -> Result<(), Failure> {
    match REFUSED.get() {
        Some(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Usage(format!("standard output did not take the whole answer: {e}")))
        }
        _ => Ok(()),
    }
}

/// A width that is enough for three of four lines.
fn usual(mut widths: Vec<usize>) -> usize {
    widths.sort_unstable();
    widths.get(widths.len() * 3 / 4).or(widths.last()).copied().unwrap_or(0)
}

/// Cuts the widest of the columns that may be cut until all fit. Rarely needed width is cut first, so that one long
/// name does not cost all others theirs.
fn fit(widths: &mut [usize], usual: &[usize], cuts: &[Cut], screen: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > screen {
        let widest = |may_be_cut: &dyn Fn(usize) -> bool| {
            let columns = (0..widths.len()).filter(|at| cuts[*at] != Cut::Never && may_be_cut(*at));
            columns.max_by_key(|at| widths[*at])
        };
        let widest = widest(&|at| widths[at] > usual[at].max(WIDTH_MIN))
            .or_else(|| widest(&|at| cuts[at] == Cut::First && widths[at] > WIDTH_FIRST))
            .or_else(|| widest(&|at| widths[at] > WIDTH_MIN));
        let Some(widest) = widest else { return };
        widths[widest] -= 1;
    }
}

/// YAML that reads back as the same text. Text that could affect a terminal or be misread is in double quotes with
/// escapes.
pub(super) fn yaml<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    write_yaml(&serde_json::to_value(value)?, 0, false, &mut text);
    Ok(text)
}

fn write_yaml(value: &Value, depth: usize, is_item: bool, text: &mut String) {
    let indent = |text: &mut String, is_first: bool| {
        if !(is_first && is_item) {
            text.extend(std::iter::repeat_n("  ", depth));
        }
    };
    match value {
        Value::Array(values) if !values.is_empty() => {
            for (at, value) in values.iter().enumerate() {
                indent(text, at == 0);
                text.push_str("- ");
                write_yaml(value, depth + 1, true, text);
            }
        }
        Value::Object(members) if !members.is_empty() => {
            for (at, (name, value)) in members.iter().enumerate() {
                indent(text, at == 0);
                text.push_str(&scalar(name));
                match value {
                    Value::Array(values) if !values.is_empty() => {
                        text.push_str(":\n");
                        write_yaml(value, depth, false, text);
                    }
                    Value::Object(members) if !members.is_empty() => {
                        text.push_str(":\n");
                        write_yaml(value, depth + 1, false, text);
                    }
                    value => {
                        text.push_str(": ");
                        write_yaml(value, depth, true, text);
                    }
                }
            }
        }
        Value::String(string) => text.extend([&*scalar(string), "\n"]),
        value => text.extend([&*value.to_string(), "\n"]),
    }
}

/// A string in YAML, plain only if it cannot be misread. A string of JSON is one of YAML.
fn scalar(string: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && string.chars().all(is_plain)
        && !string.ends_with(':')
        && !is_word.contains(&&*string.to_ascii_lowercase());
    if plain { string.to_owned() } else { text::yaml(&Value::from(string).to_string()) }
}

/// Prints a line for people to standard error.
pub(super) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", text::lines(line));
}

/// Prints a line of the answer, which must be harmless to a terminal.
pub(super) fn print_line(line: &str) {
    print(&format!("{line}\n"));
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The answer is no: nothing is there, or something differs. Exit code 1.
    No(String),
    /// The server refuses the request. Exit code 2.
    Refused(String),
    /// The command line, a file or a setting is wrong, whatever the server says. Exit code 2.
    Usage(String),
    /// The server cannot be reached or fails, or another program answers. Exit code 3.
    Unavailable(String),
    /// Stopped by a signal; the text says what was done until then. Exit code 130, as in shells.
    Interrupted(String),
}

impl Failure {
    /// The same, followed by what was done before.
    pub(super) fn after(mut self, done: &str) -> Failure {
        let sentence = format!("{self}: {done}");
        let (Failure::No(text)
        | Failure::Refused(text)
        | Failure::Usage(text)
        | Failure::Unavailable(text)
        | Failure::Interrupted(text)) = &mut self;
        *text = sentence;
        self
    }

    pub fn code(&self) -> u8 {
        self.parts().0
    }

    fn parts(&self) -> (u8, &str) {
        match self {
            Failure::No(text) => (1, text),
            Failure::Refused(text) | Failure::Usage(text) => (2, text),
            Failure::Unavailable(text) => (3, text),
            Failure::Interrupted(text) => (130, text),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts().1)
    }
}

impl std::error::Error for Failure {}
