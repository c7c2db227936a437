//! How long after the 200 on one server all the others show what was registered there. One registration at a time, and
//! one look at a time, so that looking takes little of what is looked at.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Plan;
use crate::connection::{Connection, poll, put};
use crate::puts::spread;
use crate::registrations::{body, document};

/// The pause between two registrations.
const EVERY: Duration = Duration::from_millis(20);

/// What was found, in seconds each.
#[derive(Default)]
pub(super) struct Delays {
    /// From the 200 to the look at which the last of the other servers showed it.
    pub(super) seen: Vec<f64>,
    /// How long it took to look at all the others once: the delay is known no better than that.
    pub(super) looks: Vec<f64>,
}

/// A registration unlike any before.
pub(super) struct Sample {
    request: Vec<u8>,
    look: Vec<u8>,
    sign: String,
}

impl Sample {
    /// Of one that nobody renews.
    pub(super) fn next(registrations: usize) -> Sample {
        static VERSION: AtomicU32 = AtomicU32::new(10_000);
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        let number = spread(registrations / 2 + version as usize % (registrations / 4), registrations);
        Sample {
            request: put(&body(number, version)),
            // From memory, unlike GET /target.
            look: poll(&format!("/api/v1/registrations/{}", document(number).0)),
            sign: format!(".{version}\""),
        }
    }

    /// Returns when it is answered with 200.
    pub(super) fn write(&self, connection: &mut Connection) {
        connection.exchange(&self.request).expect("it is registered");
    }

    pub(super) fn is_shown(&self, connection: &mut Connection) -> bool {
        let (status, response) = connection.fetch(&self.look);
        assert_eq!(status, 200, "it was registered before");
        String::from_utf8_lossy(&response).contains(&self.sign)
    }
}

impl Delays {
    /// The servers take turns at being the one that is written to.
    pub(super) fn measure(addresses: &[SocketAddr], plan: &Plan) -> Delays {
        let mut delays = Delays::default();
        if addresses.len() < 2 {
            return delays;
        }
        let mut connections: Vec<Connection> = addresses.iter().map(|address| Connection::open(*address)).collect();
        let begin = Instant::now();
        while begin.elapsed() < plan.slice {
            connections.rotate_left(1);
            let (first, others) = connections.split_first_mut().expect("there are some");
            let sample = Sample::next(plan.registrations);
            sample.write(first);
            let answered = Instant::now();
            let mut unseen: Vec<&mut Connection> = others.iter_mut().collect();
            while !unseen.is_empty() {
                unseen.retain_mut(|other| !sample.is_shown(other));
            }
            delays.seen.push(answered.elapsed().as_secs_f64());
            let start = Instant::now();
            assert!(others.iter_mut().all(|other| sample.is_shown(other)), "what was shown once is shown");
            delays.looks.push(start.elapsed().as_secs_f64());
            thread::sleep(EVERY);
        }
        delays
    }
}
