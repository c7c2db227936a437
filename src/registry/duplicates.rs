//! Addresses that stand in more than one registration: Prometheus scrapes them more than once, or drops all but one.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::list::Snapshot;
use super::scope::Scope;
use crate::registration::TargetId;

/// The most addresses that are listed.
const LISTED_MAX: usize = 1000;

/// The most registrations that are listed for an address.
const IDS_MAX: usize = 10;

/// How long a reckoning is good for.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// The most scopes whose reckonings are kept.
const SCOPES_MAX: usize = 64;

/// The addresses that stand in more than one registration.
#[derive(Debug, Default)]
pub struct Duplicates {
    /// Up to a thousand of them, by address.
    pub listed: Vec<Duplicate>,
    /// How many there are.
    pub total: usize,
}

/// An address that stands in more than one registration.
#[derive(Debug, Clone)]
pub struct Duplicate {
    /// The address.
    pub address: String,
    /// The first ten of the registrations.
    pub ids: Vec<TargetId>,
    /// How many there are.
    pub ids_total: usize,
}

/// The latest reckonings, for those who may see all groups or some.
#[derive(Default)]
pub(super) struct Reckonings(Mutex<HashMap<Scope, (Instant, Arc<Duplicates>)>>);

impl Reckonings {
    /// The duplicates of a list, as they were at most ten seconds ago. Others who ask wait until they are reckoned.
    pub(super) fn get(&self, scope: &Scope, list: &Snapshot, now: Instant) -> Arc<Duplicates> {
        let mut kept = self.0.lock();
        kept.retain(|_, (at, _)| now.saturating_duration_since(*at) < GOOD_FOR);
        if let Some((_, duplicates)) = kept.get(scope) {
            return duplicates.clone();
        }
        let duplicates = Arc::new(reckon(list));
        if kept.len() < SCOPES_MAX {
            kept.insert(scope.clone(), (now, duplicates.clone()));
        }
        duplicates
    }
}

/// Counts addresses by their hashes first, so that only those that may be there twice are ever copied.
fn reckon(list: &Snapshot) -> Duplicates {
    let hash = |address: &str| {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        hasher.finish()
    };
    let mut counts: HashMap<u64, u32> = HashMap::with_capacity(list.len());
    for address in addresses(list).map(|(_, address)| address) {
        *counts.entry(hash(&address)).or_default() += 1;
    }
    let mut found: BTreeMap<String, (Vec<TargetId>, usize)> = BTreeMap::new();
    for (id, address) in addresses(list).filter(|(_, address)| counts.get(&hash(address)).is_some_and(|n| *n > 1)) {
        let (ids, total) = found.entry(address).or_default();
        *total += 1;
        if ids.len() < IDS_MAX {
            ids.push(id);
        }
    }
    found.retain(|_, (_, total)| *total > 1);
    let total = found.len();
    let listed = found.into_iter().take(LISTED_MAX);
    let listed = listed.map(|(address, (ids, ids_total))| Duplicate { address, ids, ids_total }).collect();
    Duplicates { listed, total }
}

/// Each address of each registration, once in each.
fn addresses(list: &Snapshot) -> impl Iterator<Item = (TargetId, String)> {
    list.registrations().flat_map(|(id, content)| {
        let mut targets = content.targets();
        targets.sort_unstable();
        targets.dedup();
        targets.into_iter().map(move |target| (id, target))
    })
}
