//! Registrations in Redis, in the keys and documents of the Go program: one Redis, any number of servers beside it.
//! The mirror follows every change, whoever made it; the connection on which it does carries the writes as well.

mod apply;
mod connect;
mod fault;
mod follow;
mod link;
mod metrics;
mod pool;
mod restore;
mod scan;
mod session;
mod settings;
mod track;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ::redis::{Value, cmd};

pub use settings::{Address, InvalidUrl, POOL_SIZE_DEFAULT, RESYNC_EVERY_DEFAULT, Sentinel, Settings, Tls};

use connect::{ANSWER_MAX, Connector};
use fault::Fault;
use follow::{Ends, Follower};
use link::Link;
use metrics::Metrics;
use pool::Pool;

use super::{Change, Mirror, Store, StoreError, WAIT_MAX};
use crate::registration::{TargetId, Ttl};

/// A registry in Redis. Expiry is left to Redis and to the mirror.
pub struct RedisStore {
    link: Arc<Link>,
    pool: Pool,
}

impl RedisStore {
    /// Starts following Redis. It need not be there yet: until it is, reads and writes fail and
    /// [`health`](Store::health) says why.
    ///
    /// # Errors
    /// [`StartError`], never for a Redis that cannot be reached or used.
    pub fn start(
        settings: Settings,
        mirror: Arc<dyn Mirror>,
        metrics: &prometheus::Registry,
    ) -> Result<RedisStore, StartError> {
        let metrics = Arc::new(Metrics::new(metrics));
        let connector = Arc::new(Connector::new(settings)?);
        let link = Arc::new(Link::new());
        let pool = Pool::new(Arc::clone(&connector), Arc::clone(&link), Arc::clone(&metrics));
        let ends = Ends { connector, link: Arc::clone(&link), mirror, metrics };
        Follower::new(ends).spawn().map_err(StartError::Thread)?;
        Ok(RedisStore { link, pool })
    }

    /// Has Redis make a change, and waits until the mirror shows it.
    ///
    /// It goes the way of all changes that the mirror learns of, in their order: of two writers on two servers, only
    /// Redis knows which came last.
    fn write(&self, change: &Change) -> Result<Value, Fault> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            match self.link.session()?.write(change.clone(), deadline) {
                // Nothing was sent, so the next session can have it. What may have been done is not done again: someone
                // may have seen it, and written something newer.
                Err(Fault::Outdated) if Instant::now() + ANSWER_MAX <= deadline => {}
                written => return written,
            }
        }
    }
}

impl Store for RedisStore {
    fn put(&self, id: TargetId, document: Vec<u8>, ttl: Ttl, _now: SystemTime) -> Result<(), StoreError> {
        let written = self.write(&Change::Put { id, value: document, expires_in: ttl.duration() });
        self.link.note_write(&written);
        Ok(written.map(drop)?)
    }

    fn get(&self, id: TargetId, _now: SystemTime) -> Result<Option<Vec<u8>>, StoreError> {
        let session = self.link.session()?;
        match self.pool.query(&session, cmd("GET").arg(id.to_string()), Instant::now() + WAIT_MAX) {
            Ok(Value::BulkString(value)) => Ok(Some(value)),
            Ok(Value::Nil) | Err(Fault::WrongType) => Ok(None),
            Ok(_) => Err(Fault::Unexpected("GET").into()),
            Err(fault) => Err(fault.into()),
        }
    }

    fn delete(&self, id: TargetId, _now: SystemTime) -> Result<bool, StoreError> {
        let written = self.write(&Change::Remove(id));
        if written.is_err() {
            // One that succeeds says nothing about the others: a Redis without memory deletes, and does not set.
            self.link.note_write(&written);
        }
        Ok(written? == Value::Int(1))
    }

    /// Redis expires by itself.
    fn expired(&self, _ids: Vec<TargetId>) {}

    fn health(&self) -> Result<(), StoreError> {
        Ok(self.link.health()?)
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
        StoreError::Unavailable(format!("Redis: {fault}"))
    }
}

/// Why the store cannot start: never because of Redis itself.
#[derive(Debug)]
pub enum StartError {
    /// A certificate or key cannot be read.
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is no thread to be had.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::File { path, error } => write!(f, "{}: {error}", path.display()),
            StartError::Thread(error) => write!(f, "a thread of the Redis store: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
