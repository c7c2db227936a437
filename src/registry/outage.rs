//! How long registrations live when owners could not renew them: the horizon, the outage, the calm after it. Pure; time
//! is passed in.
//!
//! The **expiry horizon** is the last instant at which the store is known to have taken writes. Nothing expires past
//! it. When it lags, or a renewal was refused, that is an **outage**. One rule applies to all outages:
//!
//! > After an outage of length D that ended at e, a registration with lifetime TTL and deadline d has the deadline
//! > max(d, min(d + D, e + TTL/2)); one whose renewal was refused meanwhile has max(d, e + TTL/2).
//!
//! So an owner that renews at least twice per lifetime never loses its registration to outages. Let the owner renew
//! every I <= TTL/2, and let the outage be [s, e]. The last success was at s - I or later, so that d >= s - I + TTL,
//! and the next attempt comes by e + I. The new deadline is at least d + D >= e + TTL - I >= e + I, or at least e +
//! TTL/2. If each of several outages in a row meets an attempt, each attempt was refused, and again e + TTL/2 >= e + I.
//! And a registration without an owner stays no longer than all outages together, since the rule for [s, e] is the rule
//! for [s, m] followed by the rule for [m, e].
//!
//! An outage has one beginning and one end, and moves each deadline once. To settle it, the store writes the moved
//! deadlines. That work is not part of the outage: each write that the store takes meanwhile is evidence up to that
//! write, so that the next outage begins no earlier. Only if the store fails meanwhile does the outage go on; it is
//! then settled anew for its later end.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use crate::registration::TargetId;
use crate::store::{HELD_MAX, WAIT_MAX};

/// How far the horizon may lag before that is an outage: a write that waits no longer than this is not refused.
const LAG_MAX: Duration = WAIT_MAX;

/// How far from both ends of an outage another server's write must lie to show that the outage was this server's
/// alone: no server notices the beginning or the end later than this.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// The horizon, and the outage when there is one.
#[derive(Debug)]
pub(super) struct Horizon {
    /// The last instant at which the store took writes; `None` before the first one.
    proven: Option<Instant>,
    /// Registrations with deadlines up to this have expired, on every server.
    final_until: Option<Instant>,
    /// When all signs of life have arrived after the last trouble.
    calm_at: Option<Instant>,
    /// Until then an outage kept everything. The time for which trouble may hold registrations counts from here.
    held_from: Option<Instant>,
    outage: Option<Outage>,
    /// When the last outage was over here.
    over_at: Option<Instant>,
    /// How long past its original deadline a registration may be kept.
    keep: Duration,
}

/// Time in which owners could not renew.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// The end for which the store is settling it, if it is.
    end: Option<Instant>,
    /// Renewals may have failed without being seen here: the horizon lagged, or this server was not at work. Otherwise
    /// the outage concerns only the registrations that it refused.
    is_unseen: bool,
    is_told: bool,
    /// The registrations whose renewals were refused, and when: each refusal is a sign of life.
    refused: HashMap<TargetId, Instant>,
    /// Deadlines from before the outage, where others have replaced them although no owner wrote anything new: the
    /// settlement or another server has moved them, or the store has gone back to saved data. The rule starts from
    /// these. Otherwise several servers that come back one after the other would each lengthen the deadlines that the
    /// others have lengthened.
    replaced: HashMap<TargetId, Instant>,
    /// Another server could write in the midst of it, so it was this server's alone.
    only_here: bool,
    /// How many deadlines have been moved.
    moved: usize,
}

/// An outage that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) length: Duration,
    pub(super) moved: usize,
    /// People were told of its beginning.
    pub(super) is_told: bool,
}

/// The facts about a write in the mirror that matter here.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenWrite {
    pub(super) id: TargetId,
    /// The deadline that it replaces, if the write is not newer than the one before.
    pub(super) replaced: Option<Instant>,
    /// When it was written, by its deadline and lifetime, if it says something new.
    pub(super) began: Option<Instant>,
    /// How long ago that was, by the writer's clock.
    pub(super) age: Option<Duration>,
}

impl Horizon {
    /// For a store of which nothing is known yet.
    pub(super) fn new(keep: Duration) -> Horizon {
        Horizon { proven: None, final_until: None, calm_at: None, held_from: None, outage: None, over_at: None, keep }
    }

    /// Everything whose deadline is no later than this has expired.
    pub(super) fn expired_until(&self, now: Instant) -> Option<Instant> {
        self.final_until.max(now.checked_sub(self.keep))
    }

    /// How long outages may keep a registration at most, after the deadline that its owner gave it.
    pub(super) fn kept_until(&self, original: Instant) -> Instant {
        original.checked_add(self.keep).unwrap_or(original)
    }

    /// When a registration with this deadline expires for good, unless there is more trouble.
    pub(super) fn expires_at(&self, deadline: Instant) -> Instant {
        let held_from = self.held_from.map_or(deadline, |from| deadline.max(from));
        self.calm_at.map_or(deadline, |calm_at| deadline.max(calm_at.min(held_from + HELD_MAX)))
    }

