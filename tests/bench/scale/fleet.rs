//! Several servers on one Redis, and what they use.

use std::net::SocketAddr;
use std::process;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::info::Info;
use crate::load::processor_seconds;
use crate::redis::Redis;
use crate::server::{Server, Setup};

/// How often some server is looked at while all start: seldom, since it takes time from them.
const LOOK: Duration = Duration::from_millis(2);

/// Servers that share a registry.
pub(super) struct Fleet<'a> {
    pub(super) redis: &'a Redis,
    pub(super) replicas: Vec<Server>,
    /// Where they keep their logs.
    _setups: Vec<Setup>,
}

/// What was used, since some beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    /// Processor time of Redis, in seconds.
    pub(super) redis: f64,
    /// Processor time of all servers together, in seconds.
    pub(super) replicas: f64,
    /// Commands that Redis was given.
    pub(super) commands: f64,
    /// Bytes that Redis sent.
    pub(super) sent: f64,
    /// Processor time of this process, in seconds.
    own: f64,
    /// The time that passed, in seconds.
    time: f64,
}

impl Used {
    /// By all of them since each was started.
    pub(super) fn by(redis: &Redis, replicas: &[Server]) -> Used {
        let of_replica = |server: &Server| processor_seconds(server.target().process);
        let Info { commands, sent, .. } = Info::of(redis);
        Used {
            redis: processor_seconds(redis.process()),
            replicas: replicas.iter().map(of_replica).sum(),
            commands,
            sent,
            own: processor_seconds(process::id()),
            time: begin().elapsed().as_secs_f64(),
        }
    }

    /// What was used beyond that.
    pub(super) fn since(self, before: Used) -> Used {
        self.with(before, |now, before| now - before)
    }

    /// For each of so many.
    pub(super) fn each(self, count: f64) -> Used {
        self.with(self, |all, _| all / count)
    }

    fn with(self, other: Used, made: impl Fn(f64, f64) -> f64) -> Used {
        Used {
            redis: made(self.redis, other.redis),
            replicas: made(self.replicas, other.replicas),
            commands: made(self.commands, other.commands),
            sent: made(self.sent, other.sent),
            own: made(self.own, other.own),
            time: made(self.time, other.time),
        }
    }

    /// The share of the machine's processors that all of this took, the load included. What the system says of its idle
    /// time is no help: it looks at ticks, between which much of this happens.
    pub(super) fn of_machine(self) -> f64 {
        let processors = thread::available_parallelism().map_or(1, usize::from) as f64;
        (self.redis + self.replicas + self.own) / self.time / processors
    }
}

/// When the time began.
fn begin() -> Instant {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    *BEGIN.get_or_init(Instant::now)
}

impl<'a> Fleet<'a> {
    /// Starts so many at once and waits until all are ready.
    pub(super) fn start(redis: &'a Redis, count: usize) -> Fleet<'a> {
        let setups: Vec<Setup> = (0..count).map(|_| Setup::redis(redis.address())).collect();
        let look = LOOK.mul_f64(count as f64);
        let replicas = thread::scope(|scope| {
            let starts: Vec<_> = setups.iter().map(|setup| scope.spawn(move || setup.start_and_look(look))).collect();
            starts.into_iter().map(|start| start.join().expect("a server starts")).collect()
        });
        Fleet { redis, replicas, _setups: setups }
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(Server::address).collect()
    }

    /// What is used for a while from now on, for each second.
    pub(super) fn used_each_second(&self, duration: Duration) -> Used {
        let before = Used::by(self.redis, &self.replicas);
        thread::sleep(duration);
        let used = Used::by(self.redis, &self.replicas).since(before);
        used.each(used.time)
    }

    pub(super) fn end(self) {
        self.replicas.into_iter().for_each(Server::end);
    }
}
