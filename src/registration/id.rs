//! The id of a registration: UUIDv5 of its target list, equal to the Go program's to the byte.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::json;

/// Identifies a registration by its target list alone: the same addresses in the same order are the same registration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(Uuid);

impl TargetId {
    /// The id that the Go program wrote for a document without one.
    pub const NIL: TargetId = TargetId(Uuid::nil());

    /// The last id in order.
    pub const MAX: TargetId = TargetId(Uuid::max());

    /// The first of all ids.
    pub const MIN: TargetId = TargetId(Uuid::nil());

    /// The id of a target list: UUIDv5 (RFC 9562) in the DNS namespace over its canonical JSON.
    pub fn of(targets: &[String]) -> TargetId {
        TargetId(Uuid::new_v5(&Uuid::NAMESPACE_DNS, &json::encode(&targets)))
    }

    /// Reads an id as clients spell it: dashed or plain, in braces or as a URN, in any case.
    /// `None` for anything else.
    pub fn parse(text: &str) -> Option<TargetId> {
        // Only the prefix `urn:uuid:` is case-sensitive to the uuid crate.
        Uuid::try_parse(&text.to_ascii_lowercase()).ok().map(TargetId)
    }

    /// Reads a store's key: the canonical spelling, lower case with dashes, and nothing else.
    pub fn from_key(key: &[u8]) -> Option<TargetId> {
        let text = std::str::from_utf8(key).ok()?;
        let id = TargetId::parse(text)?;
        (id.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(id)
    }

    /// The 16 bytes of the id; their order is the order of the ids.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The id with these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> TargetId {
        TargetId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl Serialize for TargetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
