//! How long registrations live when owners could not renew them. Pure; time is passed in.
//!
//! The **expiry horizon** is the last instant at which the store is known to have taken writes. Nothing expires past
//! it. When it lags, or a renewal was refused, that is an **outage**; it has one rule, whatever the cause:
//!
//! > After an outage of length D that ended at e, a registration with lifetime TTL and deadline d has the deadline
//! > max(d, min(d + D, e + TTL/2)); one whose renewal was refused meanwhile has max(d, e + TTL/2).
//!
//! So whoever renews at least twice per lifetime is never dropped because of outages: let the owner renew every
//! I <= TTL/2, and let the outage be [s, e]. Its last success was at s - I or later, so that d >= s - I + TTL, and its
//! next attempt comes by e + I. The new deadline is at least d + D >= e + TTL - I >= e + I, or at least e + TTL/2. If
//! several outages in a row meet one attempt after the other, each attempt was refused, and e + TTL/2 >= e + I again.
//! And whoever is gone stays for no longer than all outages together, since the rule for [s, e] is the rule for [s, m]
//! followed by the rule for [m, e].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::registration::TargetId;
use crate::store::WAIT_MAX;

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
    /// What ran out until then has run out on every server.
    final_until: Option<Instant>,
    outage: Option<Outage>,
    /// How long past its deadline a registration may be kept.
    keep: Duration,
}

/// Time in which nobody could renew.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Whose renewals were refused, and when: each refusal is a sign of life.
    refused: HashMap<TargetId, Instant>,
    /// Deadlines that were replaced by others from the store, although their owners wrote nothing new: another server
    /// has moved them, or the store has gone back to what it saved before. The rule starts from the ones replaced, or
    /// several servers that come back one after the other would each lengthen what the others have lengthened.
    replaced: HashMap<TargetId, Instant>,
    /// Somebody else could write in the midst of it, so that it was this server's alone.
    only_here: bool,
    /// What the store is making durable.
    settled: Option<Settled>,
}

#[derive(Debug)]
struct Settled {
    end: Instant,
    deadlines: Vec<(TargetId, Instant)>,
}

/// An outage that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// How long it was.
    pub(super) length: Duration,
    /// The deadlines that are now in the store.
    pub(super) deadlines: Vec<(TargetId, Instant)>,
}

/// A write that the mirror is shown, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write {
    pub(super) id: TargetId,
    /// The deadline that it replaces, if it is not newer than what had that.
    pub(super) replaced: Option<Instant>,
    /// When somebody wrote it, by its lifetime, if it says something new.
    pub(super) began: Option<Instant>,
    /// How long ago that was by the clock of whoever wrote it.
    pub(super) age: Option<Duration>,
}

impl Horizon {
    /// A store that nothing is known of yet.
    pub(super) fn new(keep: Duration) -> Horizon {
        Horizon { proven: None, final_until: None, outage: None, keep }
    }

    /// Everything whose deadline is no later than this has run out.
    pub(super) fn expired_until(&self, now: Instant) -> Option<Instant> {
        self.final_until.max(now.checked_sub(self.keep))
    }

    /// Since when nobody could renew, if that is so now.
    pub(super) fn outage_since(&self) -> Option<Instant> {
        self.outage.as_ref().map(|outage| outage.since)
    }

    /// Begins an outage if the horizon lags. `true` when it did.
    pub(super) fn check(&mut self, now: Instant) -> bool {
        let Some(proven) = self.proven else { return false };
        let lags = self.outage.is_none() && now.saturating_duration_since(proven) > LAG_MAX;
        if lags {
            self.outage = Some(Outage::since(proven));
        }
        lags
    }

    /// The store begins to be followed, or was not at work since then.
    pub(super) fn begin(&mut self, at: Instant) {
        self.proven.get_or_insert(at);
    }

    /// Nothing could be written since then, or what was written may be lost.
    pub(super) fn interrupt(&mut self, since: Instant) {
        let since = since.min(*self.proven.get_or_insert(since));
        self.outage.get_or_insert_with(|| Outage::since(since));
    }

