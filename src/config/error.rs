//! A value that the program cannot start with, and what would be right.

use std::fmt;

use super::variables::Variable;

/// A value that the program cannot start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    /// `None` for a secret, or when it is missing.
    value: Option<String>,
    reason: String,
}

impl ConfigError {
    pub(super) fn new(variable: Variable, value: &str, reason: String) -> ConfigError {
        ConfigError { variable: variable.name, value: Some(value.to_owned()), reason }
    }

    /// An error whose value is a secret, or is not there.
    pub(super) fn without_value(variable: Variable, reason: String) -> ConfigError {
        ConfigError { variable: variable.name, value: None, reason }
    }

    /// Two variables that say the same thing.
    pub(super) fn together(one: Variable, other: Variable) -> ConfigError {
        ConfigError::without_value(one, format!("set together with {}; set one of them", other.name))
    }

    /// A variable that another one is nothing without.
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
