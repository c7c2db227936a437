//! Whether a session has tried everything that it may have to write one day: a right that is missing is better known at
//! once than in the hour of need.

use super::round::{Probe, Rights};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    Due,
    /// Tried, and tried again until it passes.
    Begun,
    /// Passed, but for rights that only some writes need: these are refused, and it is tried again.
    Lacking,
    Passed,
}

impl Trial {
    /// What is to be tried now. Not everything can be while values are watched.
    pub(super) fn next(&mut self, is_watching: bool) -> Probe {
        if *self == Trial::Due {
            *self = Trial::Begun;
        }
        if *self == Trial::Passed || is_watching { Probe::Put } else { Probe::Everything }
    }

    /// Takes note of a round in which this was found out about rights, if everything was tried.
    pub(super) fn note(&mut self, rights: Option<&Rights>, lacks_right: bool, is_refused: bool) {
        *self = match (rights, *self) {
            (Some(_), _) if is_refused => Trial::Begun,
            (Some(rights), _) if rights.missing().is_some() => Trial::Lacking,
            (Some(_), _) => Trial::Passed,
            (None, Trial::Passed) if lacks_right => Trial::Lacking,
            (None, unchanged) => unchanged,
        };
    }

    /// Whether a write that Redis takes shows that it takes what registrations need.
    pub(super) fn is_passed(self) -> bool {
        matches!(self, Trial::Passed | Trial::Lacking)
    }
}
