//! Lists of target groups as Prometheus reads them, from URLs and from files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::client::output;

/// A target group. Prometheus refuses whatever else stands in one.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TargetGroup {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// All targets of a list.
///
/// # Errors
/// When it is no list, or not all of one.
pub(super) fn targets(list: &[u8]) -> Result<BTreeSet<String>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(list);
    let targets = reader.deserialize_seq(Targets)?;
    reader.end()?;
    Ok(targets)
}

/// Reads one group after the other, so that no more is kept of a long list than what is asked for.
struct Targets;

impl<'de> Visitor<'de> for Targets {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of target groups")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut groups: A) -> Result<BTreeSet<String>, A::Error> {
        let mut targets = BTreeSet::new();
        while let Some(group) = groups.next_element::<TargetGroup>()? {
            targets.extend(group.targets);
        }
        Ok(targets)
    }
}

/// The list in YAML.
///
/// # Errors
/// When it is no list.
pub(super) fn yaml(list: &[u8]) -> Result<Vec<u8>, String> {
    let groups: Vec<TargetGroup> = serde_json::from_slice(list).map_err(|e| e.to_string())?;
    Ok(output::yaml(&groups).map_err(|e| e.to_string())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_list_of_target_groups_is_one() {
        let known = |list: &str| targets(list.as_bytes()).ok().map(|targets| targets.into_iter().collect::<Vec<_>>());
        assert_eq!(known("[]\n"), Some(vec![]));
        let two = r#"[{"targets":["b:1","a:1"],"labels":{"x":"y"}},{"targets":["a:1"]}]"#;
        assert_eq!(known(two), Some(vec!["a:1".to_owned(), "b:1".to_owned()]));
        for wrong in [
            "",
            "{}",
            "null",
            r#"[{"targets":["a:1"]}"#,
            r#"[{"targets":["a:1"]}] []"#,
            r#"[{"targets":"a:1"}]"#,
            r#"[{"targets":[1]}]"#,
            r#"[{"targets":[],"labels":{"x":1}}]"#,
            r#"[{"targets":[],"source":"x"}]"#,
            "<html>",
        ] {
            assert_eq!(known(wrong), None, "{wrong}");
        }
    }
}
