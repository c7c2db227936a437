//! Registrations in the client, and the files that hold them: `file_sd` lists and bodies of `PUT /target`, one or many,
//! in JSON or YAML. The content tells which it is. YAML becomes JSON, and every entry the body of a PUT, which is
//! parsed as the strict server does, so that there is only one parser of registrations.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use serde::de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_saphyr::Spanned;
use serde_saphyr::options::Options;

use super::Failure;
use crate::registration::{DEFAULT_GROUP, LabelNames, Registration, Strictness, TargetId, TtlBounds, json};

const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Nodes of a YAML file: some ten for each of 500,000 registrations.
const NODES_MAX: usize = 5_000_000;

/// A registration in the client, read from a file and sent as a body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) targets: Vec<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// `None` means the server's default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target_group: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) modules: Vec<String>,
    /// 0 means for ever; `None` leaves it to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl_seconds: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Put<'a> {
    pub(super) static_config: &'a Entry,
}

impl Entry {
    /// The members of an entry of a list. A body of `PUT /target` may have others, which the server ignores.
    pub(super) const MEMBERS: [&str; 5] = ["targets", "labels", "modules", "target_group", "ttl_seconds"];

    pub(super) fn id(&self) -> TargetId {
        TargetId::of(&self.targets)
    }

    /// The group that it will be in.
    pub(super) fn group(&self) -> &str {
        self.target_group.as_deref().unwrap_or(DEFAULT_GROUP)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        json::encode(&Put { static_config: self })
    }

    /// The same with this group and this lifetime, where it has none of its own.
    pub(super) fn or(mut self, group: Option<&str>, ttl_seconds: Option<u64>) -> Entry {
        self.target_group = self.target_group.or_else(|| group.map(str::to_owned));
        self.ttl_seconds = self.ttl_seconds.or(ttl_seconds);
        self
    }

    /// The same without the server's default group, so that another default can be applied.
    pub(super) fn without_default_group(mut self) -> Entry {
        self.target_group = self.target_group.filter(|group| group != DEFAULT_GROUP);
        self
    }

    /// Whether lists show both alike, regardless of lifetimes.
    pub(super) fn shows_like(&self, other: &Entry) -> bool {
        self.targets == other.targets
            && self.labels == other.labels
            && self.modules == other.modules
            && self.group() == other.group()
    }

