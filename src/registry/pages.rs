//! Pages of registrations, sorted by one or more values, each up or down, and finally by id. A page copies only its own
//! entries, and locks the view for a few hundred of them at a time.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::allowance::{Allowance, Unanswered, within_answer};
use super::criteria::{Criteria, Scope, Words};
use super::list::Snapshot;
use super::lookups::{Details, LOOKED_UP_AT_ONCE};
use super::view::{Now, View};
use crate::registration::{Content, TargetId};

/// How much of a text counts in an order, in bytes: a position is part of the next page's address.
const TEXT_BYTES_MAX: usize = 200;

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
    pub by: SortBy,
    pub is_descending: bool,
}

/// An order of registrations. Equal ones are sorted by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order(pub Vec<SortKey>);

/// A position in an order: after the registration with these values and this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub values: Vec<SortValue>,
    pub id: TargetId,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SortValue {
    /// Nanoseconds since the epoch, [`u64::MAX`] for never; 0 where the id alone counts.
    Number(u64),
    /// The name of a group, or a target.
    Text(String),
}

impl Order {
    /// Whether it is the order of every list.
    pub(super) fn is_by_id(&self) -> bool {
        self.0.first() == Some(&SortKey { by: SortBy::Id, is_descending: false })
    }

    /// Whether it needs values that lists do not show.
    pub(super) fn needs_details(&self) -> bool {
        self.0.iter().any(|key| matches!(key.by, SortBy::Expiry | SortBy::Update))
    }

    pub(super) fn place(&self, id: TargetId, content: &Content, details: Option<&Details>, epoch: Now) -> Position {
        let text = |mut text: String| {
            let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
            // The positions of skipped entries are kept as well, and the whole text may be long.
            text.shrink_to_fit();
            SortValue::Text(text)
        };
        let value = |key: &SortKey| match key.by {
            SortBy::Id => SortValue::Number(0),
            SortBy::Targets => text(content.targets().into_iter().next().unwrap_or_default()),
            SortBy::Group => text(content.group().into_owned()),
            SortBy::Expiry => {
                let expires_at = details.and_then(|details| epoch.wall_at(details.deadline?));
                let nanos = expires_at.and_then(|at| u64::try_from(since_1970(at).as_nanos()).ok());
                SortValue::Number(nanos.unwrap_or(u64::MAX))
            }
            SortBy::Update => {
                let updated_at = details.and_then(|details| details.updated_at);
                SortValue::Number(updated_at.map_or(0, |at| since_1970(at).as_secs()))
            }
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

fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[derive(Debug)]
pub struct PageRequest {
    pub criteria: Criteria,
    pub words: Words,
    /// Only those that expire within this time; `None` for all.
    pub expire_within: Option<Duration>,
    pub order: Order,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Position>,
    /// How many are left out after that.
    pub skip: usize,
    /// The most registrations; fewer if they are large.
    pub limit: usize,
}

#[derive(Debug)]
pub struct Page {
    pub registrations: Vec<(TargetId, Details)>,
    pub total: usize,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Position>,
}

/// The first positions after the page before: those left out, those of the page, and one more.
struct First<'a> {
    request: &'a PageRequest,
    total: usize,
    places: Vec<Position>,
    /// The last of the first ones, as far as they have been sorted.
    last: Option<Position>,
}

impl First<'_> {
    fn places_max(&self) -> usize {
        self.request.skip + self.request.limit + 1
    }

    fn offer(&mut self, place: Position) {
        self.total += 1;
        let order = &self.request.order;
        let is_before = self.request.after.as_ref().is_some_and(|after| order.compare(&place, after).is_le());
        if is_before || self.last.as_ref().is_some_and(|last| order.compare(&place, last).is_ge()) {
            return;
        }
        self.places.push(place);
        if self.places.len() >= 2 * self.places_max() {
            self.cut();
        }
    }

    /// Sorts the positions and drops those that are not needed.
    fn cut(&mut self) {
        self.places.sort_unstable_by(|a, b| self.request.order.compare(a, b));
        self.places.truncate(self.places_max());
        self.last = self.places.last().filter(|_| self.places.len() == self.places_max()).cloned();
    }
}

impl View {
    pub fn page(&self, request: &PageRequest, allowance: &Allowance<'_>, now: Instant) -> Result<Page, Unanswered> {
        let sources = self.sources(&request.criteria, now)?;
        let (mut places, total): (Vec<Position>, usize) = match &sources[..] {
            [source] if is_plain(request) => (places_by_id(source, request), source.len()),
            _ => {
                let mut first = First { request, total: 0, places: Vec::new(), last: None };
                for source in &sources {
                    offer_all(self, source, &mut first, allowance, now)?;
                }
                first.cut();
                (first.places.into_iter().skip(request.skip).collect(), first.total)
            }
        };
        let more = places.len() > request.limit;
        places.truncate(request.limit);
        let ids: Vec<TargetId> = places.iter().map(|place| place.id).collect();
        let found = self.details_of(&ids, now);
        let all = found.len();
        let byte_count = |(_, details): &(TargetId, Details)| details.content.byte_count();
        let registrations: Vec<(TargetId, Details)> = within_answer(found.into_iter(), byte_count).collect();
        let next = match registrations.last() {
            Some((last, _)) if registrations.len() < all => places.into_iter().find(|place| place.id == *last),
            _ => places.pop().filter(|_| more),
        };
        for (_, Details { content, .. }) in &registrations {
            // They will be copied into an answer.
            allowance.spend(content.byte_count())?;
        }
        Ok(Page { registrations, total, next })
    }

