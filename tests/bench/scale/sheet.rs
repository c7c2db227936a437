//! The figures as several tables for people and one JSON document for programs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::report::{Unit, busy_share};

/// From this share on the machine has no time left, and times that pass say more of it than of the servers.
const SATURATED: f64 = 0.85;

/// One cell of a table.
pub(super) struct Figure {
    name: &'static str,
    value: f64,
    text: String,
}

impl Figure {
    pub(super) fn new(name: &'static str, unit: Unit, value: f64) -> Figure {
        let text = if value.is_nan() { String::new() } else { unit.show(value) };
        Figure { name, value, text }
    }

    /// How busy the machine was.
    pub(super) fn of_machine(share: f64) -> Figure {
        let mut figure = Figure::new("machine", Unit::Share, share);
        if share >= SATURATED {
            figure.text += " **saturated**";
        }
        figure
    }
}

/// Rows of the same figures.
struct Table {
    title: &'static str,
    rows: Vec<Vec<Figure>>,
}

/// All figures of a run.
pub(super) struct Sheet {
    tables: Vec<Table>,
    busy_before: f64,
    begun: Instant,
}

impl Sheet {
    /// Looks how busy the machine is with other work.
    pub(super) fn begin() -> Sheet {
        Sheet { tables: Vec::new(), busy_before: busy_share(), begun: Instant::now() }
    }

    /// A row of the table with this title.
    pub(super) fn add(&mut self, title: &'static str, row: Vec<Figure>) {
        let cells: Vec<String> = row.iter().map(|figure| format!("{} {}", figure.name, figure.text)).collect();
        eprintln!("  {title}: {}", cells.join(", "));
        match self.tables.iter_mut().find(|table| table.title == title) {
            Some(table) => table.rows.push(row),
            None => self.tables.push(Table { title, rows: vec![row] }),
        }
    }

    /// Prints the tables and writes the JSON.
    pub(super) fn end(self) {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        println!(
            "inventor {}, {processors} processors, {:.0}% busy with other work before the start, {:.0} s",
            env!("CARGO_PKG_VERSION"),
            self.busy_before * 100.0,
            self.begun.elapsed().as_secs_f64()
        );
        self.tables.iter().for_each(Table::print);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("scale.json");
        let tables: Map<String, Value> =
            self.tables.iter().map(|table| (table.title.to_owned(), table.json())).collect();
        let document = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processors": processors,
            "busy_before": self.busy_before,
            "tables": tables,
        });
        fs::write(&path, format!("{document:#}\n")).expect("the figures can be written beside the build");
        println!("\nAs JSON, in seconds and bytes: {}", path.display());
    }
}

impl Table {
    fn print(&self) {
        let line = |cells: Vec<&str>| println!("| {} |", cells.join(" | "));
        println!("\n{}:\n", self.title);
        line(self.rows[0].iter().map(|figure| figure.name).collect());
        println!("|{}", "---|".repeat(self.rows[0].len()));
        self.rows.iter().for_each(|row| line(row.iter().map(|figure| figure.text.as_str()).collect()));
    }

    fn json(&self) -> Value {
        let row = |row: &Vec<Figure>| -> Map<String, Value> {
            row.iter().map(|figure| (figure.name.to_owned(), figure.value.into())).collect()
        };
        self.rows.iter().map(row).collect()
    }
}