    /// Parses a body as the strict server does.
    pub(super) fn checked(body: &[u8], names: LabelNames) -> Result<Entry, String> {
        let registration = Registration::parse(body, names, TtlBounds::default());
        let registration = registration.and_then(|registration| Strictness::Scraped.check(registration));
        let registration = registration.map_err(|invalid| {
            let text = invalid.to_string();
            text.strip_prefix("static_config: ").map(str::to_owned).unwrap_or(text)
        })?;
        let entry = Entry {
            targets: registration.targets().to_vec(),
            labels: registration.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            target_group: Some(registration.group().to_owned()),
            modules: registration.modules().to_vec(),
            ttl_seconds: registration.ttl().map(|ttl| ttl.seconds()),
        };
        Ok(entry.without_default_group())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFault {
    /// The number of the entry, from 1; `None` means the file as a whole.
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

#[derive(Debug, Default)]
pub(super) struct FileEntries {
    pub(super) entries: Vec<Entry>,
    /// The line of each entry, if it is known.
    lines: Vec<Option<usize>>,
    pub(super) faults: Vec<FileFault>,
}

/// An entry and its place in the words of a user.
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

/// Reads the entries of these files. Any fault is an error.
pub(super) fn entries<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Vec<Placed>, Failure> {
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

/// Parses a file. An empty file is a fault: more likely it is being written than an empty list.
pub(super) fn parse(bytes: &[u8], names: LabelNames) -> FileEntries {
    let mut content = FileEntries::default();
    let text = json::well_formed(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes));
    let mut take = |entry: &str, line| content.read_entry(entry, names, line);
    let read = match text.trim_start().chars().next() {
        None => Err("holds nothing".to_owned()),
        Some('{' | '[') => read_json(&text, &mut take),
        Some(_) => read_yaml(&text, &mut take),
    };
    if let Err(reason) = read {
        content.faults.push(FileFault { entry: None, line: None, reason });
    }
    content
}

/// Passes on the entries of consecutive JSON documents, and the lines in which they begin. A flow collection of YAML
/// may look like one at its beginning.
fn read_json(text: &str, take: &mut impl FnMut(&str, Option<usize>)) -> Result<(), String> {
    let (mut line, mut counted) = (1, 0);
    let mut take = |entry: &str| {
        // Each entry is a slice of the text, one after the other.
        let at = entry.as_ptr() as usize - text.as_ptr() as usize;
        line += text.as_bytes()[counted..at].iter().filter(|byte| **byte == b'\n').count();
        counted = at;
        take(entry, Some(line));
    };
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let document = document.map_err(|e| e.to_string())?.get();
        if document.starts_with('[') {
            let list: Vec<&RawValue> = serde_json::from_str(document).map_err(|e| e.to_string())?;
            list.into_iter().for_each(|entry| take(entry.get()));
        } else {
            take(document);
        }
    }
    Ok(())
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
    if members.keys().any(|name| name.eq_ignore_ascii_case("static_config")) {
        return Entry::checked(text.as_bytes(), names);
    }
    match members.keys().find(|name| !Entry::MEMBERS.contains(&name.as_str())) {
        Some(unknown) => Err(format!("unknown member {unknown:?}; expected {}", Entry::MEMBERS.join(", "))),
        None => Entry::checked(format!("{{\"static_config\":{text}}}").as_bytes(), names),
    }
}

/// An entry in YAML. It is typed, so that values such as `9100` and `yes` remain the text that was written, as in
/// Prometheus.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    targets: Option<Vec<Option<String>>>,
    labels: Option<BTreeMap<String, Option<String>>>,
    modules: Option<Vec<Option<String>>>,
    target_group: Option<String>,
    ttl_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    static_config: Option<Box<Wrapped>>,
}

/// The members of `static_config`. Others are ignored, as by the server.
#[derive(Deserialize, Serialize)]
struct Wrapped {
    targets: Option<Vec<Option<String>>>,
    labels: Option<BTreeMap<String, Option<String>>>,
    modules: Option<Vec<Option<String>>>,
    target_group: Option<String>,
    ttl_seconds: Option<u64>,
}

/// A document: a list of entries, one entry, or nothing, with the lines in which the entries begin.
struct Document(Vec<(Item, Option<usize>)>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of entries with targets and labels")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Document, E> {
                Ok(Document(Vec::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
                Item::deserialize(MapAccessDeserializer::new(map)).map(|item| Document(vec![(item, None)]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
                let mut items = Vec::new();
                while let Some(Spanned { value, referenced, .. }) = list.next_element::<Spanned<Item>>()? {
                    items.push((value, usize::try_from(referenced.line()).ok().filter(|line| *line > 0)));
                }
                Ok(Document(items))
            }
        }
        deserializer.deserialize_any(Items)
    }
}

/// Passes on the entries of all documents as JSON, and the lines in which they begin.
fn read_yaml(text: &str, take: &mut impl FnMut(&str, Option<usize>)) -> Result<(), String> {
    let documents: Vec<Document> = serde_saphyr::from_multiple_with_options(text, options()).map_err(first_line)?;
    for (item, line) in documents.into_iter().flat_map(|Document(items)| items) {
        take(&serde_json::to_string(&item).map_err(|e| e.to_string())?, line);
    }
    Ok(())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * NODES_MAX,
            max_nodes: NODES_MAX,
            max_total_scalar_bytes: 256 * 1024 * 1024,
        },
    }
}

/// Only the message: the following lines quote the file, which may hold anything.
fn first_line(error: serde_saphyr::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
