//! Values that read as empty and have a lifetime: either they are empty, or somebody has put them there between the two
//! questions. They are looked at again.

use std::time::Instant;

use ::redis::{Connection, Pipeline, Value};

use super::answers::{change, fault_in};
use super::connect::receive;
use super::fault::Fault;
use super::round::ask_for_value;
use crate::registration::{DOCUMENT_BYTES_MAX, TargetId};
use crate::store::Change;

/// Asks again for these, each in a transaction, so that nothing comes between the two questions. While other values are
/// watched, which the end of a transaction would end, a second look has to do.
pub(super) fn look_again(writer: &mut Connection, ids: &[TargetId], is_watching: bool) -> Result<Vec<Change>, Fault> {
    let (begin, end) = if is_watching { ("PING", "PING") } else { ("MULTI", "EXEC") };
    let mut pipeline = Pipeline::new();
    for id in ids {
        pipeline.cmd(begin);
        ask_for_value(&mut pipeline, *id, DOCUMENT_BYTES_MAX);
        pipeline.cmd(end);
    }
    let sent_at = Instant::now();
    writer.send_packed_command(&pipeline.get_packed_pipeline())?;
    let answers = receive(writer, pipeline.len())?;
    ids.iter().zip(answers.chunks_exact(4)).map(|(id, answers)| found(*id, answers, sent_at)).collect()
}

/// What these four answers say. Without the right to a transaction the two in the middle say it.
fn found(id: TargetId, answers: &[Value], sent_at: Instant) -> Result<Change, Fault> {
    let pair = match answers {
        [_, _, _, Value::Array(within)] => within.as_slice(),
        [_, outside @ .., _] => outside,
        _ => &[],
    };
    let [value, left] = pair else {
        return Err(Fault::Unexpected("EXEC"));
    };
    match fault_in(value).filter(|fault| !matches!(fault, Fault::WrongType)) {
        Some(fault) => Err(fault),
        None => change(id, value.clone(), left.clone(), sent_at),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::store::Stored;
    use crate::store::redis::round::Round;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn error(text: &str) -> Value {
        ::redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn what_was_put_between_the_two_questions_is_not_taken_for_an_empty_value() {
        let (id, now) = (TargetId::NIL, Instant::now());
        let read = |value: &str, left: i64| {
            let mut round = Round::default();
            round.fetch([id].into(), BTreeSet::new());
            round.read(vec![text(value), Value::Int(left)], now).unwrap()
        };
        for left in [-1, 1, 60_000] {
            let read = read("", left);
            assert!(read.changes.is_empty(), "{left}");
            assert_eq!(read.doubtful, [id]);
        }
        assert!(matches!(read("", -2).changes[..], [Change::Gone(_)]));
        assert!(matches!(read("", 0).changes[..], [Change::Gone(_)]), "it expires at this very moment");
        assert!(matches!(read("x", 5).changes[..], [Change::Put { .. }]));
    }

    #[test]
    fn a_second_look_says_what_there_is() {
        let now = Instant::now();
        let found = |answers: [Value; 4]| match found(TargetId::NIL, &answers, now) {
            Ok(Change::Put { stored: Stored::Read(value), deadline, .. }) => {
                Ok(Some((value, deadline.map(|at| at - now))))
            }
            Ok(Change::Gone(_)) => Ok(None),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        };
        let queued = || Value::SimpleString("QUEUED".to_owned());
        let within =
            |value: Value, left| [Value::Okay, queued(), queued(), Value::Array(vec![value, Value::Int(left)])];
        let second = Some(Duration::from_secs(1));
        assert_eq!(found(within(text(""), -1)), Ok(Some((Vec::new(), None))), "it is empty");
        assert_eq!(found(within(text("x"), 1000)), Ok(Some((b"x".to_vec(), second))));
        assert_eq!(found(within(text(""), -2)), Ok(None));
        let wrong_type = error("WRONGTYPE Operation against a key holding the wrong kind of value");
        assert_eq!(found(within(wrong_type, -1)), Ok(None));
        let refused = || error("NOPERM this user has no permissions to run the 'multi' command");
        let outside = [refused(), text("x"), Value::Int(1000), error("ERR EXEC without MULTI")];
        assert_eq!(found(outside), Ok(Some((b"x".to_vec(), second))));
        assert!(found([Value::Okay, error("LOADING"), Value::Int(1), refused()]).is_err());
        assert!(found([Value::Okay, queued(), queued(), Value::Nil]).is_err());
    }
}
