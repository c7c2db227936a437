//! Which label names are let through: one bad name makes Prometheus refuse the whole list.

use super::invalid::echo;

/// Which label names are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelNames {
    /// `[a-zA-Z_][a-zA-Z0-9_]*`: what every Prometheus accepts (`model.LabelName.IsValidLegacy`).
    Legacy,
    /// Any UTF-8 but the empty name: Prometheus 3 only.
    Utf8,
}

impl LabelNames {
    /// Why a name is not let through; `None` when it is.
    pub(super) fn fault(self, name: &str) -> Option<String> {
        let legacy = |name: &str| {
            name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        match self {
            _ if name.is_empty() => Some("a name is empty".to_owned()),
            LabelNames::Legacy if !legacy(name) => Some(format!(
                "{:?} does not match [a-zA-Z_][a-zA-Z0-9_]*, as Prometheus before 3.0 requires; \
                 LABEL_NAMES=utf8 on the server allows it",
                echo(name)
            )),
            LabelNames::Legacy | LabelNames::Utf8 => None,
        }
    }
}
