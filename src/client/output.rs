//! How answers are written: tables and colours for a terminal, tabs for a pipe, JSON and YAML for programs.

use std::io::{self, IsTerminal, Write};

use console::{Style, Term, measure_text_width, truncate_str};
use serde::Serialize;
use serde_json::Value;

use super::{Failure, harmless};
use crate::config::commands::Format;

/// Between two columns.
const GAP: &str = "  ";

/// Writes to standard output.
#[derive(Clone, Copy)]
pub(super) struct Output {
    format: Format,
    terminal: bool,
    color: bool,
}

impl Output {
    /// `color` is whether colours are welcome; there are none without a terminal in any case.
    pub(super) fn new(format: Format, color: bool) -> Output {
        let terminal = io::stdout().is_terminal();
        Output { format, terminal, color: color && terminal && Term::stdout().features().colors_supported() }
    }

    pub(super) fn is_table(self) -> bool {
        self.format == Format::Table
    }

    pub(super) fn style(self, style: Style) -> Style {
        style.force_styling(self.color)
    }

    /// A value for programs, or rows for people, which are made only if they are wanted.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        header: &[&str],
        rows: impl FnOnce() -> Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.table(header, rows()),
            Format::Json | Format::Yaml => self.value(value),
        }
    }

    /// A value as JSON, or as YAML if that is wanted.
    pub(super) fn value<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::Unavailable(format!("the answer cannot be written: {e}"));
        let text = match self.format {
            Format::Yaml => harmless::lines(&serde_saphyr::to_string(value).map_err(|e| failed(&e))?),
            Format::Table | Format::Json => {
                harmless::json(&(serde_json::to_string_pretty(value).map_err(|e| failed(&e))? + "\n"))
            }
        };
        self.print(&text);
        Ok(())
    }

    fn table(self, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.iter().map(|cell| harmless::text(cell)).collect()).collect();
        if !self.terminal {
            rows.iter().for_each(|row| self.print(&(row.join("\t") + "\n")));
            return Ok(());
        }
        let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|column| rows.iter().chain([&header]).map(|row| measure_text_width(&row[column])).max().unwrap_or(0))
            .collect();
        let width = usize::from(Term::stdout().size().1);
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let blanks = width.saturating_sub(measure_text_width(cell));
                format!("{cell}{}", " ".repeat(blanks))
            });
            truncate_str(cells.collect::<Vec<_>>().join(GAP).trim_end(), width, "…").into_owned()
        };
        if header.iter().any(|name| !name.is_empty()) {
            self.print(&format!("{}\n", self.style(Style::new().bold()).apply_to(line(&header))));
        }
        rows.iter().for_each(|row| self.print(&(line(row) + "\n")));
        Ok(())
    }

    /// Prints text that is harmless. Whoever closes the pipe early has read enough.
    pub(super) fn print(self, text: &str) {
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

/// Prints a line for people, beside the answer.
pub(super) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", harmless::lines(line));
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

/// A value as the cell of a table.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        }
        value => value.to_string(),
    }
}

/// Prints a line of the answer.
pub(super) fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
