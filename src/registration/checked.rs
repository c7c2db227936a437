//! The members of a registration as they were written; the checked registration that Prometheus can take; the label
//! names that are allowed; the reasons for a refusal. Nothing is checked again later.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::id::TargetId;
use super::json::{self, Object, Pairs, Text, TextList};
use super::ttl::Ttl;

/// The group of a registration that names none.
pub const DEFAULT_GROUP: &str = "inventor-default";

/// How large one registration may become in the list. Modules multiply its targets and labels: a 64 KiB body of many
/// modules and many targets would otherwise become hundreds of megabytes.
pub const SHOWN_BYTES_MAX: usize = 1024 * 1024;

/// How many bytes an entry of the list has around its targets, labels and module: braces, names, the label of the
/// module.
pub(super) const ENTRY_FRAME_BYTES: usize = 64;

/// The members of a registration as a request or a stored document has them, not yet checked. `None` is absent or null,
/// which differs from empty in a stored document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) targets: Option<Vec<String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) group: Option<String>,
    /// Empty is the same as absent, as in the Go program.
    pub(super) modules: Vec<String>,
    /// A value that is no lifetime is kept as it was written: a request is refused for it, a document is not.
    pub(super) ttl: Option<Result<Ttl, String>>,
}

impl Object for Fields {
    const NAME: &'static str = "an object with targets, labels, target_group and modules";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "targets" => self.targets = map.next_value::<Option<TextList>>()?.map(|targets| targets.0),
            "labels" => {
                let pairs = map.next_value::<Option<Pairs<Text>>>()?;
                // The last of several with equal names wins.
                self.labels = pairs.map(|pairs| pairs.0.into_iter().map(|(name, value)| (name.0, value.0)).collect());
            }
            "target_group" => self.group = map.next_value::<Option<Text>>()?.map(|group| group.0),
            "modules" => {
                self.modules = map.next_value::<Option<TextList>>()?.map(|modules| modules.0).unwrap_or_default()
            }
            "ttl_seconds" => {
                let written: Option<Box<RawValue>> = map.next_value()?;
                self.ttl = written.map(|raw| Ttl::parse(raw.get()).ok_or_else(|| raw.get().to_owned()));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        json::object(deserializer)
    }
}

/// A registration that Prometheus can take: it has targets, a group, and its label names pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub(super) fields: Fields,
}

impl Registration {
    pub(super) fn check(fields: Fields, names: LabelNames) -> Result<Registration, Invalid> {
        let mut registration = Registration { fields };
        if registration.targets().is_empty() {
            return Err(Invalid::new(InvalidKind::Targets, "targets: at least one is required"));
        }
        if let Some(at) = registration.targets().iter().position(String::is_empty) {
            return Err(Invalid::new(InvalidKind::Targets, format!("targets: {at}: empty or null")));
        }
        if let Some(fault) = registration.labels().find_map(|(name, _)| names.fault(name)) {
            return Err(Invalid::new(InvalidKind::LabelName, format!("labels: {fault}")));
        }
        let group = &mut registration.fields.group;
        if group.as_ref().is_none_or(String::is_empty) {
            *group = Some(DEFAULT_GROUP.to_owned());
        }
        registration.check_shown_size()?;
        Ok(registration)
    }

    fn check_shown_size(&self) -> Result<(), Invalid> {
        // Six bytes is the longest spelling of a byte: most registrations need no closer look.
        let labels = self.labels().flat_map(|(name, value)| [name, value]);
        let strings = self.targets().iter().map(String::as_str).chain(labels);
        let most = strings.map(|text| 6 * text.len() + ENTRY_FRAME_BYTES).sum::<usize>();
        let modules = self.modules().iter().map(|module| 6 * module.len() + ENTRY_FRAME_BYTES).sum::<usize>();
        let entries = self.modules().len().max(1);
        if most.saturating_mul(entries).saturating_add(modules) <= SHOWN_BYTES_MAX {
            return Ok(());
        }
        let Fields { targets, labels, modules, .. } = &self.fields;
        let entry = json::encode(targets).len() + json::encode(labels).len() + ENTRY_FRAME_BYTES;
        let shown = entries.saturating_mul(entry).saturating_add(json::encode(modules).len());
        if shown > SHOWN_BYTES_MAX {
            let message = format!(
                "modules: with all modules, the registration takes {shown} bytes in the list; at most {SHOWN_BYTES_MAX} are allowed"
            );
            return Err(Invalid::new(InvalidKind::Size, message));
        }
        Ok(())
    }

