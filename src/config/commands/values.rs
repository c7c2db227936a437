//! The values of flags, and how they are parsed.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::config::values::{LABEL_NAMES_CHOICES, chosen};
use crate::registration::{LabelNames, Ttl, parse_duration};

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; lines with tabs when the output is no terminal.
    Table,
    /// The same with everything, however wide.
    Wide,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// A column of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Field {
    /// The addresses.
    Targets,
    /// The group.
    Group,
    /// The labels.
    Labels,
    /// The modules of the exporter.
    Modules,
    /// How long it still lives.
    Expires,
    /// When it was registered or renewed.
    Updated,
    /// How long it lives after that.
    Ttl,
    /// The id.
    Id,
}

impl Field {
    /// Its name in the API.
    pub fn member(self) -> &'static str {
        match self {
            Field::Targets => "targets",
            Field::Group => "target_group",
            Field::Labels => "labels",
            Field::Modules => "modules",
            Field::Expires => "expires_at",
            Field::Updated => "updated_at",
            Field::Ttl => "ttl_seconds",
            Field::Id => "id",
        }
    }
}

/// A key by which a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortFlag {
    field: Field,
    /// In descending order.
    pub is_descending: bool,
}

impl SortFlag {
    /// Its name in the API.
    pub fn member(&self) -> &'static str {
        self.field.member()
    }

    /// This order as a parameter for the server, if every version of the server knows it.
    pub fn on_server(&self) -> Option<String> {
        let is_known = matches!(self.field, Field::Id | Field::Group | Field::Expires | Field::Updated);
        let sign = if self.is_descending { "-" } else { "" };
        is_known.then(|| format!("{sign}{}", self.member()))
    }
}

/// A path. An empty one counts as not given, but clap's own parser refuses it.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The formats that `import` and `register` read.
pub(super) fn export_format() -> impl TypedValueParser<Value = Format> {
    let values = [PossibleValue::new("json").help("JSON"), PossibleValue::new("yaml").help("YAML")];
    PossibleValuesParser::new(values).map(|name| if name == "yaml" { Format::Yaml } else { Format::Json })
}

pub(super) fn sort_key(text: &str) -> Result<SortFlag, &'static str> {
    let (name, is_descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let sortable = [Field::Group, Field::Targets, Field::Expires, Field::Updated, Field::Ttl, Field::Id];
    let field = Field::from_str(name, false).ok().filter(|field| sortable.contains(field));
    let field =
        field.ok_or("expected group, targets, expires, updated, ttl or id, with - before it for descending order")?;
    Ok(SortFlag { field, is_descending })
}

pub(super) fn changes_limit(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|limit| (1..=1000).contains(limit)).ok_or("expected a number from 1 to 1000")
}

pub(super) fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn lifetime(text: &str) -> Result<u64, String> {
    let seconds = match text {
        "never" => Some(0),
        _ => parse_duration(text).filter(|ttl| ttl.subsec_nanos() == 0 && !ttl.is_zero()).map(|ttl| ttl.as_secs()),
    };
    let expected = "expected whole seconds such as 10m or 1h30m, or never";
    seconds.filter(|seconds| *seconds <= Ttl::SECONDS_MAX).ok_or_else(|| expected.to_owned())
}

pub(super) fn time_to_wait(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).filter(|wait| !wait.is_zero()).ok_or("expected a duration such as 10s")
}

pub(super) fn label_names(text: &str) -> Result<LabelNames, &'static str> {
    chosen(text, &LABEL_NAMES_CHOICES).ok_or("expected legacy or utf8")
}
