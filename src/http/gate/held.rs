//! The bytes that are held for clients: answers of their own that they have still to read, and large bodies that are
//! still to come. There is one bound for all of them together, and whoever has made no progress for longest makes room.
//! Answers that are equal are one in memory, however many clients are still reading them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus::IntGauge;

use crate::http::response::Body;

/// Smaller answers are not worth counting: the stack of the thread that sends them takes more.
const COUNTED_BYTES_MIN: usize = 16 * 1024;

/// How long somebody waits for room. Others read, or make room, in less.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often room is made meanwhile.
const ROOM_WAIT: Duration = Duration::from_millis(10);

pub(super) struct HeldBytes {
    state: Mutex<State>,
    released: Condvar,
    bytes_max: usize,
    gauge: IntGauge,
    hasher: RandomState,
}

#[derive(Default)]
struct State {
    bytes: usize,
    /// The answers by their hashes, with how many clients read each.
    answers: HashMap<u64, (Body, usize)>,
}

impl State {
    /// Puts an equal answer that somebody reads into the place of this one, if there is one.
    fn join(&mut self, hash: u64, body: &mut Body) -> bool {
        let known = self.answers.get_mut(&hash).filter(|(known, _)| known.parts() == body.parts());
        let Some((known, readers)) = known else { return false };
        *body = known.clone();
        *readers += 1;
        true
    }
}

/// Bytes that one client holds, until this is dropped.
pub(super) struct Hold {
    held: Arc<HeldBytes>,
    bytes: usize,
    /// The hash of an answer that others may read as well.
    shared: Option<u64>,
}

impl HeldBytes {
    pub(super) fn new(bytes_max: usize, gauge: IntGauge) -> Arc<HeldBytes> {
        Arc::new(HeldBytes {
            state: Mutex::default(),
            released: Condvar::new(),
            bytes_max,
            gauge,
            hasher: RandomState::new(),
        })
    }

    /// Holds an answer, if it has to be counted; `Err` when there is no room for it. An equal one that somebody reads takes
    /// its place.
    pub(super) fn answer(self: &Arc<HeldBytes>, body: &mut Body, make_room: impl Fn()) -> Result<Option<Hold>, NoRoom> {
        // One that is larger than all that may be held has all of it for itself.
        let bytes = body.own_bytes().min(self.bytes_max);
        if bytes < COUNTED_BYTES_MIN {
            return Ok(None);
        }
        // Of one in several parts the largest are shared already, and it is equal to no other.
        let [whole] = body.parts() else { return self.upload(bytes, make_room).map(Some) };
        let hash = self.hasher.hash_one(whole);
        let mut state = self.state.lock();
        let mut is_shared = state.join(hash, body);
        if !is_shared {
            self.take(&mut state, bytes, make_room)?;
            if state.join(hash, body) {
                // Somebody has found room for it meanwhile.
                state.bytes -= bytes;
                is_shared = true;
            } else if let Entry::Vacant(place) = state.answers.entry(hash) {
                place.insert((body.clone(), 1));
                is_shared = true;
            }
        }
        Ok(Some(Hold { held: Arc::clone(self), bytes, shared: is_shared.then_some(hash) }))
    }

    /// Holds a body that is still to come, all of it from the beginning: who had a part would wait for others who have one.
    pub(super) fn upload(self: &Arc<HeldBytes>, bytes: usize, make_room: impl Fn()) -> Result<Hold, NoRoom> {
        self.take(&mut self.state.lock(), bytes, make_room)?;
        Ok(Hold { held: Arc::clone(self), bytes, shared: None })
    }

    fn take(&self, state: &mut MutexGuard<'_, State>, bytes: usize, make_room: impl Fn()) -> Result<(), NoRoom> {
        let deadline = Instant::now() + ROOM_WAIT_MAX;
        while state.bytes + bytes > self.bytes_max {
            if Instant::now() >= deadline {
                return Err(NoRoom);
            }
            make_room();
            self.released.wait_for(state, ROOM_WAIT);
        }
        state.bytes += bytes;
        self.gauge.set(state.bytes as i64);
        Ok(())
    }
}

/// Everybody else who holds something makes progress.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.held.state.lock();
        if let Some(hash) = self.shared
            && let Some((_, readers)) = state.answers.get_mut(&hash)
        {
            *readers -= 1;
            if *readers > 0 {
                return;
            }
            state.answers.remove(&hash);
        }
        state.bytes -= self.bytes;
        self.held.gauge.set(state.bytes as i64);
        self.held.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD_MAX: usize = 10 * COUNTED_BYTES_MIN;

    fn held() -> Arc<HeldBytes> {
        HeldBytes::new(HELD_MAX, IntGauge::new("held", "held").unwrap())
    }

    fn body(byte: u8) -> Body {
        Body::from(vec![byte; COUNTED_BYTES_MIN])
    }

    fn is_one(a: &Body, b: &Body) -> bool {
        Arc::ptr_eq(&a.parts()[0], &b.parts()[0])
    }

    #[test]
    fn equal_answers_are_one_as_long_as_somebody_reads_it() {
        let held = held();
        let mut bodies = [body(1), body(1), body(2), Body::from(b"small".to_vec())];
        let holds = bodies.each_mut().map(|body| held.answer(body, || {}).unwrap());
        let [first, equal, other, _] = &bodies;
        assert!(is_one(first, equal) && !is_one(first, other) && other.parts()[0][0] == 2);
        assert!(holds[3].is_none(), "a small answer is not counted");
        assert_eq!(held.gauge.get(), 2 * COUNTED_BYTES_MIN as i64);
        let [first_hold, equal_hold, other_hold, _] = holds;
        drop((first_hold, other_hold));
        assert_eq!((held.gauge.get(), held.state.lock().answers.len()), (COUNTED_BYTES_MIN as i64, 1));
        let mut late = body(1);
        let late_hold = held.answer(&mut late, || {}).unwrap();
        assert!(is_one(&bodies[0], &late));
        drop((equal_hold, late_hold));
        assert_eq!((held.gauge.get(), held.state.lock().answers.len()), (0, 0), "nobody reads it any more");
    }

    #[test]
    fn as_many_as_read_an_answer_need_no_more_room_than_one() {
        let held = held();
        let answer = || held.answer(&mut body(1), || panic!("there is room")).unwrap();
        let holds: Vec<Option<Hold>> = (0..100).map(|_| answer()).collect();
        assert_eq!(held.gauge.get(), COUNTED_BYTES_MIN as i64);
        drop(holds);
        let own = (0..10).map(|byte| held.answer(&mut body(byte), || panic!("there is room")).unwrap());
        assert_eq!(own.collect::<Vec<_>>().len(), 10);
    }
}
