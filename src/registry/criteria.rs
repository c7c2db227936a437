//! Which registrations a list holds, or a question finds. Pure.

use std::collections::BTreeSet;

use memchr::{memchr, memchr2_iter};

use super::label_selector::LabelSelector;
use super::render::Form;
use crate::registration::{Content, TargetId, json};
pub use crate::tokens::{GroupPattern, Scope};

/// The most groups that one question may name.
pub const GROUPS_MAX: usize = 256;

/// All conditions that registrations must meet, and the form in which they are shown. Equal criteria have one list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Criteria {
    /// The groups that may be shown at all.
    pub scope: Scope,
    /// The registrations must be in one of these groups; without any, in any group.
    pub groups: BTreeSet<String>,
    pub labels: LabelSelector,
    /// The part of the registrations that a Prometheus server takes.
    pub shard: Option<Shard>,
    pub form: Form,
}

impl Criteria {
    pub fn of(scope: Scope, form: Form) -> Criteria {
        Criteria { scope, groups: BTreeSet::new(), labels: LabelSelector::default(), shard: None, form }
    }

    /// The group whose list is searched; `None` is the list of everything.
    pub(super) fn source(&self) -> Option<&str> {
        self.groups.first().filter(|_| self.groups.len() == 1).map(String::as_str)
    }

    /// Whether that list as it is meets them.
    pub(super) fn is_all_of_source(&self) -> bool {
        let has_source = match self.source() {
            Some(group) => self.scope.has(group),
            None => self.scope == Scope::All && self.groups.is_empty(),
        };
        has_source && self.labels.is_empty() && self.shard.is_none() && self.form == Form::Plain
    }

    /// Whether they ask for everything in a scope, and nothing else.
    pub(super) fn is_scope(&self) -> bool {
        self.groups.is_empty() && self.labels.is_empty() && self.shard.is_none() && self.form == Form::Plain
    }

    /// The cost of checking a registration against them, in bytes that are read.
    pub(super) fn cost(&self, content: &Content) -> usize {
        content.byte_count() * (1 + self.labels.len())
    }

    /// About how many bytes of memory they take.
    pub(super) fn byte_count(&self) -> usize {
        self.labels.byte_count() + self.groups.iter().map(|group| group.len() + size_of::<String>()).sum::<usize>()
    }

    pub fn meets(&self, id: TargetId, content: &Content) -> bool {
        self.shard.is_none_or(|shard| shard.has(id))
            && self.has_group(content)
            && self.labels.matches(|name| content.label(name))
    }

    fn has_group(&self, content: &Content) -> bool {
        if self.scope == Scope::All && self.groups.is_empty() {
            return true;
        }
        let group = content.group();
        self.scope.has(&group) && (self.groups.is_empty() || self.groups.contains(group.as_ref()))
    }
}

/// One of several equal parts of all registrations, which several Prometheus servers share, by jump consistent hash
/// (Lamping and Veach, 2014).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The most parts there may be.
    pub const COUNT_MAX: u32 = 1024;

    /// The part with this index, counted from 0; `None` when there is none.
    pub fn new(index: u32, count: u32) -> Option<Shard> {
        (index < count && count <= Shard::COUNT_MAX).then_some(Shard { index, count })
    }

    /// Whether the registration belongs to this part. All versions of this program must agree on it.
    pub fn has(self, id: TargetId) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = id.to_bytes();
        jump(u64::from_be_bytes([a, b, c, d, e, f, g, h]), self.count) == self.index
    }
}

/// The bucket of a key. From n to n + 1 buckets, one key in n + 1 moves, and all of these to the new bucket.
fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0, 0_u64);
    while next < u64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // Exact: there are at most 1024 buckets, and the divisor has 31 bits.
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    // It is below `buckets`.
    u32::try_from(bucket).unwrap_or(u32::MAX)
}

/// The longest text that is looked for, in bytes.
pub const QUESTION_BYTES_MAX: usize = 256;

/// The most different words in it.
pub const WORDS_MAX: usize = 16;

/// How many leading digits of an id it takes to find it. Fewer would find many ids by chance.
const ID_DIGITS_MIN: usize = 8;

/// The different words of a text that is looked for, in lower case.
#[derive(Debug, Clone, Default)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// The words of a text, between blanks.
    pub fn parse(text: &str) -> Words {
        Words(text.split_whitespace().map(str::to_lowercase).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether each word occurs, in any case, at the beginning of the id, or in the targets, the group, a module, or the
    /// name or the value of a label.
    pub fn occur_in(&self, id: TargetId, content: &Content) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let is_of_id = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
        let may_begin = |word: &str| word.len() >= ID_DIGITS_MIN && word.bytes().all(is_of_id);
        let begins = |word: &str| may_begin(word) && id.to_string().starts_with(word);
        let texts = content.shown();
        let is_plain = |text: &&[u8]| text.is_ascii() && memchr(b'\\', text).is_none();
        if texts.iter().all(is_plain) {
            // Nearly all are. One of the strings can only have what the text has that they stand in.
            let has = |text: &[u8], word| {
                contains_in_any_case(text, word)
                    && json::strings(text).any(|string| contains_in_any_case(&string[1..string.len() - 1], word))
            };
            return self.0.iter().all(|word| begins(word) || texts.iter().any(|text| has(text, word.as_bytes())));
        }
        let strings = texts.iter().flat_map(|text| json::strings(text));
        let strings: Vec<String> = strings.map(|string| json::decode_string(string).to_lowercase()).collect();
        self.0.iter().all(|word| begins(word) || strings.iter().any(|string| string.contains(word)))
    }
}