    /// The addresses, as they were sent: order and repeats kept, never empty.
    pub fn targets(&self) -> &[String] {
        self.fields.targets.as_deref().unwrap_or_default()
    }

    /// The labels, sorted by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The target group, never empty.
    pub fn group(&self) -> &str {
        self.fields.group.as_deref().unwrap_or(DEFAULT_GROUP)
    }

    /// The modules, each of which multiplies the entry in the list.
    pub fn modules(&self) -> &[String] {
        &self.fields.modules
    }

    /// The lifetime that it asks for; `None` is the server's default.
    pub fn ttl(&self) -> Option<Ttl> {
        self.fields.ttl.as_ref().and_then(|ttl| ttl.as_ref().ok()).copied()
    }

    /// The id, a function of the targets alone.
    pub fn id(&self) -> TargetId {
        TargetId::of(self.targets())
    }
}

/// Which label names are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelNames {
    /// `[a-zA-Z_][a-zA-Z0-9_]*`: what every Prometheus accepts (`model.LabelName.IsValidLegacy`).
    Legacy,
    /// Any UTF-8 but the empty name: Prometheus 3 only.
    Utf8,
}

impl LabelNames {
    /// Why a name is not allowed; `None` if it is.
    pub(super) fn fault(self, name: &str) -> Option<String> {
        let legacy = |name: &str| {
            name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        match self {
            _ if name.is_empty() => Some("a name is empty".to_owned()),
            LabelNames::Legacy if !legacy(name) => Some(format!(
                "{:?} does not match [a-zA-Z_][a-zA-Z0-9_]*, as Prometheus before 3.0 requires; \
                 LABEL_NAMES=utf8 on the server allows it",
                echo(name)
            )),
            LabelNames::Legacy | LabelNames::Utf8 => None,
        }
    }
}

/// How much of a client's text an error repeats, in characters.
const ECHO_CHARS_MAX: usize = 100;

/// The longest message about JSON that is of the wrong form, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Why a registration is refused; the message names the field and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// For counting.
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
    /// A label for which Prometheus would drop the target, where that is not wanted.
    Scraping,
    /// Not a lifetime, or one outside the operator's bounds.
    Ttl,
}

impl InvalidKind {
    /// Every kind, for counters that start at zero.
    pub const ALL: [InvalidKind; 6] = [
        InvalidKind::Json,
        InvalidKind::Targets,
        InvalidKind::LabelName,
        InvalidKind::Size,
        InvalidKind::Scraping,
        InvalidKind::Ttl,
    ];

    /// The name of the kind as a label value.
    pub fn as_str(self) -> &'static str {
        match self {
            InvalidKind::Json => "json",
            InvalidKind::Targets => "targets",
            InvalidKind::LabelName => "label_name",
            InvalidKind::Size => "size",
            InvalidKind::Scraping => "scraping",
            InvalidKind::Ttl => "ttl",
        }
    }
}

impl Invalid {
    pub(super) fn new(kind: InvalidKind, message: impl Into<String>) -> Invalid {
        Invalid { kind, message: message.into() }
    }

    /// The same fault, with the name of the member around it.
    pub(super) fn within(self, member: &str) -> Invalid {
        Invalid { kind: self.kind, message: format!("{member}: {}", self.message) }
    }
}

/// The beginning of a client's text, short enough to be repeated to it.
pub(super) fn echo(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

impl From<serde_json::Error> for Invalid {
    fn from(error: serde_json::Error) -> Invalid {
        let what = if error.is_syntax() || error.is_eof() { "the body is not JSON: " } else { "" };
        // The text quotes the faulty value, which may be as long as the request.
        let text: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
        Invalid::new(InvalidKind::Json, format!("{what}{text}"))
    }
}
