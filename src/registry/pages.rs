//! Pages of registrations in some order. However many there are, a page copies its own entries alone, and the view is
//! held for a few hundred of them at a time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::allowance::{Allowance, Unanswered, within_answer};
use super::criteria::{Criteria, Scope};
use super::list::Snapshot;
use super::lookups::{Details, LOOKED_UP_AT_ONCE};
use super::order::{Order, Position, SortValue, Times};
use super::search::Words;
use super::view::View;
use crate::registration::{Content, TargetId};

#[derive(Debug)]
pub struct PageRequest {
    pub criteria: Criteria,
    pub words: Words,
    /// The longest time that they have left; `None` for any.
    pub expire_within: Option<Duration>,
    pub order: Order,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Position>,
    /// How many are left out behind that.
    pub skip: usize,
    /// How many it has at most; fewer if they are large.
    pub limit: usize,
}

/// A part of what was asked for.
#[derive(Debug)]
pub struct Page {
    pub registrations: Vec<(TargetId, Details)>,
    /// How many there are on all pages.
    pub total: usize,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Position>,
}

/// A place that knows its order, for the heap of the first ones.
struct Ranked<'a>(&'a Order, Position);

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.compare(&self.1, &other.1)
    }
}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked<'_> {}

/// The first places behind where the page before ended, one more than are left out and the page has.
struct First<'a> {
    request: &'a PageRequest,
    total: usize,
    places: BinaryHeap<Ranked<'a>>,
}

impl First<'_> {
    /// How many places there may be at most.
    fn places_max(&self) -> usize {
        self.request.skip + self.request.limit + 1
    }

    fn offer(&mut self, place: Position) {
        self.total += 1;
        let order = &self.request.order;
        if self.request.after.as_ref().is_some_and(|after| order.compare(&place, after).is_le()) {
            return;
        }
        let is_full = self.places.len() >= self.places_max();
        if is_full && self.places.peek().is_some_and(|last| order.compare(&place, &last.1).is_ge()) {
            return;
        }
        self.places.push(Ranked(order, place));
        if is_full {
            self.places.pop();
        }
    }
}

impl View {
    /// A page of registrations.
    pub fn page(&self, request: &PageRequest, allowance: &Allowance<'_>, now: Instant) -> Result<Page, Unanswered> {
        let sources = self.sources(&request.criteria, now)?;
        let (mut places, total): (Vec<Position>, usize) = match &sources[..] {
            [source] if is_plain(request) => (places_by_id(source, request), source.len()),
            _ => {
                let mut first = First { request, total: 0, places: BinaryHeap::new() };
                for source in &sources {
                    offer_all(self, source, &mut first, allowance, now)?;
                }
                let First { places, total, .. } = first;
                let places = places.into_sorted_vec().into_iter().skip(request.skip);
                (places.map(|Ranked(_, place)| place).collect(), total)
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

    /// The lists in which what meets the criteria is found.
    pub(super) fn sources(&self, criteria: &Criteria, now: Instant) -> Result<Vec<Arc<Snapshot>>, Unanswered> {
        let list = |group| Ok(self.kept_list(group, now)?.list);
        match criteria.groups.is_empty() {
            true => Ok(vec![list(None)?]),
            false => criteria.groups.iter().map(|name| list(Some(name))).collect(),
        }
    }
}

/// Whether a single list, in its own order, is what was asked for.
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

/// Offers what meets the criteria, in pieces.
fn offer_all(
    view: &View,
    source: &Snapshot,
    first: &mut First<'_>,
    allowance: &Allowance<'_>,
    now: Instant,
) -> Result<(), Unanswered> {
    let PageRequest { criteria, words, order, expire_within, .. } = first.request;
    let needs_times = order.needs_times() || expire_within.is_some();
    let mut to_look_up = Vec::new();
    for (id, content) in source.registrations() {
        allowance.spend(content.byte_count() * (criteria.labels.len() + words.len() + 1))?;
        if !criteria.meets(id, content) || !words.occur_in(id, content) {
            continue;
        }
        if !needs_times {
            first.offer(order.place(id, content, None, view.epoch));
            continue;
        }
        to_look_up.push((id, content));
        if to_look_up.len() == LOOKED_UP_AT_ONCE {
            offer_times(view, first, &std::mem::take(&mut to_look_up), now);
        }
    }
    offer_times(view, first, &to_look_up, now);
    Ok(())
}

/// Offers those that are still alive, and that expire soon enough.
fn offer_times(view: &View, first: &mut First<'_>, found: &[(TargetId, &Content)], now: Instant) {
    let PageRequest { order, expire_within, .. } = first.request;
    let is_soon =
        |times: &Times| expire_within.is_none_or(|span| times.deadline.is_some_and(|deadline| deadline <= now + span));
    let ids: Vec<TargetId> = found.iter().map(|(id, _)| *id).collect();
    let mut alive = Vec::with_capacity(ids.len());
    view.look_up(&ids, now, |id, held| alive.push((id, Times::from(held))));
    let mut found = found.iter();
    for (id, times) in alive {
        // The times come in the same order; of those that are gone there are none.
        let Some((_, content)) = found.find(|(found, _)| *found == id) else { return };
        if is_soon(&times) {
            first.offer(order.place(id, content, Some(&times), view.epoch));
        }
    }
}
