//! Label selectors as Kubernetes writes them: `a=b,c!=d,e in (x,y),f notin (z),g,!h`. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// The most requirements of one question.
pub const REQUIREMENTS_MAX: usize = 32;

/// The most values in all requirements of one question.
pub const VALUES_MAX: usize = 256;

/// What may stand around names, values and operators.
const BLANKS: [char; 2] = [' ', '\t'];

/// Requirements on the labels of a registration, all of which must hold. Equal for equal requirements, however they
/// were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    requirements: BTreeSet<Requirement>,
}

/// A label must have one of these values, or merely exist if there are none; negated, the opposite.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Requirement {
    name: String,
    values: BTreeSet<String>,
    is_negated: bool,
}

/// Why a text is not a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError {
    /// The position of the fault, in characters from 1.
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
    /// Parses a selector. Names are `[a-zA-Z_][a-zA-Z0-9_]*`. A value has no `( ) , "` and no outer blanks, or it is in
    /// double quotes with `\"` and `\\`. It may be empty.
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

    /// Adds the requirements of another selector.
    pub fn and(&mut self, other: LabelSelector) {
        self.requirements.extend(other.requirements);
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn len(&self) -> usize {
        self.requirements.len()
    }

    /// About how many bytes of memory they take: each node of a set has eleven places, of which at least five are
    /// filled.
    pub fn byte_count(&self) -> usize {
        let places = |count: usize, bytes: usize| count.div_ceil(5) * 11 * bytes;
        let of = |Requirement { name, values, .. }: &Requirement| {
            name.len() + places(values.len(), size_of::<String>()) + values.iter().map(String::len).sum::<usize>()
        };
        places(self.len(), size_of::<Requirement>()) + self.requirements.iter().map(of).sum::<usize>()
    }

    /// Whether there are too many requirements or values for one question.
    pub fn is_too_large(&self) -> bool {
        let values: usize = self.requirements.iter().map(|requirement| requirement.values.len()).sum();
        self.len() > REQUIREMENTS_MAX || values > VALUES_MAX
    }

    /// Whether all requirements hold, given the value that each label has.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.requirements.iter().all(|Requirement { name, values, is_negated }| {
            label(name).is_some_and(|value| values.is_empty() || values.contains(&*value)) != *is_negated
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        self.skip_blanks();
        if self.take("!").is_some() {
            return Ok(Requirement { name: self.name()?, values: BTreeSet::new(), is_negated: true });
        }
        let name = self.name()?;
        self.skip_blanks();
        let (values, is_negated) = if self.take("!=").is_some() {
            (BTreeSet::from([self.value()?]), true)
        } else if self.take("==").or_else(|| self.take("=")).is_some() {
            (BTreeSet::from([self.value()?]), false)
        } else if self.take("notin").is_some() {
            (self.values()?, true)
        } else if self.take("in").is_some() {
            (self.values()?, false)
        } else if self.rest.is_empty() || self.rest.starts_with(',') {
            (BTreeSet::new(), false)
        } else {
            return Err(self.error("one of = == != in notin, a comma or the end"));
        };
        Ok(Requirement { name, values, is_negated })
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

    /// A list in parentheses. A value may be empty, the list may not.
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
