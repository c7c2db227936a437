//! The query string. The old paths take the parameters that they know and ignore the rest, as the Go program does. The
//! new ones refuse everything unknown, because a misspelt filter would otherwise be answered with everything.
//! Parameters that narrow down lists mean the same on all paths.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::auth::Caller;
use super::request::Request;
use super::response::Problem;
use crate::registry::{
    Criteria, Form, GROUPS_MAX, LabelSelector, QUESTION_BYTES_MAX, REQUIREMENTS_MAX, Shard, Unanswered, VALUES_MAX,
    WORDS_MAX, Words,
};
use crate::tokens::percent_decode;

/// The first query parameter with this name, decoded.
pub(super) fn parameter(request: &Request, name: &str) -> Option<String> {
    form_urlencoded::parse(request.query.as_bytes())
        .find(|(parameter, _)| parameter == name)
        .map(|(_, value)| value.into_owned())
}

/// The parameters of a request that have not been taken yet.
pub(super) struct Query {
    rest: Vec<(String, String)>,
}

impl Query {
    /// Decodes the query; blanks may be `+`.
    pub(super) fn parse(request: &Request) -> Result<Query, Problem> {
        let pairs = request.query.split('&').filter(|_| !request.query.is_empty());
        let decode = |text: &str| {
            let decoded = percent_decode(&text.replace('+', " "));
            decoded.ok_or_else(|| Problem::bad_request(format!("{}: not percent-encoded UTF-8", shortened(text))))
        };
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Ok(Query { rest: pairs.collect::<Result<_, Problem>>()? })
    }

    /// The values of a parameter that may be repeated, in their order.
    pub(super) fn repeated(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let taken: Vec<String> = self.rest.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect();
        if taken.iter().any(String::is_empty) {
            return Err(Problem::bad_request(format!("{name}: is empty")));
        }
        Ok(taken)
    }

    /// The value of a parameter that may be given once at most.
    pub(super) fn single(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.repeated(name)?;
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Problem::bad_request(format!("{name}: given more than once"))),
        }
    }

    /// A whole number in a range.
    pub(super) fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.single(name)? else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && range.contains(number));
        let expected = || format!("{name}: expected a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| Problem::bad_request(expected()))
    }

    /// `true` or `false`; an absent one is `false`.
    pub(super) fn switch(&mut self, name: &str) -> Result<bool, Problem> {
        match self.single(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name}: expected true or false"))),
        }
    }

    /// `group` and `selector`, for what the caller may see.
    pub(super) fn criteria(&mut self, caller: &Caller) -> Result<Criteria, Problem> {
        let mut criteria = Criteria::of(caller.reads().clone(), Form::Plain);
        for text in self.repeated("selector")? {
            let selector = LabelSelector::parse(&text);
            criteria.labels.and(selector.map_err(|e| Problem::bad_request(format!("selector: {e}")))?);
        }
        if criteria.labels.is_too_large() {
            let most = format!("selector: at most {REQUIREMENTS_MAX} requirements with {VALUES_MAX} values together");
            return Err(Problem::bad_request(most));
        }
        let groups = self.repeated("group")?;
        if groups.len() > GROUPS_MAX {
            return Err(Problem::bad_request(format!("group: at most {GROUPS_MAX} of them")));
        }
        criteria.groups = groups.into_iter().collect();
        match criteria.groups.iter().find(|group| !caller.reads().has(group)) {
            Some(group) => Err(Problem::new(403, format!("group: this token may not read {group:?}"))),
            None => Ok(criteria),
        }
    }

    /// `shard` and `shards`: both, or none.
    pub(super) fn shard(&mut self) -> Result<Option<Shard>, Problem> {
        let index = self.number("shard", 0..=Shard::COUNT_MAX - 1)?;
        let count = self.number("shards", 1..=Shard::COUNT_MAX)?;
        match (index, count) {
            (None, None) => Ok(None),
            (Some(index), Some(count)) => {
                let shard = Shard::new(index, count);
                shard.map(Some).ok_or_else(|| Problem::bad_request("shard: expected a number below that of shards"))
            }
            _ => Err(Problem::bad_request("shard and shards: one of them is missing")),
        }
    }

    /// Refuses any parameter that is left.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.rest.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::bad_request(format!("{}: unknown parameter", shortened(name)))),
        }
    }
}

/// The words of a `q`.
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

/// A client's text, short enough to be repeated to it.
fn shortened(text: &str) -> String {
    format!("{:?}", text.chars().take(50).collect::<String>())
}

impl From<Unanswered> for Problem {
    fn from(error: Unanswered) -> Problem {
        Problem::new(503, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Problem> {
        Query::parse(&Request { query: text.to_owned(), ..Request::default() })
    }

    #[test]
    fn parameters_are_decoded_once() {
        let mut query = query("a=x+y%2B%2525&b=1&a=%C3%BC%26&c=true").unwrap();
        assert_eq!(query.repeated("a").unwrap(), ["x y+%25", "ü&"]);
        assert_eq!(query.number("b", 1..=9).unwrap(), Some(1));
        assert!(query.switch("c").unwrap() && !query.switch("d").unwrap());
        assert_eq!(query.single("e").unwrap(), None);
        query.finish().unwrap();
    }

    #[test]
    fn everything_odd_is_refused() {
        for text in ["a=%", "a=%2", "a=%zz", "a=%+1", "a=%FF", "%"] {
            assert!(query(text).is_err(), "{text}");
        }
        for text in ["a=", "a", "a=1&a=1"] {
            assert!(query(text).unwrap().single("a").is_err(), "{text}");
        }
        for text in ["a=x", "a=-1", "a=+1", "a=1.0", "a=10", "a=0", "a=99999999999999999999"] {
            assert!(query(text).unwrap().number("a", 1..=9).is_err(), "{text}");
        }
        for text in ["a=yes", "a=TRUE", "a=1", "a"] {
            assert!(query(text).unwrap().switch("a").is_err(), "{text}");
        }
        for text in ["x=1", "&", "a=1&"] {
            let mut query = query(text).unwrap();
            let _ = query.repeated("a");
            assert!(query.finish().is_err(), "{text}");
        }
    }
}
