//! Who polls lists: seen within the hour, with what it asks for and whether it still does.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::metrics::client;
use super::request::Request;

/// The most pollers that are remembered.
const POLLERS_MAX: usize = 1000;

/// How long a poller is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// A poller is late when it has missed so many of its polls.
const INTERVALS_MISSED: u32 = 3;

/// The most of a user agent or a path that is remembered, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// Somebody who polls a list.
#[derive(Debug, Clone)]
pub(super) struct Poller {
    /// What it can be recognised as.
    pub(super) client: &'static str,
    pub(super) user_agent: String,
    /// Without the port, which changes with every connection.
    pub(super) address: String,
    /// The path with the query.
    pub(super) path: String,
    /// How often it says that it polls.
    pub(super) interval: Option<Duration>,
    pub(super) last_status: u16,
    pub(super) first_seen: SystemTime,
    pub(super) last_seen: SystemTime,
    pub(super) polls: u64,
}

impl Poller {
    fn is_late(&self, now: SystemTime) -> bool {
        let silence = now.duration_since(self.last_seen).unwrap_or_default();
        self.interval.is_some_and(|interval| silence > interval.saturating_mul(INTERVALS_MISSED))
    }

    fn is_remembered(&self, now: SystemTime) -> bool {
        now.duration_since(self.last_seen).unwrap_or_default() < REMEMBERED_FOR
    }
}

/// Address, user agent and path.
type Key = (String, String, String);

/// Everybody who polls lists.
#[derive(Debug, Default)]
pub(super) struct Pollers(Mutex<HashMap<Key, Poller>>);

impl Pollers {
    /// Remembers a poll.
    pub(super) fn saw(&self, request: &Request, status: u16, now: SystemTime) {
        let user_agent = shortened(&String::from_utf8_lossy(request.header("user-agent").unwrap_or_default()));
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let path = shortened(&format!("{}{query}", request.path));
        let address = request.address().to_owned();
        let mut pollers = self.0.lock();
        let key = (address, user_agent, path);
        if pollers.len() >= POLLERS_MAX && !pollers.contains_key(&key) {
            make_room(&mut pollers, now);
        }
        let (address, user_agent, path) = key.clone();
        let poller = pollers.entry(key).or_insert_with(|| Poller {
            client: client(request),
            user_agent,
            address,
            path,
            interval: None,
            last_status: status,
            first_seen: now,
            last_seen: now,
            polls: 0,
        });
        (poller.interval, poller.last_status, poller.last_seen) = (interval(request), status, now);
        poller.polls += 1;
    }

    /// Who polled within the hour, and whether it is late; in the order of addresses and paths.
    pub(super) fn seen(&self, now: SystemTime) -> Vec<(bool, Poller)> {
        let mut pollers = self.0.lock();
        pollers.retain(|_, poller| poller.is_remembered(now));
        let mut seen: Vec<(bool, Poller)> =
            pollers.values().map(|poller| (poller.is_late(now), poller.clone())).collect();
        drop(pollers);
        seen.sort_by(|(_, a), (_, b)| (&a.address, &a.path, &a.user_agent).cmp(&(&b.address, &b.path, &b.user_agent)));
        seen
    }
}

/// Whoever polled only once goes first, then whoever was not seen for longest.
fn make_room(pollers: &mut HashMap<Key, Poller>, now: SystemTime) {
    pollers.retain(|_, poller| poller.is_remembered(now));
    let order = |(_, poller): &(&Key, &Poller)| (poller.polls > 1, poller.last_seen);
    let first = pollers.iter().min_by_key(order).map(|(key, _)| key.clone());
    if let Some(first) = first.filter(|_| pollers.len() >= POLLERS_MAX) {
        pollers.remove(&first);
    }
}

fn interval(request: &Request) -> Option<Duration> {
    let text = std::str::from_utf8(request.header("x-prometheus-refresh-interval-seconds")?).ok()?;
    let seconds: f64 = text.parse().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn shortened(text: &str) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}
