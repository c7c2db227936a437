//! Pooled synchronous connections for single reads, each used by one handler at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Cmd, Connection, RedisError, Value};

use super::connect::{ANSWER_MAX, Connector};
use super::fault::Fault;
use super::link::Link;
use super::metrics::Metrics;
use super::session::Session;

/// How long a command waits for a free connection.
const CHECKOUT_MAX: Duration = Duration::from_millis(500);

pub(super) struct Pool {
    connections: r2d2::Pool<Manager>,
    metrics: Arc<Metrics>,
}

/// Opens connections to the server of the current session, so that a read sees what was written before it.
struct Manager {
    connector: Arc<Connector>,
    link: Arc<Link>,
}

struct Pooled {
    connection: Connection,
    session: u64,
    broken: bool,
}

impl Pool {
    pub(super) fn new(connector: Arc<Connector>, link: Arc<Link>, metrics: Arc<Metrics>) -> Pool {
        let connections = r2d2::Pool::builder()
            .max_size(connector.settings().pool_size.max(1))
            .min_idle(Some(0))
            .connection_timeout(CHECKOUT_MAX)
            // Costs no round trip: see `is_valid`.
            .test_on_check_out(true)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Manager { connector, link });
        Pool { connections, metrics }
    }

    /// Sends one command to the session's server, by the deadline.
    ///
    /// A dropped connection is replaced and the command sent again, so it must be safe to repeat. After a silent
    /// connection it is not: the server has had its time.
    ///
    /// # Errors
    /// A fault of the link or an error of the server. The command may still have been done.
    pub(super) fn query(&self, session: &Session, command: &Cmd, deadline: Instant) -> Result<Value, Fault> {
        let packed = command.get_packed_command();
        for _ in 0..=self.connections.max_size() {
            let mut pooled = self.checkout(session, deadline)?;
            match pooled.exchange(&packed) {
                Ok(Value::ServerError(error)) => {
                    let fault = Fault::from(error);
                    if fault.is_of_server() {
                        session.end(fault.clone());
                    }
                    return Err(fault);
                }
                Ok(value) => return Ok(value),
                Err(error) if error.is_connection_dropped() && Instant::now() + ANSWER_MAX <= deadline => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(session.ended().unwrap_or(Fault::Outdated))
    }

    fn checkout(&self, session: &Session, deadline: Instant) -> Result<r2d2::PooledConnection<Manager>, Fault> {
        let asked = Instant::now();
        let patience = CHECKOUT_MAX.min(deadline.saturating_duration_since(asked));
        let pooled = self.connections.get_timeout(patience);
        self.metrics.pool_wait.observe(asked.elapsed().as_secs_f64());
        match pooled {
            Ok(pooled) if pooled.session == session.number => Ok(pooled),
            Ok(_) => Err(session.ended().unwrap_or(Fault::Outdated)),
            Err(error) => Err(session.ended().unwrap_or_else(|| Fault::PoolEmpty(error.to_string()))),
        }
    }
}

impl Pooled {
    fn exchange(&mut self, packed: &[u8]) -> Result<Value, RedisError> {
        let answer = self.connection.send_packed_command(packed).and_then(|()| self.connection.recv_response());
        self.broken = answer.is_err();
        answer
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Pooled;
    type Error = Fault;

    fn connect(&self) -> Result<Pooled, Fault> {
        let session = self.link.any_session()?;
        let (connection, server) = self.connector.open(&session.address, ANSWER_MAX)?;
        if server.run_id != session.run_id {
            return Err(Fault::ChangedServer);
        }
        Ok(Pooled { connection, session: session.number, broken: false })
    }

    /// A connection is valid for its session: an older one is likely to be dead, or to lead to another server.
    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), Fault> {
        let session = self.link.any_session()?;
        if pooled.session == session.number { Ok(()) } else { Err(Fault::Outdated) }
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.broken
    }
}
