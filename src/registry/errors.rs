//! Why the registry could not do what it was asked.

use std::fmt;

use crate::registration::{TargetId, Undecodable};
use crate::store::StoreError;

/// Why a stored registration cannot be read.
#[derive(Debug)]
pub enum GetError {
    /// The store did not answer.
    Store(StoreError),
    /// Another program stored something that is no document.
    Undecodable(Undecodable),
    /// It is in no group that may be seen.
    Forbidden,
}

/// Why something was not written. Nothing of it was, unless the outcome is not known.
#[derive(Debug)]
pub enum WriteError {
    /// The outcome is not known, or what is to be deleted is in no store but kept because of an outage: other servers,
    /// which keep it too, could not learn of it.
    Store(StoreError),
    /// What stands under these ids is not the writer's.
    Forbidden(Vec<TargetId>),
    /// Something else stands there than was seen.
    Changed,
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> WriteError {
        WriteError::Store(error)
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Store(e) => e.fmt(f),
            GetError::Undecodable(e) => write!(f, "the stored value is not a registration: {e}"),
            GetError::Forbidden => write!(f, "it is in no group that may be seen"),
        }
    }
}

impl std::error::Error for GetError {}
