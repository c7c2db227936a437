//! The server's settings as they were given: by a flag, the environment, or `.env`, in this order. An empty value
//! counts as not given.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::variables::{VARIABLES, Variable};
use crate::registration::LabelNames;

/// Two words and their meanings.
pub(super) type Choices<T> = [(&'static str, T); 2];

pub(super) fn chosen<T: Copy>(text: &str, choices: &Choices<T>) -> Option<T> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
}

pub(super) const LABEL_NAMES_CHOICES: Choices<LabelNames> =
    [("legacy", LabelNames::Legacy), ("utf8", LabelNames::Utf8)];

pub(super) struct Values {
    given: HashMap<&'static str, OsString>,
}

impl Values {
    /// Collects the values from `.env` and from these levels of the command line, the later of which win.
    pub(super) fn new(levels: &[&ArgMatches]) -> Result<Values, ConfigError> {
        let mut given =
            if std::env::var_os("APP_ENV").is_some() { HashMap::new() } else { env_file(Path::new(".env"))? };
        for source in [ValueSource::EnvVariable, ValueSource::CommandLine] {
            for (variable, level) in
                VARIABLES.iter().flat_map(|variable| levels.iter().map(move |level| (variable, level)))
            {
                // A level does not have every flag.
                let Ok(Some(value)) = level.try_get_one::<OsString>(variable.name) else { continue };
                if level.value_source(variable.name) == Some(source) {
                    given.insert(variable.name, value.clone());
                }
            }
        }
        given.retain(|_, value| !value.is_empty());
        Ok(Values { given })
    }

    /// Only the values in the environment.
    pub(super) fn of_environment() -> Values {
        let value = |variable: &Variable| Some((variable.name, std::env::var_os(variable.name)?));
        let given = VARIABLES.iter().filter_map(value).filter(|(_, value)| !value.is_empty());
        Values { given: given.collect() }
    }

    pub(super) fn raw(&self, variable: Variable) -> Option<&OsStr> {
        self.given.get(variable.name).map(OsString::as_os_str)
    }

    pub(super) fn is_given(&self, variable: Variable) -> bool {
        self.given.contains_key(variable.name)
    }

    /// The value or the default, parsed by `parse`; `expected` describes valid values.
    pub(super) fn optional<T>(
        &self,
        variable: Variable,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.raw(variable).or(variable.default.map(OsStr::new)) else { return Ok(None) };
        match value.to_str().and_then(parse) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(ConfigError::new(variable, &value.to_string_lossy(), format!("expected {expected}"))),
        }
    }

    /// The same for a variable that has a default, or must be given.
    pub(super) fn required<T>(
        &self,
        variable: Variable,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let value = self.optional(variable, expected, parse)?;
        value.ok_or_else(|| ConfigError::without_value(variable, format!("not set; expected {expected}")))
    }

    /// A whole number within bounds.
    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &self,
        variable: Variable,
        bounds: RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.required(variable, &expected, |text| text.parse().ok().filter(|number| bounds.contains(number)))
    }

    pub(super) fn choice<T: Copy>(&self, variable: Variable, choices: &Choices<T>) -> Result<T, ConfigError> {
        let expected = choices.each_ref().map(|(word, _)| *word).join(" or ");
        self.required(variable, &expected, |text| chosen(text, choices))
    }

    pub(super) fn switch(&self, variable: Variable) -> Result<bool, ConfigError> {
        self.choice(variable, &[("on", true), ("off", false)])
    }

    pub(super) fn text(&self, variable: Variable) -> Result<Option<String>, ConfigError> {
        self.optional(variable, "UTF-8", |text| Some(text.to_owned()))
    }

    /// A path need not be UTF-8.
    pub(super) fn path(&self, variable: Variable) -> Option<PathBuf> {
        self.raw(variable).or(variable.default.map(OsStr::new)).map(PathBuf::from)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    /// `None` for a secret or a missing value.
    value: Option<String>,
    reason: String,
}

impl ConfigError {
    pub(super) fn new(variable: Variable, value: &str, reason: String) -> ConfigError {
        ConfigError { variable: variable.name, value: Some(value.to_owned()), reason }
    }

    /// An error without the value, which is secret or missing.
    pub(super) fn without_value(variable: Variable, reason: String) -> ConfigError {
        ConfigError { variable: variable.name, value: None, reason }
    }

    /// An error for two variables that exclude each other.
    pub(super) fn together(one: Variable, other: Variable) -> ConfigError {
        ConfigError::without_value(one, format!("set together with {}; set one of them", other.name))
    }

    /// An error for a missing variable that another one needs.
    pub(super) fn missing(missing: Variable, other: Variable) -> ConfigError {
        ConfigError::without_value(missing, format!("not set; {} needs it", other.name))
    }

    pub(super) fn env_file(reason: String) -> ConfigError {
        ConfigError { variable: ".env", value: None, reason }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value:?}: {}", self.variable, self.reason),
            None => write!(f, "{}: {}", self.variable, self.reason),
        }
    }
}

impl std::error::Error for ConfigError {}

fn env_file(path: &Path) -> Result<HashMap<&'static str, OsString>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(e) => return Err(ConfigError::env_file(format!("cannot be read: {e}"))),
    };
    let text = text.trim_start_matches('\u{feff}');
    if let Some(number) = unquoted_dollar(text) {
        let reason = format!("line {number}: put a value with $ into single quotes, or a part of it is lost");
        return Err(ConfigError::env_file(reason));
    }
    let lines: Result<HashMap<String, String>, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
    let lines = lines.map_err(|e| ConfigError::env_file(syntax_error(text, e)))?;
    let value = |variable: &Variable| Some((variable.name, OsString::from(lines.get(variable.name)?)));
    Ok(VARIABLES.iter().filter_map(value).collect())
}

/// The number of the first line that sets one of our variables to a value with a `$` outside single quotes. It would be
/// taken for another variable's name: a token would lose what follows.
fn unquoted_dollar(text: &str) -> Option<usize> {
    let is_ours = |name: &str| VARIABLES.iter().any(|variable| variable.name == name);
    let has_dollar = |line: &str| {
        let line = line.trim_start();
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        // A blank and `#` begin a comment.
        let value = value.split(" #").next().unwrap_or_default();
        let outside: String = value.split('\'').step_by(2).collect();
        (is_ours(name.trim()) && outside.replace("\\$", "").contains('$')).then_some(())
    };
    text.lines().position(|line| has_dollar(line).is_some()).map(|at| at + 1)
}

/// The error's own text repeats the line, which may hold a token.
fn syntax_error(text: &str, error: dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(wrong, _) => {
            let number = text.lines().position(|line| line.contains(wrong.trim())).map_or(0, |at| at + 1);
            format!("line {number} is not of the form NAME=value; quote values with blanks or $")
        }
        e => e.to_string(),
    }
}
