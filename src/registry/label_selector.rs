//! Label selectors as Kubernetes writes them: `a=b,c!=d,e in (x,y),f notin (z),g,!h`. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// The most requirements of one question.
pub const REQUIREMENTS_MAX: usize = 32;

/// The most values that these name together.
pub const VALUES_MAX: usize = 256;

/// What may stand around names, values and operators.
const BLANKS: [char; 2] = [' ', '\t'];

/// Requirements on the labels of a registration, all of which must hold. Equal for equal requirements, however they
/// were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    requirements: BTreeSet<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Requirement {
    In(String, BTreeSet<String>),
    /// Holds where the label is absent, too.
    NotIn(String, BTreeSet<String>),
    Exists(String),
    Absent(String),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError {
    /// Where it stops being one, in characters from 1.
    at: usize,
    expected: &'static str,
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at character {}", self.expected, self.at)
    }
}

impl std::error::Error for SelectorError {}

impl LabelSelector {
    /// Reads a selector. Names are `[a-zA-Z_][a-zA-Z0-9_]*`. Values are anything without `( ) , "` and outer blanks,
    /// or stand in double quotes with `\"` and `\\`; they may be empty.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        let mut parser = Parser { text, rest: text };
        let mut selector = LabelSelector::default();
        loop {
            selector.requirements.insert(parser.requirement()?);
            parser.skip_blanks();
            if parser.rest.is_empty() {
                return Ok(selector);
            }
            parser.take(",").ok_or_else(|| parser.error("a comma or the end"))?;
        }
    }

    /// Requires what the other one requires as well.
    pub fn and(&mut self, other: LabelSelector) {
        self.requirements.extend(other.requirements);
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn len(&self) -> usize {
        self.requirements.len()
    }

    /// What they take in memory, roughly.
    pub fn byte_count(&self) -> usize {
        let of = |requirement: &Requirement| match requirement {
            Requirement::In(name, values) | Requirement::NotIn(name, values) => {
                text_bytes(name) + set_bytes(values, text_bytes)
            }
            Requirement::Exists(name) | Requirement::Absent(name) => text_bytes(name),
        };
        set_bytes(&self.requirements, of)
    }

    /// Whether there are too many requirements or values for one question.
    pub fn is_too_large(&self) -> bool {
        let values: usize = self.requirements.iter().map(Requirement::value_count).sum();
        self.len() > REQUIREMENTS_MAX || values > VALUES_MAX
    }

    /// Whether all requirements hold, given the value that each label has.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In(name, values) => label(name).is_some_and(|value| values.contains(&*value)),
            Requirement::NotIn(name, values) => label(name).is_none_or(|value| !values.contains(&*value)),
            Requirement::Exists(name) => label(name).is_some(),
            Requirement::Absent(name) => label(name).is_none(),
        })
    }
}

impl Requirement {
    fn value_count(&self) -> usize {
        match self {
            Requirement::In(_, values) | Requirement::NotIn(_, values) => values.len(),
            Requirement::Exists(_) | Requirement::Absent(_) => 0,
        }
    }
}

/// What a text takes besides its place, in bytes.
fn text_bytes(text: &String) -> usize {
    text.capacity() + 2 * size_of::<usize>()
}

/// What a set takes besides its place, in bytes: its nodes have eleven places each, and at least five are filled.
fn set_bytes<T>(set: &BTreeSet<T>, of: impl Fn(&T) -> usize) -> usize {
    set.len().div_ceil(5) * 11 * size_of::<T>() + set.iter().map(of).sum::<usize>()
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        self.skip_blanks();
        if self.take("!").is_some() {
            return Ok(Requirement::Absent(self.name()?));
        }
        let name = self.name()?;
        self.skip_blanks();
        let one = |value| BTreeSet::from([value]);
        if self.take("!=").is_some() {
            Ok(Requirement::NotIn(name, one(self.value()?)))
        } else if self.take("==").or_else(|| self.take("=")).is_some() {
            Ok(Requirement::In(name, one(self.value()?)))
        } else if self.take("notin").is_some() {
            Ok(Requirement::NotIn(name, self.values()?))
        } else if self.take("in").is_some() {
            Ok(Requirement::In(name, self.values()?))
        } else if self.rest.is_empty() || self.rest.starts_with(',') {
            Ok(Requirement::Exists(name))
        } else {
            Err(self.error("one of = == != in notin, a comma or the end"))
        }
    }

    fn name(&mut self) -> Result<String, SelectorError> {
        self.skip_blanks();
        let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        if end == 0 || self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.error("a label name, [a-zA-Z_][a-zA-Z0-9_]*,"));
        }
        Ok(self.advance(end).to_owned())
    }

    /// A list in parentheses. It has one value more than commas, so that only blanks alone are an empty one.
    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        self.skip_blanks();
        self.take("(").ok_or_else(|| self.error("a list in parentheses"))?;
        self.skip_blanks();
        if self.rest.starts_with(')') {
            return Err(self.error("a value"));
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            self.skip_blanks();
            if self.take(")").is_some() {
                return Ok(values);
            }
            self.take(",").ok_or_else(|| self.error("a comma or a closing parenthesis"))?;
        }
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        self.skip_blanks();
        if self.take("\"").is_some() {
            return self.quoted();
        }
        let end = self.rest.find(['(', ')', ',', '"']).unwrap_or(self.rest.len());
        Ok(self.advance(end).trim_end_matches(BLANKS).to_owned())
    }

    fn quoted(&mut self) -> Result<String, SelectorError> {
        let mut value = String::new();
        loop {
            let end = self.rest.find(['"', '\\']).ok_or_else(|| self.error_at_end("a closing quote"))?;
            value.push_str(self.advance(end));
            if self.take("\"").is_some() {
                return Ok(value);
            }
            self.advance(1);
            let escaped = self.take("\"").or_else(|| self.take("\\"));
            value.push_str(escaped.ok_or_else(|| self.error("a quote or a backslash after the backslash"))?);
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(BLANKS);
    }

    fn take(&mut self, token: &'static str) -> Option<&'static str> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(token)
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn error(&self, expected: &'static str) -> SelectorError {
        let read = &self.text[..self.text.len() - self.rest.len()];
        SelectorError { at: read.chars().count() + 1, expected }
    }

    fn error_at_end(&self, expected: &'static str) -> SelectorError {
        SelectorError { at: self.text.chars().count() + 1, expected }
    }
}

#[cfg(test)]
mod tests;
