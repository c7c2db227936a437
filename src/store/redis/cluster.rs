//! A cluster of one shard: which of its nodes has all slots, and how keys in different slots are written at once. Pure.

use ::redis::{Pipeline, Value};

use super::fault::Fault;
use crate::store::Update;

/// The number of slots that keys are spread over.
const SLOTS: i64 = 16_384;

/// Makes several updates. A transaction over several slots is refused, even by a node that has them all; a script that
/// declares no keys is not. Each update is three arguments: the key; the document, or nothing for a delete; and the
/// lifetime in seconds, or 0 for ever. A refused command ends the script. A server that lacks memory or cannot save
/// refuses the first one.
const SCRIPT: &str = "\
local made = {}
for at = 1, #ARGV, 3 do
  local key, document, seconds = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if document == '' then
    made[#made + 1] = redis.call('DEL', key)
  elseif seconds == '0' then
    made[#made + 1] = redis.call('SET', key, document)
  else
    made[#made + 1] = redis.call('SET', key, document, 'EX', seconds)
  end
end
return made";

/// Asks for these updates to be made by one script.
pub(super) fn ask_for_all<'a>(pipeline: &mut Pipeline, updates: impl Iterator<Item = &'a Update>) {
    let script = pipeline.cmd("EVAL").arg(SCRIPT).arg(0);
    for update in updates {
        script.arg(update.id().to_string());
        match update {
            Update::Put { id, content, updated_at, ttl, .. } => {
                let seconds = ttl.duration().map_or(0, |ttl| ttl.as_secs());
                script.arg(content.document(*id, *updated_at)).arg(seconds)
            }
            Update::Delete { .. } => script.arg("").arg(0),
        };
    }
}

/// The answers to `count` updates, from what EXEC returned for their script.
pub(super) fn answers_of_script(mut made: Vec<Value>, count: usize) -> Vec<Value> {
    match made.pop() {
        Some(Value::Array(answers)) => answers,
        Some(error @ Value::ServerError(_)) => vec![error; count],
        _ => Vec::new(),
    }
}

/// A node, by host and port. Without a host it is the one that was asked.
pub(super) type Node = (Option<String>, u16);

/// A cluster as one of its nodes sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// The node that takes writes.
    pub(super) master: Node,
    /// All nodes, the master among them.
    pub(super) nodes: Vec<Node>,
}

/// Parses the answer to CLUSTER SLOTS: for each range of slots its first and last one, its master, and its replicas.
///
/// # Errors
/// [`Fault::Shards`] if several masters have slots, [`Fault::SlotsMissing`] if no node has some of them.
pub(super) fn shard(slots: &Value) -> Result<Shard, Fault> {
    let unexpected = || Fault::Unexpected("CLUSTER SLOTS");
    let Value::Array(ranges) = slots else { return Err(unexpected()) };
    let mut shard: Option<Shard> = None;
    let mut count = 0;
    for range in ranges {
        let Value::Array(range) = range else { return Err(unexpected()) };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = &range[..] else { return Err(unexpected()) };
        let nodes = nodes.iter().map(node).collect::<Option<Vec<Node>>>().ok_or_else(unexpected)?;
        let master = nodes.first().cloned().ok_or_else(unexpected)?;
        count += last - first + 1;
        if shard.as_ref().is_some_and(|shard| shard.master != master) {
            return Err(Fault::Shards);
        }
        shard = Some(Shard { master, nodes });
    }
    shard.filter(|_| count == SLOTS).ok_or(Fault::SlotsMissing)
}

fn node(node: &Value) -> Option<Node> {
    let Value::Array(node) = node else { return None };
    let [host, Value::Int(port), ..] = &node[..] else { return None };
    let host = match host {
        // A question mark stands for a host name that was not given to the node.
        Value::BulkString(host) if host.is_empty() || host == b"?" => None,
        Value::BulkString(host) => Some(String::from_utf8(host.clone()).ok()?),
        Value::Nil => None,
        _ => return None,
    };
    Some((host, u16::try_from(*port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Shard, String> {
        let answer = ::redis::parse_redis_value(text.replace(' ', "\r\n").as_bytes()).unwrap();
        shard(&answer).map_err(|fault| fault.to_string())
    }

    const MASTER: &str = "*4 $9 127.0.0.1 :7000 $2 id *0 ";
    const REPLICA: &str = "*3 $-1 :7001 $2 id ";

    #[test]
    fn the_master_is_who_has_all_slots_in_however_many_ranges() {
        let master = (Some("127.0.0.1".to_owned()), 7000);
        let whole = format!("*1 *4 :0 :16383 {MASTER}{REPLICA}");
        assert_eq!(read(&whole).unwrap(), Shard { master: master.clone(), nodes: vec![master.clone(), (None, 7001)] });
        let nameless = whole.replace("$9 127.0.0.1", "$1 ?");
        assert_eq!(read(&nameless).unwrap().master, (None, 7000));
        let ranges = format!("*2 *3 :0 :99 {MASTER}*3 :100 :16383 {MASTER}");
        assert_eq!(read(&ranges).unwrap().master, master);
    }

    #[test]
    fn anything_else_is_refused_with_a_sentence() {
        let several = format!("*2 *3 :0 :99 {MASTER}*3 :100 :16383 {REPLICA}");
        assert!(read(&several).unwrap_err().contains("more than one shard"));
        for missing in ["*0 ".to_owned(), format!("*1 *3 :0 :99 {MASTER}")] {
            assert!(read(&missing).unwrap_err().contains("slots"), "{missing}");
        }
        for nonsense in
            ["+OK ", "*1 :1 ", "*1 *2 :0 :16383 ", "*1 *3 :0 :16383 *1 :1 ", "*1 *3 :0 :16383 *2 $1 x :70000 "]
        {
            assert!(read(nonsense).unwrap_err().contains("CLUSTER SLOTS"), "{nonsense}");
        }
    }

    #[test]
    fn a_script_answers_for_each_update_or_fails_for_all() {
        let made = Value::Array(vec![Value::Okay, Value::Int(1)]);
        assert_eq!(answers_of_script(vec![made], 2), [Value::Okay, Value::Int(1)]);
        let error = ::redis::parse_redis_value(b"-OOM full\r\n").unwrap();
        assert_eq!(answers_of_script(vec![error.clone()], 2), [error.clone(), error]);
        assert!(answers_of_script(Vec::new(), 2).is_empty());
    }
}
