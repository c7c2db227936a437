//! Addresses that stand in more than one registration: Prometheus scrapes them more than once, or drops all but one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::allowance::{Allowance, Unanswered, within_answer};
use super::criteria::Scope;
use super::list::Snapshot;
use crate::registration::{TargetId, json};

/// The most addresses that are listed, fewer if they are long.
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
    pub total: usize,
}

/// An address that stands in more than one registration.
#[derive(Debug, Clone)]
pub struct Duplicate {
    pub address: String,
    /// The first ten of the registrations.
    pub ids: Vec<TargetId>,
    pub ids_total: usize,
}

/// The latest reckoning for a scope. It is locked while it is made anew, and who asks for the same waits.
type Latest = Arc<Mutex<Option<(Instant, Arc<Duplicates>)>>>;

/// The latest reckonings, for those who may see all groups or some.
#[derive(Debug, Default)]
pub(super) struct Reckonings(Mutex<HashMap<Scope, Latest>>);

impl Reckonings {
    /// The duplicates of the list of a scope, as they were at most ten seconds ago.
    pub(super) fn get(
        &self,
        scope: &Scope,
        list: &Snapshot,
        allowance: &Allowance<'_>,
    ) -> Result<Arc<Duplicates>, Unanswered> {
        let latest = self.latest(scope);
        let mut latest = allowance.lock(&latest)?;
        if let Some((at, duplicates)) = latest.as_ref()
            && at.elapsed() < GOOD_FOR
        {
            return Ok(duplicates.clone());
        }
        let duplicates = Arc::new(reckon(list, allowance)?);
        *latest = Some((Instant::now(), duplicates.clone()));
        Ok(duplicates)
    }

    fn latest(&self, scope: &Scope) -> Latest {
        let mut all = self.0.lock();
        if all.len() >= SCOPES_MAX && !all.contains_key(scope) {
            let is_good = |(at, _): &(Instant, Arc<Duplicates>)| at.elapsed() < GOOD_FOR;
            all.retain(|_, latest| latest.try_lock().is_none_or(|latest| latest.as_ref().is_some_and(is_good)));
        }
        match all.len() < SCOPES_MAX || all.contains_key(scope) {
            true => all.entry(scope.clone()).or_default().clone(),
            false => Latest::default(),
        }
    }
}

/// An address that may stand in more than one registration.
struct AddressUse<'a> {
    json: &'a [u8],
    ids: Vec<TargetId>,
    total: usize,
}

/// Looks for addresses by their hashes first, so that only those that may be there twice are ever copied.
fn reckon(list: &Snapshot, allowance: &Allowance<'_>) -> Result<Duplicates, Unanswered> {
    let mut hashes: Vec<u64> = Vec::with_capacity(list.address_count());
    for_each_address(list, allowance, |_, address| hashes.push(hash(address)))?;
    hashes.sort_unstable();
    let repeated = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let repeated: HashSet<u64> = repeated.collect();
    let mut found: BTreeMap<&[u8], AddressUse<'_>> = BTreeMap::new();
    for_each_address(list, allowance, |id, address| {
        if !repeated.is_empty() && repeated.contains(&hash(address)) {
            // Sorted as they are without the quotes.
            let text = &address[1..address.len() - 1];
            let found = found.entry(text).or_insert_with(|| AddressUse { json: address, ids: Vec::new(), total: 0 });
            found.total += 1;
            if found.ids.len() < IDS_MAX {
                found.ids.push(id);
            }
        }
    })?;
    found.retain(|_, found| found.total > 1);
    let total = found.len();
    let listed = within_answer(found.into_values().take(LISTED_MAX), |found| found.json.len());
    let listed = listed.map(|AddressUse { json, ids, total }| Duplicate {
        address: json::decode_string(json).into_owned(),
        ids,
        ids_total: total,
    });
    Ok(Duplicates { listed: listed.collect(), total })
}

fn hash(address: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    hasher.finish()
}

/// Each address of each registration, once in each, as it stands in JSON.
fn for_each_address<'a>(
    list: &'a Snapshot,
    allowance: &Allowance<'_>,
    mut each: impl FnMut(TargetId, &'a [u8]),
) -> Result<(), Unanswered> {
    for (id, content) in list.registrations() {
        allowance.spend(content.byte_count())?;
        let addresses = json::strings(content.targets_json());
        if content.target_count() == 1 {
            addresses.for_each(|address| each(id, address));
            continue;
        }
        addresses.collect::<BTreeSet<_>>().into_iter().for_each(|address| each(id, address));
    }
    Ok(())
}
