//! Orders of registrations: by one value or several, each up or down, and at last by the id.

use std::cmp::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::state::Live;
use crate::registration::{Content, TargetId};

/// How much of a text counts, in bytes: a place travels in the address of the next page.
const TEXT_BYTES_MAX: usize = 200;

/// What registrations are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortBy {
    Id,
    Targets,
    Group,
    /// The deadline; those without one are last.
    Expiry,
    /// The time of the last write.
    Update,
}

/// One value of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// What is sorted by.
    pub by: SortBy,
    pub is_descending: bool,
}

/// An order of registrations; those that are equal in all of it are sorted by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order(pub Vec<SortKey>);

/// A place in an order: behind the registration with these values and this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The values that it is sorted by.
    pub values: Vec<SortValue>,
    pub id: TargetId,
}

/// A value that registrations are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortValue {
    /// Nanoseconds since the epoch, [`u64::MAX`] for never; 0 where the id alone counts.
    Number(u64),
    /// The name of a group, or a target.
    Text(String),
}

/// When something happens to a registration, and happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) deadline: Option<Instant>,
    /// Seconds since the epoch; 0 when the document does not say it.
    updated_at_seconds: u64,
}

impl From<&Live> for Times {
    fn from(held: &Live) -> Times {
        let updated_at = held.updated_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Times { deadline: held.deadline, updated_at_seconds: updated_at.as_secs() }
    }
}

/// Turns instants into numbers that stay the same from page to page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch {
    /// The same moment by both clocks.
    instant: Instant,
    nanos: u64,
}

impl Epoch {
    pub(super) fn now() -> Epoch {
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Epoch { instant: Instant::now(), nanos: u64::try_from(nanos).unwrap_or_default() }
    }

    fn number(self, at: Instant) -> u64 {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.instant) {
            Some(later) => self.nanos.saturating_add(nanos(later)),
            None => self.nanos.saturating_sub(nanos(self.instant - at)),
        }
    }
}

impl Order {
    /// Whether it is the order that every list has by itself.
    pub(super) fn is_by_id(&self) -> bool {
        self.0.first() == Some(&SortKey { by: SortBy::Id, is_descending: false })
    }

    /// Whether times of the registrations have to be looked up for it.
    pub(super) fn needs_times(&self) -> bool {
        self.0.iter().any(|key| matches!(key.by, SortBy::Expiry | SortBy::Update))
    }

    pub(super) fn place(&self, id: TargetId, content: &Content, times: Option<&Times>, epoch: Epoch) -> Position {
        let text = |mut text: String| {
            let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
            // As many places are kept as are skipped, and the whole text may be long.
            text.shrink_to_fit();
            SortValue::Text(text)
        };
        let value = |key: &SortKey| match key.by {
            SortBy::Id => SortValue::Number(0),
            SortBy::Targets => text(content.targets().into_iter().next().unwrap_or_default()),
            SortBy::Group => text(content.group().into_owned()),
            SortBy::Expiry => {
                let deadline = times.and_then(|times| times.deadline);
                SortValue::Number(deadline.map_or(u64::MAX, |deadline| epoch.number(deadline)))
            }
            SortBy::Update => SortValue::Number(times.map_or(0, |times| times.updated_at_seconds)),
        };
        Position { values: self.0.iter().map(value).collect(), id }
    }

    pub(super) fn compare(&self, a: &Position, b: &Position) -> Ordering {
        for (key, (one, other)) in self.0.iter().zip(a.values.iter().zip(&b.values)) {
            let ordering = if key.by == SortBy::Id { a.id.cmp(&b.id) } else { one.cmp(other) };
            let ordering = if key.is_descending { ordering.reverse() } else { ordering };
            if ordering.is_ne() {
                return ordering;
            }
        }
        a.id.cmp(&b.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{LabelNames, Registration, TtlBounds};

    #[test]
    fn a_place_takes_no_more_than_what_counts_of_a_text() {
        let target = "ü".repeat(30_000);
        let body = format!(r#"{{"static_config":{{"targets":["x{target}"]}}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        let order = Order(vec![SortKey { by: SortBy::Targets, is_descending: false }]);
        let content = Content::new(&registration);
        let Position { values, .. } = order.place(registration.id(), &content, None, Epoch::now());
        let [SortValue::Text(text)] = &values[..] else { panic!("{values:?}") };
        assert_eq!((text.len(), text.capacity()), (TEXT_BYTES_MAX - 1, TEXT_BYTES_MAX - 1));
    }
}
