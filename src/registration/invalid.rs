//! Why a registration is refused: the kind for counting, and a sentence that names the field and the reason.

use std::fmt;

/// How much of what a client sent is repeated in an error, in characters.
const ECHO_CHARS_MAX: usize = 100;

/// The longest message about JSON that is of the wrong form, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Why a registration is refused; the message names the field and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// What kind of fault it is, for counting.
    pub kind: InvalidKind,
    message: String,
}

/// The kinds of fault a registration can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKind {
    /// No JSON document of the right form.
    Json,
    /// No targets, or an empty one.
    Targets,
    /// A label name that would make Prometheus refuse the whole list.
    LabelName,
    /// Too large when its modules are multiplied out.
    Size,
    /// A label by which Prometheus would drop the target, where that is not wanted.
    Scraping,
    /// Not a lifetime, or one outside of what the operator allows.
    Ttl,
}

impl InvalidKind {
    /// Every kind, for counters that start at zero.
    pub const ALL: [InvalidKind; 6] = [
        InvalidKind::Json,
        InvalidKind::Targets,
        InvalidKind::LabelName,
        InvalidKind::Size,
        InvalidKind::Scraping,
        InvalidKind::Ttl,
    ];

    /// The name of the kind as a label value.
    pub fn as_str(self) -> &'static str {
        match self {
            InvalidKind::Json => "json",
            InvalidKind::Targets => "targets",
            InvalidKind::LabelName => "label_name",
            InvalidKind::Size => "size",
            InvalidKind::Scraping => "scraping",
            InvalidKind::Ttl => "ttl",
        }
    }
}

impl Invalid {
    pub(super) fn new(kind: InvalidKind, message: impl Into<String>) -> Invalid {
        Invalid { kind, message: message.into() }
    }

    /// The same fault, with the name of the member around it.
    pub(super) fn within(self, member: &str) -> Invalid {
        Invalid { kind: self.kind, message: format!("{member}: {}", self.message) }
    }
}

/// The beginning of what a client sent, short enough to be repeated to it.
pub(super) fn echo(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

impl From<serde_json::Error> for Invalid {
    fn from(error: serde_json::Error) -> Invalid {
        let what = if error.is_syntax() || error.is_eof() { "the body is not JSON: " } else { "" };
        // The text repeats what it complains about, which may be as long as the request.
        let text: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
        Invalid::new(InvalidKind::Json, format!("{what}{text}"))
    }
}
