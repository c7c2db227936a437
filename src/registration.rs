//! What a registration is: targets, labels, group, modules, and the rules that make them fit to be scraped.
//! Parsed means valid. Known to every module; knows none of them.

mod document;
mod id;
pub mod json;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

pub use document::{Content, Document, Undecodable};
pub use id::TargetId;

use json::{Object, Text, TextList, TextMap};
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};

/// The group of a registration that names none.
pub const DEFAULT_GROUP: &str = "inventor-default";

/// The label that each module of a registration is shown under.
pub const MODULE_LABEL: &str = "__meta_inventor_sd_module";

/// What one registration may grow to in the list: modules multiply its targets and labels, so that a
/// 64 KiB body of many modules and many targets would otherwise become hundreds of megabytes.
pub const SHOWN_BYTES_MAX: usize = 1024 * 1024;

/// The largest stored document, in bytes: a body of 64 KiB, each byte of which Go spells with six, and some room.
/// Stores read no more of a value than this and a byte.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;

/// How much of what a client sent is repeated in an error, in characters.
const ECHO_CHARS_MAX: usize = 100;

/// The longest message about JSON that is of the wrong form, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// What an entry of the list has around its targets, labels and module: braces, names, [`MODULE_LABEL`].
const ENTRY_FRAME_BYTES: usize = 64;

/// How long a registration lives unless it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(Option<NonZeroU64>);

impl Ttl {
    /// The longest lifetime in seconds, some 292 years: what the Go program can represent.
    pub const SECONDS_MAX: u64 = 9_223_372_036;

    /// Six hours.
    pub const DEFAULT: Ttl = Ttl(NonZeroU64::new(21_600));

    /// A lifetime in seconds, cut at [`Ttl::SECONDS_MAX`]; 0 means for ever.
    pub fn from_seconds(seconds: u64) -> Ttl {
        Ttl(NonZeroU64::new(seconds.min(Ttl::SECONDS_MAX)))
    }

    /// The lifetime, or `None` for ever.
    pub fn duration(self) -> Option<Duration> {
        self.0.map(|seconds| Duration::from_secs(seconds.get()))
    }
}

/// Which label names are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelNames {
    /// `[a-zA-Z_][a-zA-Z0-9_]*`: what every Prometheus accepts (`model.LabelName.IsValidLegacy`).
    Legacy,
    /// Any UTF-8 but the empty name: Prometheus 3 only.
    Utf8,
}

impl LabelNames {
    fn allow(self, name: &str) -> bool {
        let legacy = |name: &str| {
            name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        !name.is_empty() && (self == LabelNames::Utf8 || legacy(name))
    }
}

/// Why a registration is refused; the message names the field and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// What kind of fault it is, for counting.
    pub kind: InvalidKind,
    message: String,
}

/// The kinds of fault a registration can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKind {
    /// No JSON document of the right form.
    Json,
    /// No targets, or an empty one.
    Targets,
    /// A label name that would make Prometheus refuse the whole list.
    LabelName,
    /// Too large when its modules are multiplied out.
    Size,
}

impl InvalidKind {
    /// Every kind, for counters that start at zero.
    pub const ALL: [InvalidKind; 4] =
        [InvalidKind::Json, InvalidKind::Targets, InvalidKind::LabelName, InvalidKind::Size];

    /// The name of the kind as a label value.
    pub fn as_str(self) -> &'static str {
        match self {
            InvalidKind::Json => "json",
            InvalidKind::Targets => "targets",
            InvalidKind::LabelName => "label_name",
            InvalidKind::Size => "size",
        }
    }
}