    /// The beginning of the present outage, if there is one. Writes refused for lack of time alone are not an outage.
    pub(super) fn outage_since(&self) -> Option<Instant> {
        let outage = self.outage.as_ref().filter(|outage| outage.is_known());
        outage.map(|outage| outage.since)
    }

    /// Whether there was an outage at any time since then.
    pub(super) fn had_outage(&self, since: Instant) -> bool {
        self.outage_since().is_some() || self.over_at >= Some(since)
    }

    /// Begins an outage if the horizon lags. `true` if people must be told of it.
    pub(super) fn check(&mut self, now: Instant) -> bool {
        let Some(proven) = self.proven.filter(|proven| now.saturating_duration_since(*proven) > LAG_MAX) else {
            return false;
        };
        let outage = self.outage.get_or_insert_with(|| Outage::since(proven));
        if outage.is_unseen {
            return false;
        }
        // It now concerns everybody: a settlement for the refused alone is not enough.
        (outage.is_unseen, outage.end) = (true, None);
        outage.tell()
    }

    /// The store is followed from this time on.
    pub(super) fn begin(&mut self, at: Instant) {
        self.proven.get_or_insert(at);
    }

    /// Nothing could be written since then, or what was written may be lost.
    pub(super) fn interrupt(&mut self, since: Instant) {
        let since = since.min(*self.proven.get_or_insert(since));
        let outage = self.outage.get_or_insert_with(|| Outage::since(since));
        (outage.is_unseen, outage.end) = (true, None);
    }

    /// A renewal was refused.
    pub(super) fn refuse(&mut self, id: Option<TargetId>, now: Instant) {
        let since = self.proven.unwrap_or(now);
        let outage = self.outage.get_or_insert_with(|| Outage::since(since));
        outage.refused.extend(id.map(|id| (id, now)));
    }

    /// Whether people must now be told that there is an outage.
    pub(super) fn tell(&mut self) -> bool {
        self.outage.as_mut().is_some_and(Outage::tell)
    }

    /// Takes note of a write that the store shows.
    pub(super) fn note(&mut self, write: SeenWrite, now: Instant) {
        let Some(outage) = &mut self.outage else { return };
        if let Some(replaced) = write.replaced {
            outage.replaced.entry(write.id).or_insert(replaced);
        }
        // Others could write only if both the deadline and the writer's clock say so: either may be wrong.
        let amid = outage.since + NOTICED_WITHIN..now.checked_sub(NOTICED_WITHIN).unwrap_or(now);
        let by_clock = write.age.and_then(|age| now.checked_sub(age));
        outage.only_here |= [write.began, by_clock].iter().all(|at| at.is_some_and(|at| amid.contains(&at)));
    }

    /// Settles the outage, if there is one, for this end. `Some(true)` if the settlement for this end had begun before.
    pub(super) fn settle(&mut self, end: Instant) -> Option<bool> {
        let outage = self.outage.as_mut()?;
        Some(outage.end.replace(end) == Some(end))
    }

    /// The refused registrations, if the outage concerns only these.
    pub(super) fn refused_alone(&self) -> Option<impl Iterator<Item = TargetId>> {
        let outage = self.outage.as_ref().filter(|outage| !outage.is_unseen)?;
        Some(outage.refused.keys().copied())
    }

    /// The deadline of a registration after an outage that ends at `end`. `original` is the deadline that its owner
    /// gave it, if outages have moved that.
    pub(super) fn lengthened(
        &self,
        id: TargetId,
        deadline: Instant,
        original: Option<Instant>,
        lifetime: Duration,
        end: Instant,
    ) -> Instant {
        let Some(outage) = &self.outage else { return deadline };
        if !outage.concerns(id, end) {
            // It could be renewed at other servers. It only has to wait for news from them.
            return deadline.max(end);
        }
        // The store may have gone back to an older deadline than the one that was acknowledged.
        let before = outage.replaced.get(&id).copied().unwrap_or(deadline);
        let deadline = deadline.max(before);
        let half = end + lifetime / 2;
        let length = end.saturating_duration_since(outage.since);
        let lengthened = if outage.has_refused(id, end) { half } else { (before + length).min(half) };
        deadline.max(lengthened.min(self.kept_until(original.unwrap_or(before))))
    }

