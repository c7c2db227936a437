//! A whole group as it is declared: an array of `{"targets", "labels", "modules"}`. Unlike a single registration it is
//! parsed strictly, and all its faults are found at once.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::DOCUMENT_BYTES_MAX;
use super::checked::{Fields, LabelNames, Registration};
use super::document::Content;
use super::id::TargetId;
use super::json::{self, Pairs, Text};
use super::scraping::ScrapeFault;
use super::ttl::Ttl;

/// The most entries of a group.
pub const ENTRIES_MAX: usize = 10_000;

/// A fault in one place of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyFault {
    /// The place, as a JSON pointer (RFC 6901).
    #[serde(default)]
    pub pointer: String,
    pub detail: String,
}

/// The properties that all registrations of a declared group share.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    pub group: &'a str,
    pub ttl: Ttl,
    /// Which label names may be used.
    pub names: LabelNames,
}

/// Reads the entries of a group.
///
/// # Errors
/// All faults, in the order of the entries.
pub fn parse_declared(body: &[u8], declared: Declared<'_>) -> Result<Vec<Registration>, Vec<BodyFault>> {
    let whole = |detail: String| vec![BodyFault { pointer: String::new(), detail }];
    let text = json::well_formed_text(body).map_err(|e| whole(e.to_string()))?;
    let entries: Vec<&RawValue> =
        serde_json::from_str(&text).map_err(|e| whole(format!("expected an array of targets and labels: {e}")))?;
    if entries.len() > ENTRIES_MAX {
        return Err(whole(format!("{} entries; at most {ENTRIES_MAX} are allowed", entries.len())));
    }
    let mut reader = Reader { faults: Vec::new() };
    let mut seen: HashMap<TargetId, usize> = HashMap::new();
    let mut registrations = Vec::with_capacity(entries.len());
    for (at, entry) in entries.into_iter().enumerate() {
        let Some(registration) = reader.entry(&format!("/{at}"), entry, declared) else { continue };
        if let Some(first) = seen.insert(registration.id(), at) {
            reader.fault(format!("/{at}/targets"), format!("the same targets as in entry {first}"));
        }
        registrations.push(registration);
    }
    if reader.faults.is_empty() { Ok(registrations) } else { Err(reader.faults) }
}

struct Reader {
    faults: Vec<BodyFault>,
}

impl Reader {
    fn fault(&mut self, pointer: String, detail: impl Into<String>) {
        self.faults.push(BodyFault { pointer, detail: detail.into() });
    }

    /// A registration, if nothing is wrong with the entry.
    fn entry(&mut self, pointer: &str, entry: &RawValue, declared: Declared<'_>) -> Option<Registration> {
        let faults = self.faults.len();
        let members = self.members(pointer, entry, "an object with targets and labels")?;
        let group = Some(declared.group.to_owned());
        let mut fields = Fields { group, ttl: Some(Ok(declared.ttl)), ..Fields::default() };
        for (Text(name), value) in members {
            let pointer = format!("{pointer}/{}", escaped(&name));
            match name.as_str() {
                "targets" => fields.targets = self.strings(&pointer, value),
                "labels" => fields.labels = self.labels(&pointer, value, declared.names),
                "modules" => fields.modules = self.strings(&pointer, value).unwrap_or_default(),
                _ => self.fault(pointer, "unknown member; expected targets, labels, modules"),
            }
        }
        let targets = fields.targets.as_deref().unwrap_or_default();
        for at in (0..targets.len()).filter(|at| targets[*at].is_empty()) {
            self.fault(format!("{pointer}/targets/{at}"), "empty or null");
        }
        if targets.is_empty() && self.faults.len() == faults {
            self.fault(format!("{pointer}/targets"), "at least one is needed");
        }
        if self.faults.len() > faults {
            return None;
        }
        let checked = Registration::check(fields, declared.names);
        let registration =
            checked.map_err(|invalid| self.fault(format!("{pointer}/modules"), invalid.to_string())).ok()?;
        for ScrapeFault { label, reason } in registration.scrape_faults() {
            self.fault(format!("{pointer}/labels/{label}"), reason);
        }
        // Six bytes is the longest spelling of a byte: most entries need no closer look.
        let is_large = 6 * (entry.get().len() + declared.group.len()) + 1024 > DOCUMENT_BYTES_MAX;
        let document = || Content::new(&registration).document(TargetId::NIL, SystemTime::UNIX_EPOCH).len();
        if is_large && document() > DOCUMENT_BYTES_MAX {
            self.fault(pointer.to_owned(), format!("larger than {DOCUMENT_BYTES_MAX} bytes"));
        }
        (self.faults.len() == faults).then_some(registration)
    }

