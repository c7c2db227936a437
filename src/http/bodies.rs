//! Answers that are equal are one in memory, however many clients are still reading them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use super::response::{Body, WeakBody};

/// Smaller bodies are not worth looking for.
const SHARED_BYTES_MIN: usize = 4096;

/// How many bodies are known before those are forgotten that nobody reads any more.
const KNOWN_MIN: usize = 64;

/// The bodies that clients are reading, by their hashes.
#[derive(Default)]
pub(super) struct Bodies {
    known: Mutex<Known>,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    bodies: HashMap<u64, WeakBody>,
    /// How many were still being read when the others were forgotten last.
    read: usize,
}

impl Bodies {
    /// This body, or an equal one that somebody is reading. Lists are shared already.
    pub(super) fn shared(&self, body: Body) -> Body {
        let [bytes] = body.parts() else { return body };
        if body.own_bytes() < SHARED_BYTES_MIN {
            return body;
        }
        let hash = self.hasher.hash_one(bytes);
        let mut known = self.known.lock();
        let equal = known.bodies.get(&hash).and_then(WeakBody::upgrade);
        if let Some(equal) = equal.filter(|equal| equal.parts() == body.parts()) {
            return equal;
        }
        if known.bodies.len() >= KNOWN_MIN.max(2 * known.read) {
            known.bodies.retain(|_, body| body.upgrade().is_some());
            known.read = known.bodies.len();
        }
        known.bodies.insert(hash, body.downgrade());
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(n: usize) -> Body {
        Body::from(vec![u8::try_from(n % 251).unwrap(); SHARED_BYTES_MIN + n])
    }

    fn is_one(a: &Body, b: &Body) -> bool {
        std::ptr::eq(&raw const a.parts()[0][0], &raw const b.parts()[0][0])
    }

    #[test]
    fn equal_bodies_are_one_as_long_as_somebody_reads_it() {
        let bodies = Bodies::default();
        let first = bodies.shared(body(1));
        assert!(is_one(&first, &bodies.shared(body(1))));
        assert!(!is_one(&first, &bodies.shared(body(2))), "it was never kept");
        assert_eq!(bodies.shared(body(2)).len(), body(2).len());
        let small = Body::from(b"small".to_vec());
        assert!(is_one(&small, &bodies.shared(small.clone())));
    }

    #[test]
    fn what_nobody_reads_is_forgotten() {
        let bodies = Bodies::default();
        let read: Vec<Body> = (0..100).map(|n| bodies.shared(body(n))).collect();
        (100..5000).for_each(|n| drop(bodies.shared(body(n))));
        assert!(bodies.known.lock().bodies.len() <= 2 * read.len() + 1);
        assert!(read.iter().enumerate().all(|(n, first)| is_one(first, &bodies.shared(body(n)))));
    }
}
