//! A registration as the client holds it: what a file says of it, and the body that is sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::registration::{DEFAULT_GROUP, Registration, TargetId, json};

/// What is to be registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) targets: Vec<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// `None` is the group that the server gives to those that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target_group: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) modules: Vec<String>,
    /// 0 is for ever, and `None` is what the server decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl_seconds: Option<u64>,
}

/// The body of a PUT.
#[derive(Serialize)]
pub(super) struct Put<'a> {
    pub(super) static_config: &'a Entry,
}

impl Entry {
    /// The members of an entry of a list. A body of `PUT /target` may have others, which the server ignores.
    pub(super) const MEMBERS: [&str; 5] = ["targets", "labels", "modules", "target_group", "ttl_seconds"];

    pub(super) fn id(&self) -> TargetId {
        TargetId::of(&self.targets)
    }

    /// The group in which it will be found.
    pub(super) fn group(&self) -> &str {
        self.target_group.as_deref().unwrap_or(DEFAULT_GROUP)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        json::encode(&Put { static_config: self })
    }

    /// The same with this group and this lifetime where it names none.
    pub(super) fn or(mut self, group: Option<&str>, ttl_seconds: Option<u64>) -> Entry {
        self.target_group = self.target_group.or_else(|| group.map(str::to_owned));
        self.ttl_seconds = self.ttl_seconds.or(ttl_seconds);
        self
    }

    /// The same without the group that the server gives to those that name none, so that another can be given before.
    pub(super) fn without_default_group(mut self) -> Entry {
        self.target_group = self.target_group.filter(|group| group != DEFAULT_GROUP);
        self
    }

    /// Whether both would be shown alike, whatever their lifetimes.
    pub(super) fn shows_like(&self, other: &Entry) -> bool {
        self.targets == other.targets
            && self.labels == other.labels
            && self.modules == other.modules
            && self.group() == other.group()
    }
}

impl From<&Registration> for Entry {
    fn from(registration: &Registration) -> Entry {
        let entry = Entry {
            targets: registration.targets().to_vec(),
            labels: registration.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            target_group: Some(registration.group().to_owned()),
            modules: registration.modules().to_vec(),
            ttl_seconds: registration.ttl().map(|ttl| ttl.seconds()),
        };
        entry.without_default_group()
    }
}