    /// The lists that hold all registrations that meet the criteria.
    pub(super) fn sources(&self, criteria: &Criteria, now: Instant) -> Result<Vec<Arc<Snapshot>>, Unanswered> {
        let list = |group| Ok(self.kept_list(group, now)?.list);
        match criteria.groups.is_empty() {
            true => Ok(vec![list(None)?]),
            false => criteria.groups.iter().map(|name| list(Some(name))).collect(),
        }
    }
}

/// Whether a single list in its own order is the answer.
fn is_plain(request: &PageRequest) -> bool {
    let PageRequest { criteria, words, order, .. } = request;
    order.is_by_id()
        && request.expire_within.is_none()
        && words.is_empty()
        && criteria.labels.is_empty()
        && (criteria.scope == Scope::All || !criteria.groups.is_empty())
}

fn places_by_id(source: &Snapshot, request: &PageRequest) -> Vec<Position> {
    let after = request.after.as_ref().map(|place| place.id);
    let ids = source.after(after, request.skip).take(request.limit + 1).map(|(id, _)| id);
    ids.map(|id| Position { values: vec![SortValue::Number(0)], id }).collect()
}

/// Offers the registrations that meet the criteria.
fn offer_all(
    view: &View,
    source: &Snapshot,
    first: &mut First<'_>,
    allowance: &Allowance<'_>,
    now: Instant,
) -> Result<(), Unanswered> {
    let PageRequest { criteria, words, order, expire_within, .. } = first.request;
    let needs_details = order.needs_details() || expire_within.is_some();
    let mut to_look_up = Vec::new();
    for (id, content) in source.registrations() {
        allowance.spend(content.byte_count() * (criteria.labels.len() + words.len() + 1))?;
        if !criteria.meets(id, content) || !words.occur_in(id, content) {
            continue;
        }
        if !needs_details {
            first.offer(order.place(id, content, None, view.epoch));
            continue;
        }
        to_look_up.push(id);
        if to_look_up.len() == LOOKED_UP_AT_ONCE {
            offer_alive(view, first, &std::mem::take(&mut to_look_up), now);
        }
    }
    offer_alive(view, first, &to_look_up, now);
    Ok(())
}

/// Offers the registrations that are still alive and expire soon enough.
fn offer_alive(view: &View, first: &mut First<'_>, found: &[TargetId], now: Instant) {
    let PageRequest { order, expire_within, .. } = first.request;
    for (id, details) in view.details_of(found, now) {
        if expire_within.is_none_or(|span| details.deadline.is_some_and(|deadline| deadline <= now + span)) {
            first.offer(order.place(id, &details.content, Some(&details), view.epoch));
        }
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
        let Position { values, .. } = order.place(registration.id(), &content, None, Now::read());
        let [SortValue::Text(text)] = &values[..] else { panic!("{values:?}") };
        assert_eq!((text.len(), text.capacity()), (TEXT_BYTES_MAX - 1, TEXT_BYTES_MAX - 1));
    }
}