/// Whether ASCII text contains `part`, which is in lower case, in any case.
fn contains_in_any_case(text: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else { return true };
    let is_here = |at: usize| text.get(at + 1..at + part.len()).is_some_and(|here| here.eq_ignore_ascii_case(rest));
    memchr2_iter(*first, first.to_ascii_uppercase(), text).any(is_here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{LabelNames, Registration, TtlBounds};

    /// The values that other implementations of the paper have as well.
    #[test]
    fn buckets_are_those_of_other_implementations() {
        for (key, buckets, bucket) in
            [(1, 1, 0), (42, 57, 43), (0xDEAD_10CC, 1, 0), (0xDEAD_10CC, 666, 361), (256, 1024, 520)]
        {
            assert_eq!(jump(key, buckets), bucket, "{key} in {buckets}");
        }
    }

    /// Two versions of this program that disagree here would scrape targets twice, or not at all.
    #[test]
    fn shards_of_known_ids_never_change() {
        let id = |name: &str| TargetId::of(&[name.to_owned()]);
        let index = |name, count| (0..count).find(|index| Shard::new(*index, count).unwrap().has(id(name))).unwrap();
        for (name, two, three, sixteen, most) in VECTOR {
            let found = (index(name, 2), index(name, 3), index(name, 16), index(name, 1024));
            assert_eq!(found, (*two, *three, *sixteen, *most), "{name}");
        }
    }

    const VECTOR: &[(&str, u32, u32, u32, u32)] = &[
        ("a:1", 1, 1, 1, 341),
        ("b:1", 1, 2, 4, 156),
        ("10.0.10.2:9100", 1, 2, 5, 910),
        ("[2001:db8::1]:9100", 1, 2, 7, 25),
        ("https://example.com/x?y=1&z=<2>", 1, 2, 2, 623),
    ];

    #[test]
    fn one_more_shard_takes_its_share_and_moves_nothing_else() {
        let keys = 20_000_u64;
        let spread = |key: u64| key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for count in [1_u32, 2, 3, 7, 100] {
            let moved: Vec<u64> =
                (0..keys).map(spread).filter(|key| jump(*key, count) != jump(*key, count + 1)).collect();
            assert!(moved.iter().all(|key| jump(*key, count + 1) == count), "what moves goes to the new one");
            let share = keys / u64::from(count + 1);
            let range = share * 8 / 10..=share * 12 / 10;
            assert!(range.contains(&(moved.len() as u64)), "{} of {keys} move at {count}", moved.len());
        }
    }

    #[test]
    fn impossible_shards_are_none() {
        assert!(Shard::new(0, 0).is_none() && Shard::new(2, 2).is_none() && Shard::new(0, 1025).is_none());
        assert!(Shard::new(1023, 1024).is_some());
    }

    fn found(question: &str, config: &str) -> bool {
        let body = format!(r#"{{"static_config":{config}}}"#);
        let registration = Registration::parse(body.as_bytes(), LabelNames::Legacy, TtlBounds::default()).unwrap();
        Words::parse(question).occur_in(registration.id(), &Content::new(&registration))
    }

    #[test]
    fn words_are_found_wherever_people_see_them() {
        let plain = r#"{"targets":["Host-1:9100"],"labels":{"Env":"prod","dc":"a,b"},"target_group":"My Group","modules":["if_mib"]}"#;
        for question in
            ["", " ", "host-1", "HOST", "9100", ":9100", "env", "PROD", "a,b", "my group", "group host", "MIB"]
        {
            assert!(found(question, plain), "{question:?}");
        }
        for question in
            ["host-2", "targets", "labels", "module", "host nothing", "\",\"", "{", "[", "\"", "env:prod", "u003c"]
        {
            assert!(!found(question, plain), "{question:?}");
        }
        assert!(found(",", plain) && found(":", plain), "they stand in values");
        let id = "7214ebb0-ab3e-513a-bafe-fb6b460c2cfa";
        for beginning in [id, &id[..8], &id[..9].to_uppercase(), &id[..20]] {
            assert!(found(beginning, r#"{"targets":["a:1"]}"#), "{beginning}");
        }
        for part in [&id[..7], &id[..1], &id[1..], "-ab3e-513a", "7214ebb1"] {
            assert!(!found(part, r#"{"targets":["a:1"]}"#), "{part}");
        }
        assert!(!found(",", r#"{"targets":["a:1","b:1"],"labels":{"x":"y","z":"w"}}"#), "it is no part of a string");
    }

    #[test]
    fn each_word_counts_once() {
        assert_eq!(Words::parse(&"Abc aBC x ".repeat(100)).len(), 2);
    }

    #[test]
    fn words_and_texts_in_other_scripts_match_in_any_case() {
        let other = r#"{"targets":["zürich:1"],"labels":{"a":"<ÄÖ>","k":"\u212a","quote":"\"\\"}}"#;
        for question in ["ZÜRICH", "äö", "<äö>", "zürich äö", "\"", "\\", "k", "<"] {
            assert!(found(question, other), "{question:?}");
        }
        for question in ["u00", "zurich", "003c"] {
            assert!(!found(question, other), "{question:?}");
        }
    }
}
