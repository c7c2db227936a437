//! Which labels there are, and which values: for who types a selector. The most frequent come first.

use std::collections::HashMap;
use std::time::Instant;

use super::allowance::{Allowance, Unanswered, within_answer};
use super::criteria::Criteria;
use super::view::View;

/// How many different names or values are told apart, and how many bytes of them; of more, those met first.
const TEXTS_MAX: usize = 50_000;
const TEXTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which names, or which values of a name.
#[derive(Debug)]
pub struct LabelRequest {
    pub criteria: Criteria,
    /// The name of whose values to tell; `None` for the names.
    pub name: Option<String>,
    /// How the names or values begin, in any case of ASCII.
    pub prefix: String,
    /// How many to tell at most; fewer if they are long.
    pub limit: usize,
}

impl View {
    /// Names or values of labels, each with the number of registrations that have it.
    pub fn labels(
        &self,
        request: &LabelRequest,
        allowance: &Allowance<'_>,
        now: Instant,
    ) -> Result<Vec<(String, usize)>, Unanswered> {
        let LabelRequest { criteria, name, prefix, limit } = request;
        let begins = |text: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut bytes = 0;
        let mut count = |text: &str| {
            if let Some(count) = counts.get_mut(text) {
                *count += 1;
            } else if counts.len() < TEXTS_MAX && bytes + text.len() <= TEXTS_BYTES_MAX {
                bytes += text.len();
                counts.insert(text.to_owned(), 1);
            }
        };
        for source in self.sources(criteria, now)? {
            for (id, content) in source.registrations() {
                allowance.spend(content.byte_count() * (criteria.labels.len() + 2))?;
                if !criteria.meets(id, content) {
                    continue;
                }
                let labels = content.labels();
                let texts = labels.iter().filter_map(|(own, value)| match name {
                    Some(name) => (own == name).then_some(value),
                    None => Some(own),
                });
                texts.filter(|text| begins(text)).for_each(&mut count);
            }
        }
        let mut found: Vec<(String, usize)> = counts.into_iter().collect();
        found.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        Ok(within_answer(found.into_iter().take(*limit), |(text, _)| text.len()).collect())
    }
}
