//! Free text: which registrations have all words of a question somewhere. Pure.

use std::collections::BTreeSet;

use memchr::memchr2_iter;

use crate::registration::{Content, TargetId, json};

/// The most bytes of a question.
pub const QUESTION_BYTES_MAX: usize = 256;

/// The most different words in it.
pub const WORDS_MAX: usize = 16;

/// How many digits of the beginning of an id find it. Fewer would find many ids by chance.
const ID_DIGITS_MIN: usize = 8;

/// The different words of a question, in lower case.
#[derive(Debug, Clone, Default)]
pub struct Words(Vec<Word>);

#[derive(Debug, Clone)]
struct Word {
    text: String,
    may_begin_an_id: bool,
}

impl Words {
    /// The words of a text, between blanks.
    pub fn parse(text: &str) -> Words {
        let words: BTreeSet<String> = text.split_whitespace().map(str::to_lowercase).collect();
        Words(words.into_iter().map(Word::new).collect())
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
        let texts = content.shown();
        let strings: Vec<_> = texts.iter().flat_map(|text| json::strings(text)).map(json::decode_string).collect();
        self.0.iter().all(|word| word.begins(id) || strings.iter().any(|string| word.is_in(string)))
    }
}

impl Word {
    fn new(text: String) -> Word {
        let is_of_id = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
        let may_begin_an_id = text.len() >= ID_DIGITS_MIN && text.bytes().all(is_of_id);
        Word { text, may_begin_an_id }
    }

    fn begins(&self, id: TargetId) -> bool {
        self.may_begin_an_id && id.to_string().starts_with(&self.text)
    }

    fn is_in(&self, text: &str) -> bool {
        match text.is_ascii() {
            true => contains_in_any_case(text.as_bytes(), self.text.as_bytes()),
            false => text.to_lowercase().contains(&self.text),
        }
    }
}

/// Whether ASCII text has this one in it, which is in lower case.
fn contains_in_any_case(text: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else { return true };
    let is_here = |at: usize| text.get(at + 1..at + part.len()).is_some_and(|here| here.eq_ignore_ascii_case(rest));
    memchr2_iter(*first, first.to_ascii_uppercase(), text).any(is_here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::{LabelNames, Registration, TtlBounds};

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
