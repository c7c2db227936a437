//! The rule of outages, with random owners and outages: no owner that renews at least twice per lifetime is ever
//! dropped, and no dead owner's registration stays longer than the outages together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::registration::{LabelNames, TargetId, Ttl};
use crate::registry::view::{Rules, View};
use crate::store::{Change, Mirror, Settlement, Stored};

/// The lifetime of all registrations here, in milliseconds.
const TTL: u64 = 20_000;

/// How much longer than the rule permits something may be shown: the store shows once a second that it takes writes,
/// and here nothing asks for it earlier.
const SLACK: u64 = 1_000;

/// Owners, and how long each world lasts.
const OWNERS: usize = 12;
const WORLD: u64 = 300_000;

/// Registers something and renews it.
struct Owner {
    id: TargetId,
    /// How often it renews; at least twice per lifetime.
    every: u64,
    next_at: u64,
    /// When it dies, if it does.
    dies_at: u64,
    /// The latest time at which it may be shown, by the model: its last success or refusal, and what follows from that.
    shown_until: u64,
    /// Refused in the present outage.
    is_refused: bool,
}

/// A store without a disk: it takes writes or not, and the view learns of that as from every store.
struct World {
    view: View,
    origin: Instant,
    owners: Vec<Owner>,
    /// The outages to come, from and to.
    outages: BTreeMap<u64, u64>,
    /// When the store last showed that it took writes: the earliest beginning of an outage.
    proven: u64,
    /// Whether the server sees refused writes. A stopped server does not; then outages must be so far apart that all
    /// owners have renewed between them.
    sees_refusals: bool,
    /// An outage that is over, and that the store must still settle.
    settling: Option<Settling>,
    random: fastrand::Rng,
}

/// A settlement that takes time, while the store takes owners' writes.
struct Settling {
    began: u64,
    end: u64,
    done_at: u64,
}

