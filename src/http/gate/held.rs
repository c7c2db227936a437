//! The bytes that are held for clients: answers made for one client and not read yet, and large bodies on their way.
//! All of them together have one bound, and the client that has made no progress for longest makes room. Equal answers
//! are kept in memory once, however many clients are reading them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus::IntGauge;

use crate::http::response::Body;

/// Smaller answers are not counted: the stack of the thread that sends them takes more.
const COUNTED_BYTES_MIN: usize = 16 * 1024;

/// How long a request waits for room. Other clients read, or are evicted, in less.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often a client is evicted meanwhile.
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
    /// Replaces this answer by an equal one that a client is reading, if there is one.
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

    /// Counts an answer as held, if it is large enough; `Err` if there is no room for it. Shares an equal one that a
    /// client is reading.
    pub(super) fn answer(self: &Arc<HeldBytes>, body: &mut Body, make_room: impl Fn()) -> Result<Option<Hold>, NoRoom> {
        // An answer larger than the bound takes all of it.
        let bytes = body.own_bytes().min(self.bytes_max);
        if bytes < COUNTED_BYTES_MIN {
            return Ok(None);
        }
        // The largest parts of an answer in several parts are shared already, and it equals no other.
        let [whole] = body.parts() else { return self.upload(bytes, make_room).map(Some) };
        let hash = self.hasher.hash_one(whole);
        let mut state = self.state.lock();
        let mut is_shared = state.join(hash, body);
        if !is_shared {
            self.take(&mut state, bytes, make_room)?;
            if state.join(hash, body) {
                // Another request has found room for it meanwhile.
                state.bytes -= bytes;
                is_shared = true;
            } else if let Entry::Vacant(place) = state.answers.entry(hash) {
                place.insert((body.clone(), 1));
                is_shared = true;
            }
        }
        Ok(Some(Hold { held: Arc::clone(self), bytes, shared: is_shared.then_some(hash) }))
    }

    /// Counts a body that is still to come, all of it from the beginning: a client with half of its room would wait for
    /// others with half of theirs.
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

/// There is no room: all other holders make progress.
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
