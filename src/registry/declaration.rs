//! What has to be done so that a group is exactly what somebody declares. Nothing here does it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::allowance::NotLoaded;
use super::criteria::Selector;
use super::overview::declared_hash;
use super::view::View;
use crate::registration::{Content, Registration, TargetId, Ttl};
use crate::store::Update;

/// A group as it is to be.
#[derive(Debug)]
pub struct Declaration<'a> {
    /// The name of the group.
    pub group: &'a str,
    /// Its registrations, no two with the same id.
    pub registrations: &'a [Registration],
}

/// The way from a group as it is to the group as it is declared.
#[derive(Debug, Default)]
pub struct Plan {
    /// How many registrations are new.
    pub created: usize,
    /// How many change, or come from another group.
    pub updated: usize,
    /// How many only begin their lifetimes anew.
    pub unchanged: usize,
    /// How many go.
    pub deleted: usize,
    /// Which entries stand in another group, and in which.
    pub elsewhere: Vec<(usize, Arc<str>)>,
    /// The number of the group as it is, like that of the group that [`Registry::group`](super::Registry::group) gives.
    pub hash_before: Option<u64>,
    /// The number of the group as it will be.
    pub hash_after: u64,
    pub(super) updates: Vec<Update>,
}

/// Compares a group with what it is to be.
pub(super) fn plan(
    view: &View,
    declaration: &Declaration<'_>,
    default_ttl: Ttl,
    by: &Arc<str>,
    updated_at: SystemTime,
    now: Instant,
) -> Result<Plan, NotLoaded> {
    let list = view.list(Selector::Group(declaration.group), now)?.list;
    let hash_before = (!list.is_empty()).then(|| declared_hash(list.registrations()));
    let mut plan = Plan { hash_before, ..Plan::default() };
    let mut contents: Vec<(TargetId, Content)> = Vec::with_capacity(declaration.registrations.len());
    for (at, registration) in declaration.registrations.iter().enumerate() {
        let (id, content) = (registration.id(), Content::new(registration));
        match view.details(&[id], now).pop() {
            None => plan.created += 1,
            Some((_, present)) if present.content.shows_the_same(&content) => plan.unchanged += 1,
            Some((_, present)) => {
                plan.updated += 1;
                let group = present.content.group();
                if group != declaration.group {
                    plan.elsewhere.push((at, Arc::from(group)));
                }
            }
        }
        let ttl = registration.ttl().unwrap_or(default_ttl);
        plan.updates.push(Update::Put { id, content: content.clone(), updated_at, ttl, by: Some(by.clone()) });
        contents.push((id, content));
    }
    let named: HashSet<TargetId> = contents.iter().map(|(id, _)| *id).collect();
    let gone = list.registrations().map(|(id, _)| id).filter(|id| !named.contains(id));
    let deletions: Vec<Update> = gone.map(|id| Update::Delete { id, by: Some(by.clone()) }).collect();
    plan.deleted = deletions.len();
    plan.updates.extend(deletions);
    contents.sort_unstable_by_key(|(id, _)| *id);
    plan.hash_after = declared_hash(contents.iter().map(|(id, content)| (*id, content)));
    Ok(plan)
}
