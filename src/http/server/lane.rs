//! The lane of requests whose handler may wait: they never take all workers, so that a slow store delays nobody else.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// The share of the workers that may be in the lane at the same time: two of three.
const SHARE: (usize, usize) = (2, 3);

/// Who is in the lane, and who waits to enter it.
pub(super) struct Lane<T> {
    inside_max: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    inside: usize,
    waiting: VecDeque<T>,
}

impl<T> Lane<T> {
    pub(super) fn of_workers(workers: usize) -> Lane<T> {
        let inside_max = (workers * SHARE.0 / SHARE.1).max(1);
        Lane { inside_max, state: Mutex::new(State { inside: 0, waiting: VecDeque::new() }) }
    }

    /// Lets this one in, unless there are too many; then it waits, and is given to somebody who leaves.
    pub(super) fn enter(&self, item: T) -> Option<T> {
        let mut state = self.state.lock();
        if state.inside >= self.inside_max {
            state.waiting.push_back(item);
            return None;
        }
        state.inside += 1;
        Some(item)
    }

    /// Leaves the lane, and lets the next one in, if there is one.
    pub(super) fn leave(&self) -> Option<T> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        state.inside -= usize::from(next.is_none());
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_the_lane_full_is_next_in_order() {
        let lane = Lane::of_workers(3);
        assert_eq!([1, 2, 3, 4].map(|item| lane.enter(item)), [Some(1), Some(2), None, None]);
        assert_eq!([lane.leave(), lane.leave(), lane.leave()], [Some(3), Some(4), None]);
        assert_eq!([5, 6].map(|item| lane.enter(item)), [Some(5), None]);
    }

    #[test]
    fn a_single_worker_may_wait() {
        assert_eq!(Lane::of_workers(1).enter(()), Some(()));
    }
}