    /// The members of an object. A repeated name is a fault.
    fn members<'a>(&mut self, pointer: &str, value: &'a RawValue, expected: &str) -> Option<Vec<(Text, &'a RawValue)>> {
        let Ok(Pairs(members)) = serde_json::from_str::<Pairs<&'a RawValue>>(value.get()) else {
            self.fault(pointer.to_owned(), format!("expected {expected}"));
            return None;
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        members.iter().for_each(|(Text(name), _)| *counts.entry(name).or_default() += 1);
        for (name, _) in counts.iter().filter(|(_, count)| **count > 1) {
            self.fault(format!("{pointer}/{}", escaped(name)), "given more than once");
        }
        Some(members)
    }

    /// A list of strings, or null. Within the list, null is the empty string.
    fn strings(&mut self, pointer: &str, value: &RawValue) -> Option<Vec<String>> {
        let Ok(items) = serde_json::from_str::<Option<Vec<&RawValue>>>(value.get()) else {
            self.fault(pointer.to_owned(), "expected an array of strings");
            return None;
        };
        let read = |(at, item): (usize, &RawValue)| self.string(format!("{pointer}/{at}"), item);
        Some(items?.into_iter().enumerate().map(read).collect())
    }

    fn labels(&mut self, pointer: &str, value: &RawValue, names: LabelNames) -> Option<BTreeMap<String, String>> {
        if value.get() == "null" {
            return None;
        }
        let members = self.members(pointer, value, "an object with string values")?;
        let mut labels = BTreeMap::new();
        for (Text(name), value) in members {
            let pointer = format!("{pointer}/{}", escaped(&name));
            if let Some(fault) = names.fault(&name) {
                self.fault(pointer.clone(), fault);
            }
            let value = self.string(pointer, value);
            labels.insert(name, value);
        }
        Some(labels)
    }

    fn string(&mut self, pointer: String, value: &RawValue) -> String {
        match serde_json::from_str(value.get()) {
            Ok(Text(text)) => text,
            Err(_) => {
                self.fault(pointer, "expected a string");
                // A placeholder that causes no further fault.
                "-".to_owned()
            }
        }
    }
}

/// A name in a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(body: &str) -> Vec<String> {
        let declared = Declared { group: "g", ttl: Ttl::FOREVER, names: LabelNames::Legacy };
        let faults = parse_declared(body.as_bytes(), declared).err().unwrap_or_default();
        faults.into_iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect()
    }

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        let faults = faults(body);
        assert_eq!(faults.len(), expected.len(), "{body}: {faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{body}: {fault} is not {expected}");
        }
    }

    #[test]
    fn all_faults_are_found_with_their_places() {
        check(
            r#"[{"targets":["a:1"]},{"targets":["b:1"],"labels":null,"modules":null},{"targets":["c:1"],"labels":{"x":null}}]"#,
            &[],
        );
        check("[]", &[]);
        check("{}", &[": expected an array"]);
        check("[", &[": expected an array"]);
        check("[5,null,[]]", &["/0: expected an object", "/1: expected an object", "/2: expected an object"]);
        check(r#"[{"targets":["a:1"],"lables":{},"a/b~c":1}]"#, &["/0/lables: unknown", "/0/a~1b~0c: unknown"]);
        check(
            r#"[{},{"targets":null},{"targets":[]}]"#,
            &["/0/targets: at least", "/1/targets: at least", "/2/targets: at least"],
        );
        check(
            r#"[{"targets":["a:1","",5,null],"labels":{"bad-label":"x","ok":5},"modules":[{}]},{"targets":"b:1","labels":[]}]"#,
            &[
                "/0/targets/2: expected a string",
                "/0/labels/bad-label: \"bad-label\" does not match",
                "/0/labels/ok: expected a string",
                "/0/modules/0: expected a string",
                "/0/targets/1: empty",
                "/0/targets/3: empty",
                "/1/targets: expected an array",
                "/1/labels: expected an object",
            ],
        );
        check(
            r#"[{"targets":["a:1"]},{"targets":["b:1"]},{"targets":["a:1"]}]"#,
            &["/2/targets: the same targets as in entry 0"],
        );
        check(
            r#"[{"targets":["a:1"],"labels":{"__scheme__":"ftp","__scrape_timeout__":"10"}},{"targets":["b:1"],"labels":{"__scrape_interval__":"1m"}}]"#,
            &["/0/labels/__scheme__: expected http", "/0/labels/__scrape_timeout__: expected a duration"],
        );
        check(r#"[{"targets":["a:1"],"targets":["b:1"]}]"#, &["/0/targets: given more than once"]);
        let large = |length| format!(r#"[{{"targets":["a:1"],"labels":{{"x":"{}"}}}}]"#, "<".repeat(length));
        check(&large(DOCUMENT_BYTES_MAX / 7), &[]);
        check(&large(DOCUMENT_BYTES_MAX / 6), &["/0: larger than"]);
        let module = "m".repeat(2000);
        let modules = vec![format!("\"{module}\""); 30].join(",");
        let targets = (0..1000).map(|n| format!("\"{n}{module}\"")).take(30).collect::<Vec<_>>().join(",");
        check(
            &format!(r#"[{{"targets":[{targets}],"modules":[{modules}]}}]"#),
            &["/0/modules: modules: with all modules"],
        );
    }
}
