//! The plan by which a group becomes exactly what is declared, and the turns to declare it. Nothing here carries out a
//! plan.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::allowance::Unanswered;
use super::condition::{Principal, Seen};
use super::summaries::declared_hash;
use super::view::{Now, View};
use crate::registration::{Content, Registration, TargetId};
use crate::store::{Update, WAIT_MAX};

/// A group as it should become.
#[derive(Debug)]
pub struct Declaration<'a> {
    pub group: &'a str,
    /// Its registrations, no two with the same id.
    pub registrations: &'a [Registration],
}

/// The steps from a group as it is to the group as it is declared.
#[derive(Debug, Default)]
pub struct Plan {
    pub created: usize,
    /// How many change, or come from another group.
    pub updated: usize,
    /// How many are only renewed.
    pub unchanged: usize,
    pub deleted: usize,
    /// The entries that are in another group, and that group.
    pub elsewhere: Vec<(usize, Arc<str>)>,
    /// The entries under whose ids there is an unreadable value, so that nobody knows whose it is.
    pub unreadable: Vec<usize>,
    /// The hash of the group as it is, as [`View::group`] returns it.
    pub hash_before: Option<u64>,
    /// The hash of the group as it will be.
    pub hash_after: u64,
    pub(super) updates: Vec<Update>,
    /// The state that the plan follows from.
    pub(super) seen: HashMap<TargetId, Seen>,
}

impl View {
    pub fn plan(&self, declaration: &Declaration<'_>, by: &Principal, now: Now) -> Result<Plan, Unanswered> {
        let Now { monotonic, wall: updated_at } = now;
        let list = self.kept_list(Some(declaration.group), monotonic)?.list;
        let hash_before = (!list.is_empty()).then(|| declared_hash(list.registrations()));
        let mut plan = Plan { hash_before, ..Plan::default() };
        // Everything follows from this snapshot: a later change of the view conflicts with the plan.
        let mut unnamed: BTreeMap<TargetId, &Content> = list.registrations().collect();
        let mut contents: Vec<(TargetId, Content)> = Vec::with_capacity(declaration.registrations.len());
        for (at, registration) in declaration.registrations.iter().enumerate() {
            let (id, content) = (registration.id(), Content::new(registration));
            let shown = self.details(id, monotonic);
            let deadline = shown.as_ref().and_then(|shown| shown.deadline);
            let elsewhere = || shown.map(|shown| shown.content).filter(|content| content.group() != declaration.group);
            let seen = match (unnamed.remove(&id), elsewhere) {
                (Some(present), _) => {
                    let is_same = present.shows_the_same(&content);
                    *(if is_same { &mut plan.unchanged } else { &mut plan.updated }) += 1;
                    Seen::Showing(present.clone(), deadline)
                }
                (None, elsewhere) => match elsewhere() {
                    Some(present) => {
                        plan.updated += 1;
                        plan.elsewhere.push((at, Arc::from(present.group())));
                        Seen::Showing(present, deadline)
                    }
                    None => {
                        plan.created += 1;
                        plan.unreadable.extend(self.lock().quarantined.contains_key(&id).then_some(at));
                        Seen::Nothing
                    }
                },
            };
            plan.seen.insert(id, seen);
            let ttl = registration.ttl().unwrap_or(self.rules.ttl);
            plan.updates.push(Update::Put { id, content: content.clone(), updated_at, ttl, by: Some(by.name.clone()) });
            contents.push((id, content));
        }
        let ids: Vec<TargetId> = unnamed.keys().copied().collect();
        let shown = self.details_of(&ids, monotonic).into_iter();
        let deadlines: HashMap<TargetId, Option<Instant>> = shown.map(|(id, shown)| (id, shown.deadline)).collect();
        for (id, content) in unnamed {
            plan.deleted += 1;
            plan.seen.insert(id, Seen::Showing(content.clone(), deadlines.get(&id).copied().flatten()));
            plan.updates.push(Update::Delete { id, by: Some(by.name.clone()) });
        }
        contents.sort_unstable_by_key(|(id, _)| *id);
        plan.hash_after = declared_hash(contents.iter().map(|(id, content)| (*id, content)));
        Ok(plan)
    }
}

/// The turns to declare groups: one at a time for each group, so that what is compared is what is changed.
#[derive(Default)]
pub(super) struct Declaring {
    groups: Mutex<Groups>,
    ended: Condvar,
}

#[derive(Default)]
struct Groups {
    /// Groups that are being declared.
    taken: HashSet<String>,
    /// Groups for which another request waits. No second one may, because each occupies a worker.
    awaited: HashSet<String>,
}

/// The turn to declare a group, until it is dropped.
pub struct Turn<'a> {
    declaring: &'a Declaring,
    group: String,
}

impl Declaring {
    /// The turn to declare this group; `None` if another request waits for it already, or others take too long.
    pub(super) fn take(&self, group: &str) -> Option<Turn<'_>> {
        let mut groups = self.groups.lock();
        if groups.taken.contains(group) {
            if !groups.awaited.insert(group.to_owned()) {
                return None;
            }
            self.ended.wait_while_for(&mut groups, |groups| groups.taken.contains(group), WAIT_MAX);
            groups.awaited.remove(group);
        }
        groups.taken.insert(group.to_owned()).then(|| Turn { declaring: self, group: group.to_owned() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.declaring.groups.lock().taken.remove(&self.group);
        self.declaring.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_group_is_declared_by_one_at_a_time_another_waits_and_no_more_than_one() {
        let declaring = Declaring::default();
        let turn = declaring.take("a").unwrap();
        assert!(declaring.take("b").is_some(), "another group is nobody's business");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| declaring.take("a").is_some());
            while declaring.groups.lock().awaited.is_empty() {
                thread::yield_now();
            }
            assert!(declaring.take("a").is_none(), "one waits already");
            drop(turn);
            assert!(waiting.join().unwrap());
        });
        assert!(declaring.take("a").is_some());
    }
}
