//! The parameters by which lists are narrowed down, which mean the same wherever they stand.

use super::auth::Caller;
use super::problem::Problem;
use super::query::Query;
use crate::registry::{
    Criteria, Form, GROUPS_MAX, LabelSelector, QUESTION_BYTES_MAX, REQUIREMENTS_MAX, Shard, Unanswered, VALUES_MAX,
    WORDS_MAX, Words,
};

/// `group` and `selector`, for what the caller may see.
///
/// # Errors
/// 400 for a malformed selector, and for more than one question may ask; 403 for a group that the caller may not see.
pub(super) fn parse(query: &mut Query, caller: &Caller) -> Result<Criteria, Problem> {
    let mut criteria = Criteria::of(caller.reads().clone(), Form::Plain);
    for text in query.repeated("selector")? {
        let selector = LabelSelector::parse(&text);
        criteria.labels.and(selector.map_err(|e| Problem::bad_request(format!("selector: {e}")))?);
    }
    if criteria.labels.is_too_large() {
        let most = format!("selector: at most {REQUIREMENTS_MAX} requirements with {VALUES_MAX} values together");
        return Err(Problem::bad_request(most));
    }
    let groups = query.repeated("group")?;
    if groups.len() > GROUPS_MAX {
        return Err(Problem::bad_request(format!("group: at most {GROUPS_MAX} of them")));
    }
    criteria.groups = groups.into_iter().collect();
    match criteria.groups.iter().find(|group| !caller.reads().has(group)) {
        Some(group) => Err(Problem::new(403, format!("group: this token may not read {group:?}"))),
        None => Ok(criteria),
    }
}

/// The words of `q`.
pub(super) fn words(text: &str) -> Result<Words, Problem> {
    if text.len() > QUESTION_BYTES_MAX {
        return Err(Problem::bad_request(format!("q: at most {QUESTION_BYTES_MAX} bytes")));
    }
    let words = Words::parse(text);
    match words.len() > WORDS_MAX {
        true => Err(Problem::bad_request(format!("q: at most {WORDS_MAX} different words"))),
        false => Ok(words),
    }
}

/// `shard` and `shards`: both, or none.
pub(super) fn shard(query: &mut Query) -> Result<Option<Shard>, Problem> {
    let index = query.number("shard", 0..=Shard::COUNT_MAX - 1)?;
    let count = query.number("shards", 1..=Shard::COUNT_MAX)?;
    match (index, count) {
        (None, None) => Ok(None),
        (Some(index), Some(count)) => {
            let shard = Shard::new(index, count);
            shard.map(Some).ok_or_else(|| Problem::bad_request("shard: expected a number below that of shards"))
        }
        _ => Err(Problem::bad_request("shard and shards: one of them is missing")),
    }
}

impl From<Unanswered> for Problem {
    fn from(error: Unanswered) -> Problem {
        Problem::new(503, error.to_string())
    }
}
