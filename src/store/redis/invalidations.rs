//! The tracked connection: reads which keys others have changed and does nothing else, so that Redis never has to
//! buffer for it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::redis::{Cmd, Connection, PushKind, RedisError, Value, cmd};

use super::fault::Fault;
use super::metrics::Metrics;
use super::session::{Cause, Session};
use crate::registration::TargetId;

/// How long the connection may be idle before a ping tests it, and how long the answer may take.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Has Redis report every key that anyone but the writer changes. The writer knows its changes from their answers, so
/// that a write costs Redis one command instead of three. If that is not supported, the writer's changes are reported
/// and fetched as well: some services have no `REDIRECT`, and Redis before 6.2.5 looks only at the author of the first
/// of several simultaneous changes, so that a change of others right after the writer's would be lost.
pub(super) fn turn_on(tracked: &mut Connection, writer: &mut Connection, is_7_or_newer: bool) -> Result<(), Fault> {
    if is_7_or_newer {
        let mut others = tracking();
        others.arg("REDIRECT").arg(client_id(tracked)?).arg("NOLOOP");
        match others.exec(writer).map_err(Fault::from) {
            Err(Fault::Server(_)) => {}
            outcome => return outcome,
        }
    }
    tracking().exec(tracked).map_err(|error| match error.code() {
        Some("ERR") => Fault::NoTracking(error),
        _ => error.into(),
    })
}

fn tracking() -> Cmd {
    let mut tracking = cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST");
    tracking
}

/// The number that Redis gave a connection.
fn client_id(connection: &mut Connection) -> Result<i64, Fault> {
    // Unlike CLIENT ID, this needs no right.
    let hello: HashMap<String, Value> = cmd("HELLO").arg(3).query(connection)?;
    match hello.get("id") {
        Some(Value::Int(id)) => Ok(*id),
        _ => Err(Fault::Unexpected("HELLO")),
    }
}

/// Starts the thread that passes the reports to the session until either ends.
pub(super) fn spawn(connection: Connection, session: Arc<Session>, metrics: Arc<Metrics>) -> Result<(), Fault> {
    thread::Builder::new()
        .name("redis-track".to_owned())
        .spawn(move || {
            let error = read(connection, &session, &metrics);
            session.end(error.map_or(Fault::Closed, Fault::from));
        })
        .map(drop)
        .map_err(|e: io::Error| Fault::Thread(e.kind()))
}

/// Reads until the connection fails, or until the session has ended (`None`).
fn read(mut connection: Connection, session: &Session, metrics: &Metrics) -> Option<RedisError> {
    let mut asked = false;
    loop {
        match connection.recv_response() {
            Ok(Value::Push { kind: PushKind::Invalidate, data }) => {
                metrics.pushes.inc();
                note(data, session);
                asked = false;
            }
            Ok(_) => asked = false,
            Err(error) if error.is_timeout() && !asked => {
                // The crate expects the answer that did not come, and will drop the next one in its place. So two pings
                // are sent.
                let mut pings = cmd("PING").get_packed_command();
                pings.extend_from_within(..);
                if let Err(error) = connection.send_packed_command(&pings) {
                    return Some(error);
                }
                asked = true;
            }
            Err(error) => return Some(error),
        }
        if session.ended().is_some() {
            return None;
        }
    }
}

/// Takes one report: the names of changed keys in any database, or no names if a database was emptied.
fn note(mut data: Vec<Value>, session: &Session) {
    match data.pop() {
        Some(Value::Array(names)) => {
            let ids = names.iter().filter_map(|name| match name {
                Value::BulkString(name) => TargetId::from_key(name),
                _ => None,
            });
            session.changed(ids);
        }
        _ => session.rescan(Cause::Flushed),
    }
}