    /// Whether the rule applies to a registration, so that its new deadline must be stored. In an outage of this server
    /// alone it applies only to registrations refused here.
    pub(super) fn concerns(&self, id: TargetId, end: Instant) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.concerns(id, end))
    }

    /// The settlement has moved a deadline, which was `from` before.
    pub(super) fn moved(&mut self, id: TargetId, from: Instant) {
        if let Some(outage) = &mut self.outage {
            outage.replaced.entry(id).or_insert(from);
            outage.moved += 1;
        }
    }

    /// Ends the outage, if all deadlines that it moves are in the store, for this end.
    pub(super) fn settled(&mut self, end: Instant, now: Instant) -> Option<Ended> {
        let outage = self.outage.take_if(|outage| outage.end == Some(end))?;
        if outage.is_known() {
            self.over_at = Some(now);
        }
        let Outage { since, mut refused, moved, is_told, .. } = outage;
        let proven = self.proven.max(Some(end)).unwrap_or(end);
        self.proven = Some(proven);
        // Later refusals belong to the next outage, which concerns only these.
        refused.retain(|_, refused_at| *refused_at > end);
        if !refused.is_empty() {
            self.outage = Some(Outage { refused, is_told, ..Outage::since(proven) });
        }
        Some(Ended { length: end.saturating_duration_since(since), moved, is_told })
    }

    /// The store took a write at this time. Registrations with deadlines up to it expire, unless an outage is not
    /// settled yet.
    pub(super) fn prove(&mut self, at: Instant) {
        self.proven = self.proven.max(Some(at));
        if self.outage.is_none() {
            let is_calm = self.calm_at.is_none_or(|calm_at| calm_at <= at);
            let held = at.checked_sub(HELD_MAX).filter(|held| self.held_from.is_none_or(|from| from <= *held));
            let final_until = if is_calm { Some(at) } else { held };
            self.final_until = self.final_until.max(final_until);
        }
    }

    /// Some owners could not write until now; all signs of life arrive within `wait`.
    pub(super) fn trouble(&mut self, now: Instant, wait: Duration) {
        self.calm_at = self.calm_at.max(Some(now + wait));
        if self.outage.as_ref().is_some_and(|outage| outage.is_unseen) {
            self.held_from = Some(now);
        }
    }
}

impl Outage {
    fn since(since: Instant) -> Outage {
        Outage {
            since,
            end: None,
            is_unseen: false,
            is_told: false,
            refused: HashMap::new(),
            replaced: HashMap::new(),
            only_here: false,
            moved: 0,
        }
    }

    /// Whether it is one for everybody, and not only for writes that were refused for lack of time.
    fn is_known(&self) -> bool {
        self.is_unseen || self.is_told
    }

    /// Whether people must be told of it now.
    fn tell(&mut self) -> bool {
        !mem::replace(&mut self.is_told, true)
    }

    fn has_refused(&self, id: TargetId, until: Instant) -> bool {
        self.refused.get(&id).is_some_and(|at| *at <= until)
    }

    fn concerns(&self, id: TargetId, end: Instant) -> bool {
        self.has_refused(id, end) || (self.is_unseen && !self.only_here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expires_in_trouble_goes_when_it_is_calm_again() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut horizon = Horizon::new(Duration::ZERO);
        horizon.trouble(start, second);
        assert_eq!(horizon.expires_at(start), start + second);
        horizon.prove(start + second / 2);
        assert!(horizon.final_until < Some(start));
        horizon.prove(start + second);
        assert_eq!(horizon.final_until, Some(start + second));
        (0..100).for_each(|n| horizon.trouble(start + second * n, second));
        assert_eq!(horizon.expires_at(start), start + HELD_MAX, "trouble without an end keeps nothing for ever");
        for at in (100..120).map(|n| start + second * n) {
            horizon.trouble(at, second);
            horizon.prove(at);
            assert_eq!(horizon.final_until, Some(at - HELD_MAX), "each write that the store takes ends what is old");
        }
    }

    #[test]
    fn what_expired_in_a_long_settlement_waits_for_the_news_that_is_on_its_way_then() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut horizon = Horizon::new(Duration::from_secs(3600));
        horizon.prove(start);
        horizon.interrupt(start);
        let end = start + second;
        horizon.settle(end);
        // Writing it took longer than trouble may hold anything.
        let written = end + 3 * HELD_MAX;
        horizon.trouble(written, second);
        horizon.settled(end, end).unwrap();
        assert_eq!(horizon.expires_at(end), written + second);
        horizon.prove(written);
        assert!(horizon.final_until < Some(end));
        (1..=10).for_each(|n| horizon.trouble(written + n * second, second));
        assert_eq!(horizon.expires_at(end), written + HELD_MAX, "trouble without an end keeps nothing for ever");
        horizon.prove(written + HELD_MAX);
        assert_eq!(horizon.final_until, Some(written));
    }

    #[test]
    fn who_asked_before_an_outage_was_over_asked_in_it() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut horizon = Horizon::new(Duration::from_secs(3600));
        assert!(!horizon.had_outage(start));
        horizon.interrupt(start);
        let (end, over) = (start + second, start + second * 9);
        assert!(horizon.had_outage(over), "it is still on");
        horizon.settle(end);
        horizon.settled(end, over).unwrap();
        assert!(horizon.had_outage(over - second), "it was being settled");
        assert!(!horizon.had_outage(over + second));
        // The store had no time for a write, and nobody is told.
        horizon.refuse(Some(TargetId::NIL), over + second * 2);
        horizon.settle(over + second * 3);
        horizon.settled(over + second * 3, over + second * 3).unwrap();
        assert!(!horizon.had_outage(over + second));
    }
}
