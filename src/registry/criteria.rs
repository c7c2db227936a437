//! Which registrations a list holds. Pure.

use std::collections::BTreeSet;

use super::discovery::Form;
use super::label_selector::LabelSelector;
use super::scope::Scope;
use super::shard::Shard;
use crate::registration::{Content, TargetId};

/// The most groups that one question may name.
pub const GROUPS_MAX: usize = 256;

/// A list that is there as long as the server runs.
#[derive(Debug, Clone, Copy)]
pub enum Selector<'a> {
    /// All registrations.
    All,
    /// Those of the group with exactly this name.
    Group(&'a str),
}

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
    /// What is shown of them.
    pub form: Form,
}

impl Criteria {
    /// Everything in these groups.
    pub fn of(scope: Scope, form: Form) -> Criteria {
        Criteria { scope, groups: BTreeSet::new(), labels: LabelSelector::default(), shard: None, form }
    }

    /// Whether a registration meets them.
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
