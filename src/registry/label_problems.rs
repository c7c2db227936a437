//! Labels by which Prometheus drops a target, of all registrations that somebody may see. Each segment of a list is looked
//! through once per change, and what is found there is a few bytes; so asking again costs what has changed.

use std::time::Instant;

use super::allowance::{Allowance, Unanswered, within_answer};
use super::criteria::Scope;
use super::list::{Listed, Snapshot};
use super::view::View;
use crate::registration::TargetId;

/// The most problems that are listed, fewer if the names of their groups are long.
const LISTED_MAX: usize = 1000;

/// How much of a value is shown, in characters.
const VALUE_CHARS_MAX: usize = 100;

/// Labels by which registrations are not scraped as their owners think.
#[derive(Debug)]
pub struct LabelProblems {
    /// Up to a thousand of them, by id.
    pub listed: Vec<LabelProblem>,
    pub total: usize,
}

#[derive(Debug)]
pub struct LabelProblem {
    pub id: TargetId,
    pub group: String,
    pub label: &'static str,
    /// Its beginning.
    pub value: String,
    pub reason: &'static str,
}

/// How many there are.
pub(super) fn count(list: &Snapshot, allowance: &Allowance<'_>) -> Result<usize, Unanswered> {
    list.segments().iter().map(|segment| Ok(segment.faulty(allowance)?.faults)).sum()
}

impl View {
    /// Labels by which Prometheus drops targets.
    pub fn label_problems(
        &self,
        scope: &Scope,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<LabelProblems, Unanswered> {
        of(&*self.visible(scope, allowance, now)?, allowance)
    }
}

fn of(list: &Snapshot, allowance: &Allowance<'_>) -> Result<LabelProblems, Unanswered> {
    let (mut listed, mut total) = (Vec::new(), 0);
    for segment in list.segments() {
        let faulty = segment.faulty(allowance)?;
        total += faulty.faults;
        for found in segment.entries_at(faulty).take(LISTED_MAX.saturating_sub(listed.len())) {
            allowance.spend(found.content.byte_count())?;
            listed.extend(described(found));
        }
    }
    let listed = listed.into_iter().take(LISTED_MAX);
    let listed = within_answer(listed, |problem: &LabelProblem| problem.group.len() + problem.value.len());
    Ok(LabelProblems { listed: listed.collect(), total })
}

fn described(Listed { id, content }: &Listed) -> impl Iterator<Item = LabelProblem> {
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
            let found = of(&list, &allowance).unwrap();
            assert_eq!((found.listed.len(), found.total, count(&list, &allowance).unwrap()), (listed, total, total));
            assert!(found.listed.is_sorted_by_key(|problem| problem.id));
        }
    }
}
