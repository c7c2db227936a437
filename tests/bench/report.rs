//! The figures as one table for people and one JSON document for programs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Bench;
use crate::load::{Load, median};

/// How long to look at the processors before the run.
const LOOK: Duration = Duration::from_secs(1);

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Seconds,
    Bytes,
    /// A share of one.
    Share,
    /// Nothing but a number.
    Number,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::PerSecond => "1/s",
            Unit::Seconds => "s",
            Unit::Bytes => "bytes",
            Unit::Share | Unit::Number => "1",
        }
    }

    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Share => format!("{:.0}%", value * 100.0),
            Unit::Number if value.fract() == 0.0 => format!("{value}"),
            Unit::Number => digits(value),
            Unit::PerSecond => format!("{} /s", digits(value)),
            Unit::Seconds if value < 0.001 => format!("{} µs", digits(value * 1e6)),
            Unit::Seconds if value < 1.0 => format!("{} ms", digits(value * 1e3)),
            Unit::Seconds => format!("{} s", digits(value)),
            Unit::Bytes if value < 10e3 => format!("{} B", digits(value)),
            Unit::Bytes if value < 1e6 => format!("{} kB", digits(value / 1e3)),
            Unit::Bytes if value < 10e9 => format!("{} MB", digits(value / 1e6)),
            Unit::Bytes => format!("{} GB", digits(value / 1e9)),
        }
    }
}

/// Three digits, more only before the point.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        at_least if at_least >= 100.0 => 0,
        at_least if at_least >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// What a figure is meant to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At least this share of the limit.
    Share(f64),
    /// At most this, in the unit of the figure.
    AtMost(f64),
    /// 99 of 100 requests answered within this time, in seconds.
    P99(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    what: String,
    store: &'static str,
    registrations: usize,
    unit: Unit,
    figure: f64,
    bytes_per_second: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
    failed: usize,
    processor: Option<f64>,
    own_processor: Option<f64>,
    limit: Option<f64>,
    limit_processor: Option<f64>,
    share: Option<f64>,
    goals: Vec<Goal>,
}

impl Row {
    pub(crate) fn new(bench: &Bench<'_>, what: impl Into<String>, unit: Unit, figure: f64) -> Row {
        Row {
            what: what.into(),
            store: bench.store.name(),
            registrations: bench.count,
            unit,
            figure,
            bytes_per_second: None,
            p50: None,
            p99: None,
            failed: 0,
            processor: None,
            own_processor: None,
            limit: None,
            limit_processor: None,
            share: None,
            goals: Vec::new(),
        }
    }

    /// The requests per second of several rounds, with their latencies.
    pub(crate) fn of_load(bench: &Bench<'_>, what: impl Into<String>, rounds: &[Load]) -> Row {
        let load = Load::median(rounds);
        let mut row = Row::new(bench, what, Unit::PerSecond, load.rate);
        row.bytes_per_second = Some(load.bytes_per_second);
        row.p50 = Some(load.quantile(0.5));
        row.p99 = Some(load.quantile(0.99));
        row.failed = load.failed;
        row.processor = Some(load.processor);
        row.own_processor = Some(load.own_processor);
        row
    }

    /// What the machine could do at most, in the unit of the figure.
    pub(crate) fn limit(mut self, limit: f64) -> Row {
        self.limit = Some(limit);
        self
    }

    /// The limit taken in turns with the figure, and the share of it that was reached: the median over rounds,
    /// since only within a round do both find the machine in the same state.
    pub(crate) fn limit_of_load(mut self, rounds: &[Load], limits: &[Load]) -> Row {
        let limit = Load::median(limits);
        self.share = Some(median(rounds.iter().zip(limits).map(|(load, limit)| load.rate / limit.rate)));
        self.limit_processor = Some(limit.processor).filter(|seconds| *seconds > 0.0);
        self.limit(limit.rate)
    }

