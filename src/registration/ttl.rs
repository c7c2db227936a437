//! How long a registration lives unless it is renewed, and the bounds that an operator sets.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// A lifetime in whole seconds, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(Option<NonZeroU64>);

impl Ttl {
    /// The longest lifetime in seconds, some 292 years: what the Go program can represent.
    pub const SECONDS_MAX: u64 = 9_223_372_036;

    /// Six hours.
    pub const DEFAULT: Ttl = Ttl(NonZeroU64::new(21_600));

    /// Without end.
    pub const FOREVER: Ttl = Ttl(None);

    /// A lifetime in seconds, cut at [`Ttl::SECONDS_MAX`]; 0 means for ever.
    pub fn from_seconds(seconds: u64) -> Ttl {
        Ttl(NonZeroU64::new(seconds.min(Ttl::SECONDS_MAX)))
    }

    /// Reads a whole number of seconds, at most [`Ttl::SECONDS_MAX`]; 0 means for ever.
    pub fn parse(text: &str) -> Option<Ttl> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = text.parse().ok().filter(|seconds| digits && *seconds <= Ttl::SECONDS_MAX)?;
        Some(Ttl::from_seconds(seconds))
    }

    /// The lifetime in seconds; 0 is for ever.
    pub fn seconds(self) -> u64 {
        self.0.map_or(0, NonZeroU64::get)
    }

    /// The lifetime, or `None` for ever.
    pub fn duration(self) -> Option<Duration> {
        self.0.map(|seconds| Duration::from_secs(seconds.get()))
    }
}

/// The lifetimes that an operator allows, in seconds. Without bounds, all are allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TtlBounds {
    pub min: Option<u64>,
    /// With a maximum, nothing lives for ever.
    pub max: Option<u64>,
}

impl TtlBounds {
    /// Whether a lifetime is within the bounds.
    pub fn allow(self, ttl: Ttl) -> bool {
        let seconds = ttl.duration().map_or(u64::MAX, |_| ttl.seconds());
        self.min.is_none_or(|min| min <= seconds) && self.max.is_none_or(|max| seconds <= max)
    }
}

impl fmt::Display for TtlBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |bound: Option<u64>| bound.map_or_else(|| "not set".to_owned(), |seconds| seconds.to_string());
        write!(f, "TTL_MIN_SECONDS ({}) and TTL_MAX_SECONDS ({})", bound(self.min), bound(self.max))
    }
}
