//! How answers are written: tables and colours for a terminal, tabs for a pipe, JSON and YAML for programs.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use console::{Style, Term, measure_text_width, truncate_str};
use serde::Serialize;
use serde_json::Value;

use super::{Failure, terminal};
use crate::config::commands::Format;

/// Between two columns.
const GAP: &str = "  ";

/// A column is cut to no less than this, so that one sees what it is; one that may be cut first, to the second.
const WIDTH_MIN: usize = 8;
const WIDTH_FIRST: usize = 12;

/// Why standard output takes nothing any more. What a command does beside printing, it does all the same.
static REFUSED: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output.
#[derive(Clone, Copy)]
pub(super) struct Output {
    format: Format,
    terminal: bool,
    color: bool,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) header: &'static str,
    cut: Cut,
}

/// Which columns are cut where the terminal is narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    /// When there is no other way.
    Last,
    First,
}

impl Column {
    /// One that is always shown whole.
    pub(super) const fn fixed(header: &'static str) -> Column {
        Column { header, cut: Cut::Never }
    }

    pub(super) const fn flexible(header: &'static str) -> Column {
        Column { header, cut: Cut::Last }
    }

    /// One of which the beginning says most.
    pub(super) const fn details(header: &'static str) -> Column {
        Column { header, cut: Cut::First }
    }
}

impl Output {
    /// `color` is whether colours are welcome; there are none without a terminal in any case.
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

    /// A value for programs, or rows for people, which are made only if they are wanted.
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

    /// A value as JSON, or as YAML if that is wanted.
    pub(super) fn value<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::Unavailable(format!("the answer cannot be written: {e}"));
        let text = match self.format {
            Format::Yaml => yaml(value).map_err(|e| failed(&e))?,
            Format::Table | Format::Wide | Format::Json => {
                terminal::json(&(serde_json::to_string_pretty(value).map_err(|e| failed(&e))? + "\n"))
            }
        };
        self.print(&text);
        Ok(())
    }

    /// Rows for people: on a terminal with a header and without empty columns, else with tabs between all of them.
    pub(super) fn table(self, columns: &[Column], rows: Vec<Vec<String>>) {
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.iter().map(|cell| terminal::text(cell)).collect()).collect();
        if !self.terminal {
            let mut text = String::new();
            rows.iter().for_each(|row| text.extend([&row.join("\t"), "\n"]));
            return self.print(&text);
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
        self.print(&text);
    }

    /// Prints text that is harmless.
    pub(super) fn print(self, text: &str) {
        write(text);
    }
}

fn write(text: &str) {
    let mut output = io::stdout().lock();
    if !is_closed()
        && let Err(e) = output.write_all(text.as_bytes()).and_then(|()| output.flush())
    {
        let _ = REFUSED.set(e);
    }
}

/// Whether nobody gets what is printed from now on.
pub(super) fn is_closed() -> bool {
    REFUSED.get().is_some()
}

/// Says whether everything that was printed has arrived. Whoever closes the pipe early has read enough.
pub(super) fn finish() -> Result<(), Failure> {
    match REFUSED.get() {
        Some(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Usage(format!("standard output takes not all of the answer: {e}")))
        }
        _ => Ok(()),
    }
}

/// A width that is enough for three of four lines.
fn usual(mut widths: Vec<usize>) -> usize {
    widths.sort_unstable();
    widths.get(widths.len() * 3 / 4).or(widths.last()).copied().unwrap_or(0)
}

/// Cuts the widest of the columns that may be cut until all fit: first what few lines need, so that one long name does
/// not cost all others theirs.
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

/// YAML that gives back the same text whatever stands in it: what would do something to a terminal, or is read as
/// something else, stands in double quotes with escapes.
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

/// A string of YAML, which is plain only where nobody can take it for anything else. A string of JSON is one of YAML.
fn scalar(string: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && string.chars().all(is_plain)
        && !string.ends_with(':')
        && !is_word.contains(&&*string.to_ascii_lowercase());
    if plain { string.to_owned() } else { terminal::yaml(&Value::from(string).to_string()) }
}

/// Prints a line for people, beside the answer.
pub(super) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", terminal::lines(line));
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

/// A value as the cell of a table; what is not there is empty.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(members) => {
            // What relabelling takes out again comes last.
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

/// A number of things: `1 registration`, `2 registrations`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Prints a line of the answer.
pub(super) fn print_line(line: &str) {
    write(&format!("{line}\n"));
}
