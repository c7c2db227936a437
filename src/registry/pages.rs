//! Pages of registrations in some order. However many there are, a page copies its own entries alone, and the view is
//! held for a few hundred of them at a time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::allowance::{Allowance, Unanswered};
use super::criteria::{Criteria, Selector};
use super::list::Snapshot;
use super::look::{Details, LOOKED_UP_AT_ONCE};
use super::scope::Scope;
use super::search::Words;
use super::view::View;
use crate::registration::TargetId;

/// What registrations are sorted by; those with equal values by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// The id.
    Id,
    /// The group.
    Group,
    /// The deadline; those without one are last.
    Expiry,
    /// The time of the last write.
    Update,
}

/// An order of registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// What they are sorted by.
    pub by: SortBy,
    /// Whether the largest is first.
    pub is_descending: bool,
}

/// A place in an order: behind the registration with this value and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The value that it is sorted by.
    pub value: SortValue,
    /// Its id.
    pub id: TargetId,
}

/// The value that registrations are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortValue {
    /// Nanoseconds since the epoch, [`u64::MAX`] for never; 0 where the id alone counts.
    Number(u64),
    /// The name of a group.
    Text(String),
}

/// Which page of what.
#[derive(Debug)]
pub struct PageRequest {
    /// What the registrations meet.
    pub criteria: Criteria,
    /// Words that they all have.
    pub words: Words,
    /// Their order.
    pub order: Order,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Place>,
    /// How many there may be.
    pub limit: usize,
}

/// A part of what was asked for.
#[derive(Debug)]
pub struct Page {
    /// The registrations of the page.
    pub registrations: Vec<(TargetId, Details)>,
    /// How many there are on all pages.
    pub total: usize,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Place>,
}

/// Turns instants into numbers that stay the same from page to page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch {
    /// The same moment by both clocks.
    pub(super) instant: Instant,
    pub(super) nanos: u64,
}

impl Epoch {
    fn number(self, at: Instant) -> u64 {
        let nanos = |span: std::time::Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.instant) {
            Some(later) => self.nanos.saturating_add(nanos(later)),
            None => self.nanos.saturating_sub(nanos(self.instant - at)),
        }
    }
}

impl Order {
    fn compare(self, a: &Place, b: &Place) -> Ordering {
        let (by_value, by_id) = (a.value.cmp(&b.value), a.id.cmp(&b.id));
        match (self.is_descending, self.by) {
            (false, _) => by_value.then(by_id),
            (true, SortBy::Id) => by_id.reverse(),
            (true, _) => by_value.reverse().then(by_id),
        }
    }
}

/// A place that knows its order, for the heap of the first ones.
struct Ranked(Order, Place);

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        self.0.compare(&self.1, &other.1)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// The first places behind where the page before ended, one more than the page has.
struct First<'a> {
    request: &'a PageRequest,
    total: usize,
    places: BinaryHeap<Ranked>,
}

impl First<'_> {
    fn offer(&mut self, place: Place) {
        self.total += 1;
        let order = self.request.order;
        if self.request.after.as_ref().is_some_and(|after| order.compare(&place, after).is_le()) {
            return;
        }
        let is_full = self.places.len() > self.request.limit;
        if is_full && self.places.peek().is_some_and(|last| order.compare(&place, &last.1).is_ge()) {
            return;
        }
        self.places.push(Ranked(order, place));
        if is_full {
            self.places.pop();
        }
    }
}

/// Finds a page.
pub(super) fn page(
    view: &View,
    request: &PageRequest,
    allowance: &Allowance<'_>,
    epoch: Epoch,
    now: Instant,
) -> Result<Page, Unanswered> {
    let sources = sources(view, &request.criteria, now)?;
    let (mut places, total) = match &sources[..] {
        [source] if is_plain(request) => (places_by_id(source, request), source.len()),
        _ => {
            let mut first = First { request, total: 0, places: BinaryHeap::new() };
            for source in &sources {
                offer_all(view, source, &mut first, allowance, epoch, now)?;
            }
            let First { places, total, .. } = first;
            (places.into_sorted_vec().into_iter().map(|Ranked(_, place)| place).collect(), total)
        }
    };
    let more = places.len() > request.limit;
    places.truncate(request.limit);
    let next = places.last().filter(|_| more).cloned();
    let ids: Vec<TargetId> = places.iter().map(|place| place.id).collect();
    let registrations: Vec<_> = ids.chunks(LOOKED_UP_AT_ONCE).flat_map(|ids| view.details(ids, now)).collect();
    for (_, Details { content, .. }) in &registrations {
        // They will be copied into an answer.
        allowance.spend(content.byte_count())?;
    }
    Ok(Page { registrations, total, next })
}

fn sources(view: &View, criteria: &Criteria, now: Instant) -> Result<Vec<Arc<Snapshot>>, Unanswered> {
    let list = |selector| Ok::<_, Unanswered>(view.list(selector, now)?.list);
    match criteria.groups.is_empty() {
        true => Ok(vec![list(Selector::All)?]),
        false => criteria.groups.iter().map(|name| list(Selector::Group(name))).collect(),
    }
}

/// Whether a single list, in its own order, is what was asked for.
fn is_plain(request: &PageRequest) -> bool {
    let PageRequest { criteria, words, order, .. } = request;
    *order == Order { by: SortBy::Id, is_descending: false }
        && words.is_empty()
        && criteria.labels.is_empty()
        && (criteria.scope == Scope::All || !criteria.groups.is_empty())
}

fn places_by_id(source: &Snapshot, request: &PageRequest) -> Vec<Place> {
    let after = request.after.as_ref().map(|place| place.id);
    let ids = source.after(after).take(request.limit + 1).map(|(id, _)| id);
    ids.map(|id| Place { value: SortValue::Number(0), id }).collect()
}

/// Offers what meets the criteria, in pieces.
fn offer_all(
    view: &View,
    source: &Snapshot,
    first: &mut First<'_>,
    allowance: &Allowance<'_>,
    epoch: Epoch,
    now: Instant,
) -> Result<(), Unanswered> {
    let PageRequest { criteria, words, order, .. } = first.request;
    let mut to_look_up = Vec::with_capacity(LOOKED_UP_AT_ONCE);
    for (id, content) in source.registrations() {
        allowance.spend(content.byte_count() * (criteria.labels.len() + words.len() + 1))?;
        if !criteria.meets(id, content) || !words.occur_in(id, content) {
            continue;
        }
        match order.by {
            SortBy::Id => first.offer(Place { value: SortValue::Number(0), id }),
            SortBy::Group => first.offer(Place { value: SortValue::Text(content.group().into_owned()), id }),
            SortBy::Expiry | SortBy::Update => to_look_up.push(id),
        }
        if to_look_up.len() == LOOKED_UP_AT_ONCE {
            offer_times(view, first, &std::mem::take(&mut to_look_up), epoch, now);
        }
    }
    offer_times(view, first, &to_look_up, epoch, now);
    Ok(())
}

fn offer_times(view: &View, first: &mut First<'_>, ids: &[TargetId], epoch: Epoch, now: Instant) {
    let by = first.request.order.by;
    view.look_up(ids, now, |id, held| {
        let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let number = match by {
            SortBy::Expiry => held.deadline.map_or(u64::MAX, |deadline| epoch.number(deadline)),
            _ => seconds(held.updated_at),
        };
        first.offer(Place { value: SortValue::Number(number), id });
    });
}
