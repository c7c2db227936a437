//! What Prometheus does not scrape as intended: addresses in more than one registration, which it scrapes more than
//! once, and labels for which it drops a target. Each segment of a list is searched for such labels once per change and
//! remembers the result in a few bytes, so that asking again costs only what has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::allowance::{Allowance, Unanswered, within_answer};
use super::criteria::Scope;
use super::list::{Listed, Snapshot};
use crate::registration::{TargetId, json};

/// The most addresses that are listed, fewer if they are long.
const DUPLICATES_MAX: usize = 1000;

/// The most registrations that are listed for an address.
const IDS_MAX: usize = 10;

/// How long a reckoning may be used.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// The most scopes whose reckonings are kept.
const SCOPES_MAX: usize = 64;

/// The addresses in more than one registration.
#[derive(Debug, Default)]
pub struct Duplicates {
    /// Up to a thousand, in the order of the addresses.
    pub listed: Vec<Duplicate>,
    pub total: usize,
}

#[derive(Debug, Clone)]
pub struct Duplicate {
    pub address: String,
    /// The first ten.
    pub ids: Vec<TargetId>,
    pub ids_total: usize,
}

/// The latest reckoning for a scope. It is locked while a new one is made, and others that ask for it wait.
type Latest = Arc<Mutex<Option<(Instant, Arc<Duplicates>)>>>;

/// The latest reckonings, by scope.
#[derive(Debug, Default)]
pub(super) struct Reckonings(Mutex<HashMap<Scope, Latest>>);

impl Reckonings {
    /// The duplicates in the list of a scope, as they were at most ten seconds ago.
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

/// An address that may be in more than one registration.
struct AddressUse<'a> {
    json: &'a [u8],
    ids: Vec<TargetId>,
    total: usize,
}

/// Compares addresses by their hashes first, so that only possible duplicates are ever copied.
fn reckon(list: &Snapshot, allowance: &Allowance<'_>) -> Result<Duplicates, Unanswered> {
    let mut hashes: Vec<u64> = Vec::with_capacity(list.address_count());
    for_each_address(list, allowance, |_, address| hashes.push(hash(address)))?;
    hashes.sort_unstable();
    let repeated = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let repeated: HashSet<u64> = repeated.collect();
    let mut found: BTreeMap<&[u8], AddressUse<'_>> = BTreeMap::new();
    for_each_address(list, allowance, |id, address| {
        if !repeated.is_empty() && repeated.contains(&hash(address)) {
            // Sorted without the quotes.
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
    let listed = within_answer(found.into_values().take(DUPLICATES_MAX), |found| found.json.len());
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

/// Passes each address of each registration, once for each, in JSON.
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

/// The most problems that are listed, fewer if the names of their groups are long.
const PROBLEMS_MAX: usize = 1000;

/// How much of a value is shown, in characters.
const VALUE_CHARS_MAX: usize = 100;

/// Labels for which registrations are not scraped as intended.
#[derive(Debug)]
pub struct LabelProblems {
    /// Up to a thousand, in the order of the ids.
    pub listed: Vec<LabelProblem>,
    pub total: usize,
}

#[derive(Debug, Serialize)]
pub struct LabelProblem {
    pub id: TargetId,
    #[serde(rename = "target_group")]
    pub group: String,
    pub label: &'static str,
    /// Only the beginning.
    pub value: String,
    pub reason: &'static str,
}

pub(super) fn count_label_problems(list: &Snapshot, allowance: &Allowance<'_>) -> Result<usize, Unanswered> {
    list.segments().iter().map(|segment| Ok(segment.faulty(allowance)?.faults)).sum()
}

pub(super) fn label_problems(list: &Snapshot, allowance: &Allowance<'_>) -> Result<LabelProblems, Unanswered> {
    let (mut listed, mut total) = (Vec::new(), 0);
    for segment in list.segments() {
        let faulty = segment.faulty(allowance)?;
        total += faulty.faults;
        for found in segment.entries_at(faulty).take(PROBLEMS_MAX.saturating_sub(listed.len())) {
            allowance.spend(found.content.byte_count())?;
            listed.extend(problems_of(found));
        }
    }
    let listed = listed.into_iter().take(PROBLEMS_MAX);
    let listed = within_answer(listed, |problem: &LabelProblem| problem.group.len() + problem.value.len());
    Ok(LabelProblems { listed: listed.collect(), total })
}

fn problems_of(Listed { id, content }: &Listed) -> impl Iterator<Item = LabelProblem> {
    content.scrape_faults().into_iter().map(move |fault| LabelProblem {
        id: *id,
        group: content.group().into_owned(),
        label: fault.label,
        value: content.label(fault.label).unwrap_or_default().chars().take(VALUE_CHARS_MAX).collect(),
        reason: fault.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{Content, LabelNames, Registration, TtlBounds};
    use crate::registry::allowance::{Asker, QuestionTurns};
    use crate::registry::list::List;

    struct Patient;

    impl Asker for Patient {
        fn is_waiting(&self) -> bool {
            true
        }
    }

    fn odd(n: u32) -> Listed {
        let labels = r#"{"__scheme__":"ftp","__scrape_interval__":"soon"}"#;
        let body = format!(r#"{{"static_config":{{"targets":["host-{n}:9100"],"labels":{labels}}}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        Listed { id: registration.id(), content: Content::new(&registration) }
    }

    #[test]
    fn all_are_counted_and_a_thousand_are_listed() {
        let mut list = List::default();
        for (n, listed, total) in [(300, 600, 600), (501, 1000, 1002), (2000, 1000, 4000)] {
            (0..n).for_each(|n| list.insert(odd(n)));
            let (list, turns) = (list.snapshot(), QuestionTurns::new());
            let allowance = Allowance::new(&Patient, &turns);
            let found = label_problems(&list, &allowance).unwrap();
            assert_eq!(
                (found.listed.len(), found.total, count_label_problems(&list, &allowance).unwrap()),
                (listed, total, total)
            );
            assert!(found.listed.is_sorted_by_key(|problem| problem.id));
        }
    }
}
