//! Registrations in Redis, with the keys and documents of the Go program: one Redis, used by any number of servers. The
//! mirror follows every change, whoever made it. The connection that follows also carries the writes.

mod answers;
mod apply;
mod clock;
mod cluster;
mod connect;
mod debt;
mod fault;
mod invalidations;
mod lanes;
mod link;
mod metrics;
mod pool;
mod processes;
mod replacing;
mod round;
mod session;
mod sessions;
mod settings;
mod transaction;
mod writes;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Value, cmd};

pub use connect::Connector;
pub use settings::{Address, InvalidUrl, POOL_SIZE_DEFAULT, RESYNC_EVERY_DEFAULT, Sentinel, Settings, Tls};

use connect::ANSWER_MAX;
use fault::Fault;
use link::{Context, Link};
use metrics::Metrics;
use pool::Pool;
use sessions::Follower;
use transaction::SMALL_MAX;

use super::{Check, Mirror, Outcome, Store, StoreError, Update, WAIT_MAX};
use crate::registration::{DOCUMENT_BYTES_MAX, TargetId};

/// How long a write waits, including for its turn. A Redis that does not answer ends the wait sooner.
const WRITE_WAIT_MAX: Duration = WAIT_MAX.saturating_add(Duration::from_millis(500));

/// How long a large write waits: the values that it replaces are read first, in many rounds.
const LARGE_WRITE_WAIT_MAX: Duration = Duration::from_secs(6);

/// A registry in Redis. Expiry is left to Redis and to the mirror.
pub struct RedisStore {
    link: Arc<Link>,
    pool: Pool,
}

impl RedisStore {
    /// Starts following Redis, which need not be there yet. Until it is, reads and writes fail and
    /// [`health`](Store::health) says why.
    ///
    /// # Errors
    /// The system cannot start the thread. A Redis that cannot be reached or used is not an error.
    pub fn start(
        connector: Arc<Connector>,
        mirror: Arc<dyn Mirror>,
        metrics: &prometheus::Registry,
    ) -> io::Result<RedisStore> {
        let metrics = Arc::new(Metrics::new(metrics));
        let link = Arc::new(Link::new());
        let pool = Pool::new(Arc::clone(&connector), Arc::clone(&link), Arc::clone(&metrics));
        let context = Context { connector, link: Arc::clone(&link), mirror, metrics };
        Follower::new(context).spawn()?;
        Ok(RedisStore { link, pool })
    }
}

impl Store for RedisStore {
    /// The updates reach the mirror in the same order as all other changes: of two writers on two servers, only Redis
    /// knows which came last.
    fn write(&self, updates: Vec<Update>, check: Option<Check>) -> Result<Outcome, StoreError> {
        if updates.is_empty() {
            return Ok(Outcome::Made(Vec::new()));
        }
        let wait = if updates.len() > SMALL_MAX { LARGE_WRITE_WAIT_MAX } else { WRITE_WAIT_MAX };
        let deadline = Instant::now() + wait;
        loop {
            let session = match (updates.len(), &check) {
                (1, None) => self.link.session()?,
                _ => self.link.session_for_transaction()?,
            };
            match session.write(updates.clone(), check.clone(), deadline) {
                // Nothing was sent, so the next session can send it. A write that may have been made is not repeated:
                // another server may have seen it and written something newer.
                Err(None) if Instant::now() + ANSWER_MAX <= deadline => {}
                written => return written.map_err(|error| error.unwrap_or_else(|| Fault::Outdated.into())),
            }
        }
    }

    fn get(&self, id: TargetId) -> Result<Option<Vec<u8>>, StoreError> {
        let session = self.link.session()?;
        let mut range = cmd("GETRANGE");
        range.arg(id.to_string()).arg(0).arg(DOCUMENT_BYTES_MAX);
        match self.pool.query(&session, &range, Instant::now() + WAIT_MAX) {
            // An absent value reads as empty.
            Ok(Value::BulkString(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(Fault::WrongType) => Ok(None),
            Ok(_) => Err(Fault::Unexpected("GETRANGE").into()),
            Err(fault) => Err(fault.into()),
        }
    }

    fn health(&self) -> Result<(), StoreError> {
        Ok(self.link.health().map_err(Fault::without_address)?)
    }

    fn close(&self) {
        self.link.close();
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> StoreError {
        let text = format!("Redis: {fault}");
        match fault {
            Fault::NoPermissionForSome(_) => StoreError::Unsupported(text),
            Fault::Contended => StoreError::Busy(text),
            _ => StoreError::Unavailable(text),
        }
    }
}
