//! The members that requests and stored documents say of a registration, as they were written: not yet checked.

use std::collections::BTreeMap;

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::{self, Object, Text, TextList, TextMap};
use super::ttl::Ttl;

/// What was written. `None` is absent or null, which a stored document tells from empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) targets: Option<Vec<String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) group: Option<String>,
    /// Empty is the same as absent, as in the Go program.
    pub(super) modules: Vec<String>,
    /// A value that is no lifetime is kept as it was written: a request is refused for it, a document is not.
    pub(super) ttl: Option<Result<Ttl, String>>,
}

impl Object for Fields {
    const NAME: &'static str = "an object with targets, labels, target_group and modules";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "targets" => self.targets = map.next_value::<Option<TextList>>()?.map(|targets| targets.0),
            "labels" => self.labels = map.next_value::<Option<TextMap>>()?.map(|labels| labels.0),
            "target_group" => self.group = map.next_value::<Option<Text>>()?.map(|group| group.0),
            "modules" => {
                self.modules = map.next_value::<Option<TextList>>()?.map(|modules| modules.0).unwrap_or_default()
            }
            "ttl_seconds" => {
                let written: Option<Box<RawValue>> = map.next_value()?;
                self.ttl = written.map(|raw| Ttl::parse(raw.get()).ok_or_else(|| raw.get().to_owned()));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        json::object(deserializer)
    }
}