    /// A renewal was refused. `true` when that is the first sign of an outage.
    pub(super) fn refuse(&mut self, id: Option<TargetId>, now: Instant) -> bool {
        let is_first = self.outage.is_none();
        let since = self.proven.unwrap_or(now);
        let outage = self.outage.get_or_insert_with(|| Outage::since(since));
        outage.refused.extend(id.map(|id| (id, now)));
        is_first
    }

    /// Takes note of what the store shows.
    pub(super) fn note(&mut self, write: Write, now: Instant) {
        let Some(outage) = &mut self.outage else { return };
        if let Some(replaced) = write.replaced {
            outage.replaced.entry(write.id).or_insert(replaced);
        }
        // Neither a lifetime that is not ours nor a clock that is wrong shall tell alone that others could write.
        let amid = outage.since + NOTICED_WITHIN..now.checked_sub(NOTICED_WITHIN).unwrap_or(now);
        let by_clock = write.age.and_then(|age| now.checked_sub(age));
        outage.only_here |= [write.began, by_clock].iter().all(|at| at.is_some_and(|at| amid.contains(&at)));
    }

    /// The deadline of a registration after the outage, if that ends at `end`.
    pub(super) fn lengthened(&self, id: TargetId, deadline: Instant, lifetime: Duration, end: Instant) -> Instant {
        let Some(outage) = &self.outage else { return deadline };
        if !outage.concerns(id, end) {
            // It has run out, wherever its owner could renew; there is only the news of other servers to wait for.
            return deadline.max(end);
        }
        // The store may have gone back to an older deadline than the one that was acknowledged.
        let original = outage.replaced.get(&id).copied().unwrap_or(deadline);
        let deadline = deadline.max(original);
        let half = end + lifetime / 2;
        let length = end.saturating_duration_since(outage.since);
        let lengthened = if outage.has_refused(id, end) { half } else { (original + length).min(half) };
        deadline.max(lengthened.min(original + self.keep))
    }

    /// Whether the rule applies to a registration, so that its new deadline has to be in the store: in an outage of this
    /// server alone only when its owner was refused here.
    pub(super) fn concerns(&self, id: TargetId, end: Instant) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.concerns(id, end))
    }

    /// Remembers what the store is about to make durable.
    pub(super) fn settle(&mut self, end: Instant, deadlines: Vec<(TargetId, Instant)>) {
        if let Some(outage) = &mut self.outage {
            outage.settled = Some(Settled { end, deadlines });
        }
    }

    /// The store took a write at this time, and what ran out until `final_until` has run out on every server. Ends the
    /// outage, if the new deadlines have been settled for this time.
    pub(super) fn prove(&mut self, at: Instant, final_until: Instant) -> Option<Ended> {
        let Some(outage) = self.outage.take_if(|outage| outage.settled.as_ref().is_some_and(|s| s.end == at)) else {
            // While an outage lasts, writes that succeed end it only when what must not run out is in the store.
            if self.outage.is_none() {
                self.proven = self.proven.max(Some(at));
                self.final_until = self.final_until.max(Some(final_until));
            }
            return None;
        };
        let Outage { since, mut refused, settled, .. } = outage;
        self.proven = Some(at);
        self.final_until = self.final_until.max(Some(final_until));
        // Who was refused after that is a matter of the next outage, which has begun then.
        refused.retain(|_, refused_at| *refused_at > at);
        if !refused.is_empty() {
            self.outage = Some(Outage { refused, ..Outage::since(at) });
        }
        let deadlines = settled.map(|settled| settled.deadlines).unwrap_or_default();
        Some(Ended { length: at.saturating_duration_since(since), deadlines })
    }
}

impl Outage {
    fn since(since: Instant) -> Outage {
        Outage { since, refused: HashMap::new(), replaced: HashMap::new(), only_here: false, settled: None }
    }

    fn has_refused(&self, id: TargetId, until: Instant) -> bool {
        self.refused.get(&id).is_some_and(|at| *at <= until)
    }

    fn concerns(&self, id: TargetId, end: Instant) -> bool {
        !self.only_here || self.has_refused(id, end)
    }
}
