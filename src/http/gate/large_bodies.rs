//! How many clients send large bodies at the same time.

use std::sync::Arc;

use super::limits::LARGE_BODIES_MAX;

/// The permits for large bodies. Each body in memory has one of them.
#[derive(Debug, Default)]
pub(super) struct Permits(Arc<()>);

/// The permit for one large body; to be kept for as long as the body.
#[derive(Debug)]
pub(super) struct Permit {
    _taken: Arc<()>,
}

impl Permits {
    pub(super) fn take(&self) -> Option<Permit> {
        // Counted after it was taken, so that two threads cannot both take the last one.
        let permit = Permit { _taken: Arc::clone(&self.0) };
        (Arc::strong_count(&self.0) <= 1 + LARGE_BODIES_MAX).then_some(permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_permits_as_large_bodies() {
        let permits = Permits::default();
        let mut taken: Vec<Permit> = (0..LARGE_BODIES_MAX).map(|_| permits.take().unwrap()).collect();
        assert!(permits.take().is_none());
        taken.pop();
        assert!(permits.take().is_some());
    }
}
