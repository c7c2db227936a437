//! Whose turn it is to declare a group: one at a time, so that what is compared is what is changed.

use std::collections::HashSet;

use parking_lot::{Condvar, Mutex};

use crate::store::WAIT_MAX;

#[derive(Default)]
pub(super) struct Declaring {
    groups: Mutex<Groups>,
    ended: Condvar,
}

#[derive(Default)]
struct Groups {
    /// Those that somebody declares.
    taken: HashSet<String>,
    /// Those of them for which somebody else waits: no second one does, since each keeps a worker from all others.
    awaited: HashSet<String>,
}

/// The turn to declare a group, until it is dropped.
pub struct Turn<'a> {
    declaring: &'a Declaring,
    group: String,
}

impl Declaring {
    /// The turn to declare this group; `None` when somebody waits for it already, or others take too long.
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
