//! Free text: which registrations have all words of a question somewhere. Pure.

use crate::registration::{Content, TargetId};

/// The words of a question, in lower case.
#[derive(Debug, Clone, Default)]
pub struct Words(Vec<Word>);

#[derive(Debug, Clone)]
struct Word {
    text: String,
    /// Found in JSON only where it is found in the strings of it, if these have no escapes: it has nothing that JSON
    /// puts around strings or writes otherwise.
    is_plain: bool,
}

impl Words {
    /// The words of a text, between blanks.
    pub fn parse(text: &str) -> Words {
        let words = text.split_whitespace().map(|word| {
            let text = word.to_lowercase();
            let is_plain = text.is_ascii() && !text.contains(['"', '\\']) && text.contains(|c| !",:[]{}".contains(c));
            Word { text, is_plain }
        });
        Words(words.collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each word occurs, in any case, in the id, the targets, the group, a module, or the name or the value of
    /// a label.
    pub fn occur_in(&self, id: TargetId, content: &Content) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let id = id.to_string();
        let modules = content.modules_json().unwrap_or_default();
        let texts = [content.targets_json(), content.labels_json(), content.group_json(), modules];
        let is_plain = |text: &&[u8]| text.is_ascii() && !text.contains(&b'\\');
        if self.0.iter().all(|word| word.is_plain) && texts.iter().all(is_plain) {
            return self.0.iter().all(|Word { text, .. }| {
                id.contains(text) || texts.iter().any(|json| contains_in_any_case(json, text.as_bytes()))
            });
        }
        let strings = strings(content);
        self.0.iter().all(|Word { text, .. }| id.contains(text) || strings.iter().any(|string| string.contains(text)))
    }
}

/// Everything that is searched, in lower case.
fn strings(content: &Content) -> Vec<String> {
    let labels = content.labels();
    let labels = labels.iter().flat_map(|(name, value)| [name.to_lowercase(), value.to_lowercase()]);
    let lists = content.targets().into_iter().chain(content.modules()).map(|text| text.to_lowercase());
    labels.chain(lists).chain([content.group().to_lowercase()]).collect()
}

/// Whether ASCII text has this one in it, which is in lower case.
fn contains_in_any_case(text: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else { return true };
    let is_here = |at: usize| text.get(at + 1..at + part.len()).is_some_and(|here| here.eq_ignore_ascii_case(rest));
    text.iter().enumerate().any(|(at, byte)| byte.to_ascii_lowercase() == *first && is_here(at))
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
        assert!(found(id, r#"{"targets":["a:1"]}"#) && found(&id[..9].to_uppercase(), r#"{"targets":["a:1"]}"#));
        assert!(!found(",", r#"{"targets":["a:1","b:1"],"labels":{"x":"y","z":"w"}}"#), "it is no part of a string");
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
