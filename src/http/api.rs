//! `/api/v1`: what people and programs look at and change beside the paths of the Go program. One file per resource.

pub(super) mod answers;
pub(super) mod changes;
pub(super) mod declared;
pub(super) mod diagnostics;
pub(super) mod groups;
pub(super) mod labels;
mod page_token;
pub(super) mod registrations;
pub(super) mod status;
