//! Which registrations a list holds, and which groups somebody may see or change. Pure.

use std::collections::BTreeSet;

use super::label_selector::LabelSelector;
use super::render::Form;
use super::shard::Shard;
use crate::registration::{Content, TargetId};

/// The most groups that one question may name.
pub const GROUPS_MAX: usize = 256;

/// What registrations have to meet, all of it, and what is shown of them. Equal ones are one list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Criteria {
    /// The groups that may be shown at all.
    pub scope: Scope,
    /// One of these groups; none is any.
    pub groups: BTreeSet<String>,
    /// What their labels have to meet.
    pub labels: LabelSelector,
    /// The part of the registrations that a Prometheus server takes.
    pub shard: Option<Shard>,
    pub form: Form,
}

impl Criteria {
    pub fn of(scope: Scope, form: Form) -> Criteria {
        Criteria { scope, groups: BTreeSet::new(), labels: LabelSelector::default(), shard: None, form }
    }

    /// The group in whose list they are looked for; `None` is the list of everything.
    pub(super) fn source(&self) -> Option<&str> {
        self.groups.first().filter(|_| self.groups.len() == 1).map(String::as_str)
    }

    /// Whether everything in that list meets them and is shown as there.
    pub(super) fn is_all_of_source(&self) -> bool {
        let has_source = match self.source() {
            Some(group) => self.scope.has(group),
            None => self.scope == Scope::All && self.groups.is_empty(),
        };
        has_source && self.labels.is_empty() && self.shard.is_none() && self.form == Form::Plain
    }

    /// Whether they are what a scope has, and nobody's question.
    pub(super) fn is_scope(&self) -> bool {
        self.groups.is_empty() && self.labels.is_empty() && self.shard.is_none() && self.form == Form::Plain
    }

    /// What it takes to see whether a registration meets them, compared with reading its bytes.
    pub(super) fn cost(&self, content: &Content) -> usize {
        content.byte_count() * (1 + self.labels.len())
    }

    /// What they take in memory, roughly.
    pub(super) fn byte_count(&self) -> usize {
        self.labels.byte_count() + self.groups.iter().map(|group| group.len() + size_of::<String>()).sum::<usize>()
    }

    pub fn meets(&self, id: TargetId, content: &Content) -> bool {
        self.shard.is_none_or(|shard| shard.has(id))
            && self.has_group(content)
            && self.labels.matches(|name| content.label(name))
    }

    fn has_group(&self, content: &Content) -> bool {
        if self.scope == Scope::All && self.groups.is_empty() {
            return true;
        }
        let group = content.group();
        self.scope.has(&group) && (self.groups.is_empty() || self.groups.contains(group.as_ref()))
    }
}

/// All groups, or some by name or by the beginning of their names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every group, also those that do not exist yet.
    All,
    /// Those that one of these patterns names.
    Groups(Vec<GroupPattern>),
}

/// Which groups a pattern names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupPattern {
    Name(String),
    Prefix(String),
}

impl Scope {
    pub fn has(&self, group: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Groups(patterns) => patterns.iter().any(|pattern| match pattern {
                GroupPattern::Name(name) => group == name,
                GroupPattern::Prefix(beginning) => group.starts_with(beginning.as_str()),
            }),
        }
    }
}