impl Invalid {
    fn new(kind: InvalidKind, message: impl Into<String>) -> Invalid {
        Invalid { kind, message: message.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

impl From<serde_json::Error> for Invalid {
    fn from(error: serde_json::Error) -> Invalid {
        // The text repeats what it complains about, which may be as long as the request.
        Invalid::new(InvalidKind::Json, error.to_string().chars().take(MESSAGE_CHARS_MAX).collect::<String>())
    }
}

/// A registration that Prometheus can take: it has targets, and its label names pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    targets: Vec<String>,
    /// `None` when the client sent none, because the stored document tells `null` from `{}`.
    labels: Option<BTreeMap<String, String>>,
    group: String,
    modules: Vec<String>,
}

impl Registration {
    /// Reads the body of a PUT: `{"static_config": {"targets": [...], "labels": {...}, "target_group": "...", "modules": [...]}}`.
    ///
    /// # Errors
    /// [`Invalid`] names the field and the reason.
    pub fn parse(body: &[u8], names: LabelNames) -> Result<Registration, Invalid> {
        let PutRequest { static_config } = json::decode(body)?;
        let Some(config) = static_config else {
            return Err(Invalid::new(InvalidKind::Targets, "static_config: missing"));
        };
        Registration::new(config, names).map_err(|e| Invalid::new(e.kind, format!("static_config: {e}")))
    }

    fn new(config: StaticConfig, names: LabelNames) -> Result<Registration, Invalid> {
        let targets = config.targets.unwrap_or_default();
        if targets.is_empty() {
            return Err(Invalid::new(InvalidKind::Targets, "targets: at least one is needed"));
        }
        if let Some(at) = targets.iter().position(String::is_empty) {
            return Err(Invalid::new(InvalidKind::Targets, format!("targets: {at}: empty or null")));
        }
        if let Some(name) = config.labels.iter().flatten().map(|(name, _)| name).find(|name| !names.allow(name)) {
            return Err(Invalid::new(InvalidKind::LabelName, label_name_message(name, names)));
        }
        let group = config.group.filter(|group| !group.is_empty()).unwrap_or_else(|| DEFAULT_GROUP.to_owned());
        let registration =
            Registration { targets, labels: config.labels, group, modules: config.modules.unwrap_or_default() };
        registration.check_shown_size()?;
        Ok(registration)
    }

    fn check_shown_size(&self) -> Result<(), Invalid> {
        // Six bytes is the longest spelling of a byte: most registrations need no closer look.
        let strings = self.targets.iter().chain(self.labels.iter().flatten().flat_map(|(name, value)| [name, value]));
        let most = strings.map(|text| 6 * text.len() + ENTRY_FRAME_BYTES).sum::<usize>();
        let modules = self.modules.iter().map(|module| 6 * module.len() + ENTRY_FRAME_BYTES).sum::<usize>();
        if most.saturating_mul(self.modules.len().max(1)).saturating_add(modules) <= SHOWN_BYTES_MAX {
            return Ok(());
        }
        let targets = json::encode(&self.targets).len();
        let labels = json::encode(&self.labels).len();
        let modules = json::encode(&self.modules).len();
        let entries = self.modules.len().max(1);
        let shown = entries.saturating_mul(targets + labels + ENTRY_FRAME_BYTES).saturating_add(modules);
        if shown > SHOWN_BYTES_MAX {
            let message =
                format!("modules: with them the entry has {shown} bytes in the list; {SHOWN_BYTES_MAX} are allowed");
            return Err(Invalid::new(InvalidKind::Size, message));
        }
        Ok(())
    }

    /// The addresses, as they were sent: order and repeats kept, never empty.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// The labels, sorted by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The target group, never empty.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The modules, each of which multiplies the entry in the list.
    pub fn modules(&self) -> &[String] {
        &self.modules
    }

    /// The id, a function of the targets alone.
    pub fn id(&self) -> TargetId {
        TargetId::of(&self.targets)
    }
}

fn label_name_message(name: &str, names: LabelNames) -> String {
    let name: String = name.chars().take(ECHO_CHARS_MAX).collect();
    match names {
        _ if name.is_empty() => "labels: a name is empty".to_owned(),
        LabelNames::Utf8 => format!("labels: {name:?} is not a label name"),
        LabelNames::Legacy => format!(
            "labels: {name:?} is not a label name that every Prometheus accepts, [a-zA-Z_][a-zA-Z0-9_]*; \
             LABEL_NAMES=utf8 lets it pass"
        ),
    }
}

/// Reads the body of a GET or DELETE: `{"id": "..."}`.
///
/// # Errors
/// [`Invalid`] when there is no id, or it is no UUID.
pub fn parse_id_request(body: &[u8]) -> Result<TargetId, Invalid> {
    let IdRequest { id } = json::decode(body)?;
    let Some(id) = id else {
        return Err(Invalid::new(InvalidKind::Json, "id: missing"));
    };
    parse_id(&id)
}

/// Reads an id as a client spells it.
///
/// # Errors
/// [`Invalid`] when it is no UUID.
pub fn parse_id(text: &str) -> Result<TargetId, Invalid> {
    let echo = || text.chars().take(ECHO_CHARS_MAX).collect::<String>();
    TargetId::parse(text).ok_or_else(|| Invalid::new(InvalidKind::Json, format!("id: {:?} is not a UUID", echo())))
}

/// The fields of a registration as they were written, not yet checked.
#[derive(Debug, Default)]
struct StaticConfig {
    targets: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    group: Option<String>,
    modules: Option<Vec<String>>,
}

fn strings(list: Option<TextList>) -> Option<Vec<String>> {
    // A null among the strings is the empty string to Go.
    list.map(|list| list.0.into_iter().map(Option::unwrap_or_default).collect())
}

impl Object for StaticConfig {
    const NAME: &'static str = "an object with targets, labels, target_group and modules";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "targets" => self.targets = strings(map.next_value()?),
            "labels" => self.labels = map.next_value::<Option<TextMap>>()?.map(|labels| labels.0),
            "target_group" => self.group = map.next_value::<Option<Text>>()?.map(|group| group.0),
            "modules" => self.modules = strings(map.next_value()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for StaticConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StaticConfig, D::Error> {
        json::object(deserializer)
    }
}

#[derive(Default)]
struct PutRequest {
    static_config: Option<StaticConfig>,
}

impl Object for PutRequest {
    const NAME: &'static str = "an object with static_config";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "static_config" => self.static_config = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for PutRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PutRequest, D::Error> {
        json::object(deserializer)
    }
}

#[derive(Default)]
struct IdRequest {
    id: Option<String>,
}

impl Object for IdRequest {
    const NAME: &'static str = "an object with id";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => self.id = map.next_value::<Option<Text>>()?.map(|id| id.0),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for IdRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<IdRequest, D::Error> {
        json::object(deserializer)
    }
}