impl World {
    fn new(seed: u64, sees_refusals: bool) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let keep = Duration::from_secs(24 * 3600);
        let rules = Rules {
            names: LabelNames::Legacy,
            ttl: Ttl::from_seconds(TTL / 1000),
            outage_keep: keep,
            shows_groups: true,
        };
        let view = View::new(rules, &prometheus::Registry::new());
        view.loaded_at(Instant::now());
        let owner = |n: usize, random: &mut fastrand::Rng| Owner {
            id: TargetId::of(&[format!("host-{n}:9100")]),
            every: random.u64(TTL / 10..=TTL / 2),
            next_at: random.u64(0..TTL / 2),
            dies_at: if n.is_multiple_of(4) { random.u64(0..WORLD) } else { u64::MAX },
            shown_until: u64::MAX,
            is_refused: false,
        };
        let owners = (0..OWNERS).map(|n| owner(n, &mut random)).collect();
        let origin = Instant::now() + Duration::from_secs(1);
        World { view, origin, owners, outages: BTreeMap::new(), proven: 0, sees_refusals, settling: None, random }
    }

    fn at(&self, millis: u64) -> Instant {
        self.origin + Duration::from_millis(millis)
    }

    /// An outage that begins soon; every second one is aimed at an attempt to renew.
    fn plan_outage(&mut self, now: u64) {
        let length = self.random.u64(50..3 * TTL);
        let now = if self.sees_refusals { now } else { now + TTL };
        let from = if self.random.bool() {
            let victim = self.random.usize(0..self.owners.len());
            self.owners[victim].next_at.saturating_sub(self.random.u64(1..50)).max(now + 1)
        } else {
            now + self.random.u64(1..TTL)
        };
        self.outages.insert(from, from + length);
    }

    /// Runs until the end, in steps of time at which something happens.
    fn run(mut self, seed: u64) {
        let (mut now, mut began, mut end) = (0, None, 0);
        self.plan_outage(0);
        while now < WORLD {
            if let Some(began) = began.take_if(|_| now >= end) {
                let takes = if self.random.bool() { 0 } else { self.random.u64(0..2 * TTL) };
                self.settling = Some(Settling { began, end: now, done_at: now + takes });
                self.plan_outage(now);
            }
            if began.is_none()
                && let Some(outage) = self.outages.first_entry().filter(|outage| *outage.key() <= now)
            {
                end = outage.remove();
                // An outage that begins before the last one is settled is the same outage, which goes on.
                began = Some(self.settling.take().map_or(self.proven, |settling| settling.began));
            }
            if began.is_none() {
                self.settle(now, seed);
                self.view.writable(self.at(now));
                self.proven = now;
            }
            self.renew(now, began.is_some());
            self.check(now, began.is_some() || self.settling.is_some(), seed);
            now = self.next(now, end, began.is_some());
        }
    }

    /// Settles a part of the last outage, or the rest of it.
    fn settle(&mut self, now: u64, seed: u64) {
        let Some(Settling { began, end, done_at }) = self.settling else {
            assert!(self.view.settle(self.at(now), 1).is_none(), "seed {seed}: an outage at {now} that is none");
            return;
        };
        let at = self.at(end);
        let mut is_done = false;
        while !is_done && (now >= done_at || self.random.bool()) {
            let piece = self.view.settle(at, self.random.usize(1..4));
            // A short one that refused nobody may go unnoticed.
            let Settlement { moved, is_last } = piece.unwrap_or(Settlement { moved: Vec::new(), is_last: true });
            self.view.moved(&moved);
            is_done = is_last && now >= done_at;
            if is_last {
                break;
            }
        }
        if is_done {
            self.settling = None;
            self.view.settled(at);
            self.end_outage(began, end);
        }
    }

    /// The next time at which something happens, at most a second later.
    fn next(&self, now: u64, end: u64, is_out: bool) -> u64 {
        let attempts = self.owners.iter().map(|owner| owner.next_at);
        let done = self.settling.as_ref().map(|settling| settling.done_at);
        let outage = if is_out { Some(end) } else { self.outages.keys().next().copied() };
        attempts.chain(outage).chain(done).chain([now + SLACK]).filter(|at| *at > now).min().unwrap_or(now + SLACK)
    }

    fn renew(&mut self, now: u64, is_out: bool) {
        let (origin, at) = (self.origin, self.at(now));
        for owner in self.owners.iter_mut().filter(|owner| owner.next_at <= now && now < owner.dies_at) {
            owner.next_at = now + owner.every;
            if is_out {
                if self.sees_refusals {
                    owner.is_refused = true;
                    self.view.refused(owner.id, true, at);
                }
            } else {
                let value = format!(r#"{{"targets":["{}"],"updated_at":"{now}"}}"#, owner.id).into_bytes();
                let deadline = Some(origin + Duration::from_millis(now + TTL));
                self.view.apply_at(
                    vec![Change::Put { id: owner.id, stored: Stored::Read(value), deadline, original: None }],
                    at,
                );
                owner.shown_until = now + TTL;
            }
        }
    }

    /// Applies the rule to all owners after an outage.
    fn end_outage(&mut self, began: u64, end: u64) {
        for owner in self.owners.iter_mut().filter(|owner| owner.shown_until != u64::MAX) {
            let half = end + TTL / 2;
            let lengthened = owner.shown_until.saturating_add(end - began);
            let after = if owner.is_refused { half } else { lengthened.min(half) };
            owner.shown_until = owner.shown_until.max(after);
            owner.is_refused = false;
        }
    }

    fn check(&self, now: u64, is_out: bool, seed: u64) {
        let state = self.view.at(self.at(now));
        for (n, owner) in self.owners.iter().enumerate().filter(|(_, owner)| owner.shown_until != u64::MAX) {
            let is_shown = state.held.contains_key(&owner.id);
            assert!(is_shown || now >= owner.dies_at, "seed {seed}: owner {n} lives and is dropped at {now}");
            let is_late = !is_out && now > owner.shown_until + SLACK;
            assert!(
                !is_shown || !is_late,
                "seed {seed}: owner {n} was to go at {} and is shown at {now}",
                owner.shown_until
            );
        }
    }
}

#[test]
fn whoever_renewed_since_the_last_outage_is_not_dropped_even_if_nobody_sees_the_attempts() {
    let first = fastrand::u64(..1 << 32);
    for seed in first..first + 400 {
        World::new(seed, false).run(seed);
    }
}

#[test]
fn no_live_owner_is_dropped_and_no_dead_one_stays_whatever_the_outages() {
    let first = fastrand::u64(..1 << 32);
    for seed in first..first + 400 {
        World::new(seed, true).run(seed);
    }
}
