//! What a registration is: targets, labels, group, modules, lifetime, and the rules that make them fit to be scraped.
//! Parsed means valid. Every module knows this one; it knows no other.

mod checked;
mod declared;
mod document;
mod id;
pub mod json;
mod request;
mod scraping;
mod ttl;

pub use checked::{DEFAULT_GROUP, Invalid, InvalidKind, LabelNames, Registration, SHOWN_BYTES_MAX};
pub use declared::{BodyFault, Declared, ENTRIES_MAX, parse_declared};
pub use document::{Content, Document, read_stored};
pub use id::TargetId;
pub use request::{Strictness, parse_id, parse_id_request, put_faults};
pub use scraping::{ScrapeFault, parse_duration};
pub use ttl::{Ttl, TtlBounds};

/// The labels that show group and id of a registration.
pub const GROUP_LABEL: &str = "__meta_inventor_group";
pub const ID_LABEL: &str = "__meta_inventor_id";

/// The label under which each module of a registration is shown.
pub const MODULE_LABEL: &str = "__meta_inventor_sd_module";

/// The largest stored document, in bytes: a body of 64 KiB, each byte of which Go spells with six, and some room.
/// Stores read no more of a value than this and a byte.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;
