//! The address of the server, looked up once for many requests: otherwise each would start a thread to look it up.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an address is believed; then it may have moved.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// Remembers the last answer of the system.
#[derive(Debug, Default)]
pub(super) struct RememberingResolver {
    system: DefaultResolver,
    last: Mutex<Option<Answer>>,
}

#[derive(Debug)]
struct Answer {
    of: String,
    at: Instant,
    addresses: ResolvedSocketAddrs,
}

impl Resolver for RememberingResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let of = format!("{:?} {:?}", uri.scheme(), uri.authority());
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last.as_ref().filter(|last| last.of == of && last.at.elapsed() < BELIEVED_FOR) {
            return Ok(known.addresses.clone());
        }
        drop(last);
        let addresses = self.system.resolve(uri, config, timeout)?;
        let answer = Answer { of, at: Instant::now(), addresses: addresses.clone() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        Ok(addresses)
    }
}