    /// Processor time that the server used for it, in seconds.
    pub(crate) fn processor(mut self, seconds: f64) -> Row {
        self.processor = Some(seconds);
        self
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Row {
        self.goals.push(goal);
        self
    }

    fn reaches(&self, goal: Goal) -> bool {
        match goal {
            Goal::Share(share) => self.share.is_some_and(|reached| reached >= share),
            Goal::AtMost(most) => self.figure <= most,
            Goal::P99(seconds) => self.p99.is_some_and(|p99| p99 <= seconds),
        }
    }

    fn show_goal(&self, goal: Goal) -> String {
        let wanted = match goal {
            Goal::Share(share) => format!("≥ {:.0}%", share * 100.0),
            Goal::AtMost(most) => format!("≤ {}", self.unit.show(most)),
            Goal::P99(seconds) => format!("p99 ≤ {}", Unit::Seconds.show(seconds)),
        };
        if self.reaches(goal) { wanted } else { format!("{wanted} **missed**") }
    }

    fn cells(&self) -> [String; 12] {
        let show = |value: Option<f64>, unit: Unit| value.map_or_else(String::new, |value| unit.show(value));
        let goals: Vec<String> = self.goals.iter().map(|goal| self.show_goal(*goal)).collect();
        let per_second = |bytes: f64| format!("{}/s", Unit::Bytes.show(bytes));
        [
            self.what.clone(),
            self.store.to_owned(),
            self.registrations.to_string(),
            self.unit.show(self.figure),
            self.bytes_per_second.map_or_else(String::new, per_second),
            show(self.p50, Unit::Seconds),
            show(self.p99, Unit::Seconds),
            show(self.processor, Unit::Seconds),
            show(self.limit, self.unit),
            show(self.limit_processor, Unit::Seconds),
            self.share.map_or_else(String::new, |share| format!("{:.0}%", share * 100.0)),
            goals.join(", "),
        ]
    }

    fn json(&self) -> Value {
        let missed = self.goals.iter().filter(|goal| !self.reaches(**goal));
        json!({
            "what": self.what,
            "store": self.store,
            "registrations": self.registrations,
            "unit": self.unit.name(),
            "figure": self.figure,
            "bytes_per_second": self.bytes_per_second,
            "p50_seconds": self.p50,
            "p99_seconds": self.p99,
            "failed": self.failed,
            "processor_seconds_per_request": self.processor,
            "client_processor_seconds_per_request": self.own_processor,
            "limit": self.limit,
            "limit_processor_seconds_per_request": self.limit_processor,
            "share_of_limit": self.share,
            "goals": self.goals.iter().map(|goal| self.show_goal(*goal)).collect::<Vec<_>>(),
            "goals_missed": missed.count(),
        })
    }
}

const HEADINGS: [&str; 12] = [
    "",
    "store",
    "registrations",
    "figure",
    "bytes",
    "p50",
    "p99",
    "processor",
    "limit",
    "its processor",
    "of limit",
    "goal",
];

/// All figures of a run.
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
    processors: usize,
    busy_before: f64,
}

impl Report {
    /// Looks how busy the machine is with other work.
    pub(crate) fn begin() -> Report {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Report { rows: Vec::new(), notes: Vec::new(), processors, busy_before: busy_share() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  {}", row.cells().iter().filter(|cell| !cell.is_empty()).cloned().collect::<Vec<_>>().join(", "));
        if row.failed > 0 {
            let Row { what, store, registrations, failed, .. } = &row;
            self.note(format!("{what}, {store}, {registrations}: {failed} further requests were answered by a 503"));
        }
        self.rows.push(row);
    }

    /// Something that readers of the table must know.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Prints the table and writes the JSON.
    pub(crate) fn end(self, took: Duration) {
        let busy = self.busy_before * 100.0;
        println!(
            "inventor {}, {} processors, {busy:.0}% busy with other work before the start, {:.0} s\n",
            env!("CARGO_PKG_VERSION"),
            self.processors,
            took.as_secs_f64()
        );
        println!("| {} |", HEADINGS.join(" | "));
        println!("|{}", "---|".repeat(HEADINGS.len()));
        for row in &self.rows {
            println!("| {} |", row.cells().join(" | "));
        }
        for note in &self.notes {
            println!("\n{note}.");
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench.json");
        let document = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processors": self.processors,
            "busy_before": self.busy_before,
            "seconds": took.as_secs_f64(),
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "notes": self.notes,
        });
        fs::write(&path, format!("{document:#}\n")).expect("the figures can be written beside the build");
        println!("\nAs JSON: {}", path.display());
    }
}

/// The share of the processors that is in use while this program waits.
pub(crate) fn busy_share() -> f64 {
    let (all_before, idle_before) = processor_times();
    thread::sleep(LOOK);
    let (all, idle) = processor_times();
    1.0 - (idle - idle_before) / (all - all_before)
}

/// Time of all processors since the system's start, and how much of it they were idle.
fn processor_times() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").expect("Linux reports processor times");
    let line = stat.lines().next().expect("the first line sums up all processors");
    let times: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    (times.iter().sum(), times.iter().skip(3).take(2).sum())
}
