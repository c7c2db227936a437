//! What a store waits for after trouble before it lets anything run out: renewals that are still on their way here, and
//! news of owners that other servers have refused.

use std::time::{Duration, Instant};

/// For how long at most trouble after trouble keeps registrations past their end.
const HELD_MAX: Duration = Duration::from_secs(5);

/// When there was trouble last, and how long it takes until everything about it is known.
#[derive(Debug)]
pub struct Calm {
    troubled_at: Instant,
    wait: Duration,
}

impl Calm {
    /// Trouble has just begun; calm comes `wait` after the last of it.
    pub fn after(now: Instant, wait: Duration) -> Calm {
        Calm { troubled_at: now, wait }
    }

    /// There was trouble until now: nobody could write, or not everybody.
    pub fn trouble(&mut self, now: Instant) {
        self.troubled_at = now;
    }

    /// What ran out until then has run out for good, if the store took a write `at` this time.
    pub fn final_until(&self, at: Instant) -> Instant {
        if self.troubled_at + self.wait <= at { at } else { at.checked_sub(HELD_MAX).unwrap_or(at) }
    }

    /// When a registration with this deadline runs out for good, unless there is more trouble.
    pub fn ends(&self, deadline: Instant) -> Instant {
        deadline.max((self.troubled_at + self.wait).min(deadline + HELD_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_out_in_trouble_is_gone_when_it_is_calm_again() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut calm = Calm::after(start, second);
        assert_eq!(calm.ends(start), start + second);
        assert!(calm.final_until(start + second / 2) < start);
        assert_eq!(calm.final_until(start + second), start + second);
        (0..100).for_each(|n| calm.trouble(start + second * n));
        assert_eq!(calm.ends(start), start + HELD_MAX, "trouble without an end keeps nothing for ever");
    }
}
