//! The tracked connection: reads which keys others have changed, and does nothing else, so that Redis never has to
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

/// How long the connection may be idle before it is proved to live, and how long the proof may take.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Has Redis report every key that changes, of any name, by anyone but the writer: its answers say what it did, so that
/// a write costs Redis one command, and not three. Where that is not to be had, the writer's changes are reported as
/// well, and fetched: some services know no `REDIRECT`, and of two changes in one breath Redis before 6.2.5 looks at who
/// made the first, so that what others did right after the writer would be lost.
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

/// The number that Redis has given to a connection.
fn client_id(connection: &mut Connection) -> Result<i64, Fault> {
    // Unlike CLIENT ID, this needs no right.
    let hello: HashMap<String, Value> = cmd("HELLO").arg(3).query(connection)?;
    match hello.get("id") {
        Some(Value::Int(id)) => Ok(*id),
        _ => Err(Fault::Unexpected("HELLO")),
    }
}

/// Starts the thread that reads the reports into the session, until the connection or the session ends.
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

/// Reads until the connection fails, or the session has ended (`None`).
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
                // The crate counts the answer that did not come as owed, and will drop the next one for it.
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

/// Takes one report: the names of changed keys, of all databases, or none at all when one was emptied.
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
