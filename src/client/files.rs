//! Files of registrations: `file_sd` lists and bodies of `PUT /target`, one or many, in JSON or YAML. What a file is, its
//! content says. Every entry is made into the body of a PUT and read as the server
//! reads it when it is strict.

mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use serde_json::value::RawValue;

use super::{Entry, Failure};
use crate::registration::{LabelNames, Registration, Strictness, TtlBounds, json};

pub(super) const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is wrong in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFault {
    /// The number of the entry, from 1; `None` is the file as a whole.
    pub(super) entry: Option<usize>,
    line: Option<usize>,
    pub(super) reason: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Some(number) => match self.line {
                Some(line) => write!(f, "line {line}, entry {number}: {}", self.reason),
                None => write!(f, "entry {number}: {}", self.reason),
            },
            None => f.write_str(&self.reason),
        }
    }
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct FileEntries {
    pub(super) entries: Vec<Entry>,
    /// The line of each entry, where that is known.
    lines: Vec<Option<usize>>,
    pub(super) faults: Vec<FileFault>,
}

/// An entry and where it stands, as a user finds it.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) entry: Entry,
    pub(super) place: String,
}

/// Reads a file, or standard input where the path is `-`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |e: io::Error| Failure::Usage(format!("{}: cannot be read: {e}", path.display()));
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    } else {
        let file = std::fs::File::open(path).map_err(wrong)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::Usage(format!("{}: larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads the entries of these files, all of which have to be right.
pub(super) fn entries<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Vec<Entry>, Failure> {
    Ok(placed_entries(paths)?.into_iter().map(|placed| placed.entry).collect())
}

/// The same, with where each of them stands.
pub(super) fn placed_entries<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Vec<Placed>, Failure> {
    let mut entries = Vec::new();
    for path in paths {
        let content = parse(&read(path)?, LabelNames::Utf8);
        if let Some(fault) = content.faults.first() {
            let more = content.faults.len() - 1;
            let more = if more > 0 { format!(", and {more} more; `inventor check` shows all") } else { String::new() };
            return Err(Failure::Usage(format!("{}: {fault}{more}", path.display())));
        }
        let name = if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
        entries.extend(content.entries.into_iter().zip(content.lines).enumerate().map(|(at, (entry, line))| {
            let place = line.map_or_else(|| format!("{name}: entry {}", at + 1), |line| format!("{name}:{line}"));
            Placed { entry, place }
        }));
    }
    Ok(entries)
}

/// Reads what a file holds. An empty file is a fault: it is rather a file that is being written than an empty list.
pub(super) fn parse(bytes: &[u8], names: LabelNames) -> FileEntries {
    let mut content = FileEntries::default();
    let text = json::well_formed(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes));
    let documents = match text.trim_start().chars().next() {
        None => Err("holds nothing".to_owned()),
        Some('{' | '[') => documents(&text, &mut content, names, &mut Lines::of(&text)),
        Some(_) => yaml::to_json(&text)
            .and_then(|(list, lines)| documents(&list, &mut content, names, &mut Lines::Known(lines.into_iter()))),
    };
    if let Err(reason) = documents {
        content.faults.push(FileFault { entry: None, line: None, reason });
    }
    content
}

/// Reads JSON documents that follow each other; a flow collection of YAML may look like one at its beginning.
fn documents(text: &str, content: &mut FileEntries, names: LabelNames, lines: &mut Lines<'_>) -> Result<(), String> {
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let document = document.map_err(|e| e.to_string())?.get();
        if document.starts_with('[') {
            let list: Vec<&RawValue> = serde_json::from_str(document).map_err(|e| e.to_string())?;
            list.into_iter().for_each(|entry| content.read_entry(entry.get(), names, lines.of_entry(entry.get())));
        } else {
            content.read_entry(document, names, lines.of_entry(document));
        }
    }
    Ok(())
}

/// In which line each entry begins.
enum Lines<'a> {
    /// They were found before, one for each entry.
    Known(std::vec::IntoIter<Option<usize>>),
    /// They are counted in this text, of which each entry is a part, one behind the other.
    Counted { text: &'a str, offset: usize, line: usize },
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        Lines::Counted { text, offset: 0, line: 1 }
    }

    fn of_entry(&mut self, entry: &str) -> Option<usize> {
        match self {
            Lines::Known(lines) => lines.next().flatten(),
            Lines::Counted { text, offset, line } => {
                // How far the part begins behind the whole.
                let at = (entry.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
                *line += text.as_bytes().get(*offset..at)?.iter().filter(|byte| **byte == b'\n').count();
                *offset = at;
                Some(*line)
            }
        }
    }
}

impl FileEntries {
    fn read_entry(&mut self, text: &str, names: LabelNames, line: Option<usize>) {
        match entry(text, names) {
            Ok(entry) => {
                self.entries.push(entry);
                self.lines.push(line);
            }
            Err(reason) => {
                let number = self.entries.len() + self.faults.len() + 1;
                self.faults.push(FileFault { entry: Some(number), line, reason });
            }
        }
    }
}

fn entry(text: &str, names: LabelNames) -> Result<Entry, String> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|_| "expected an object with targets and labels".to_owned())?;
    let registration = if members.keys().any(|name| name.eq_ignore_ascii_case("static_config")) {
        Registration::parse(text.as_bytes(), names, TtlBounds::default())
    } else {
        if let Some(unknown) = members.keys().find(|name| !Entry::MEMBERS.contains(&name.as_str())) {
            return Err(format!("unknown member {unknown:?}; expected {}", Entry::MEMBERS.join(", ")));
        }
        let body = format!("{{\"static_config\":{text}}}");
        Registration::parse(body.as_bytes(), names, TtlBounds::default())
    };
    let registration = registration.and_then(|registration| Strictness::Scraped.check(registration));
    let registration = registration.map_err(|invalid| {
        let text = invalid.to_string();
        text.strip_prefix("static_config: ").map(str::to_owned).unwrap_or(text)
    })?;
    Ok(Entry::from(&registration))
}
