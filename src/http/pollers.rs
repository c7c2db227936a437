//! The pollers of lists: seen within the hour, with the lists they ask for and whether they are late.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::request::Request;

/// The most pollers that are remembered, in total and for one client: a Prometheus server polls some dozen lists.
const POLLERS_MAX: usize = 1000;
const POLLERS_PER_CLIENT_MAX: usize = 250;

const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// A poller is late when it has missed this many of its polls.
const INTERVALS_MISSED: u32 = 3;

/// A poller's stated interval is believed once it has polled this often, for this many intervals, and on average about
/// as often as it says: one request with a header is not a poller that could be late.
const POLLS_BELIEVED: u64 = 3;
const INTERVALS_BELIEVED: u32 = 2;

const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How much of a user agent or a path is remembered, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// The clients that can be recognised by their requests. The OpenTelemetry collector and Alloy poll with the library of
/// Prometheus, and so count as `prometheus`.
pub(super) const CLIENTS: [&str; 3] = ["prometheus", "vmagent", "other"];

/// Identifies a poller. Pollers are shown in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    /// Without the port, which changes with every connection.
    pub(super) address: String,
    /// The path with the query.
    pub(super) path: String,
    pub(super) user_agent: String,
}

impl Identity {
    /// The client of the poller: an address, or for IPv6 its network, in which a client can take any address.
    fn client(&self) -> Result<u128, &str> {
        self.address.parse().map(|address: Ipv6Addr| address.to_bits() >> 64).map_err(|_| self.address.as_str())
    }
}

#[derive(Debug, Clone)]
pub(super) struct Poller {
    /// One of [`CLIENTS`].
    pub(super) client: &'static str,
    /// The interval that it states.
    pub(super) interval: Option<Duration>,
    pub(super) last_status: u16,
    pub(super) first_seen: SystemTime,
    pub(super) last_seen: SystemTime,
    pub(super) polls: u64,
}

impl Poller {
    fn is_late(&self, now: SystemTime) -> bool {
        let silence = now.duration_since(self.last_seen).unwrap_or_default();
        self.proven_interval().is_some_and(|interval| silence > interval.saturating_mul(INTERVALS_MISSED))
    }

    /// Its interval, if its polls have confirmed it.
    fn proven_interval(&self) -> Option<Duration> {
        let interval = self.interval?.max(INTERVAL_MIN);
        let polled_for = self.polled_for();
        let polls = u32::try_from(self.polls).unwrap_or(u32::MAX);
        let is_proven = self.polls >= POLLS_BELIEVED
            && polled_for >= interval.saturating_mul(INTERVALS_BELIEVED)
            && polled_for <= interval.saturating_mul(polls.saturating_mul(2));
        is_proven.then_some(interval)
    }

    /// How long it has been polling: the longer, the likelier it goes on.
    fn polled_for(&self) -> Duration {
        self.last_seen.duration_since(self.first_seen).unwrap_or_default()
    }

    fn is_remembered(&self, now: SystemTime) -> bool {
        now.duration_since(self.last_seen).unwrap_or_default() < REMEMBERED_FOR
    }
}

#[derive(Debug, Default)]
pub(super) struct Pollers(Mutex<HashMap<Identity, Poller>>);

impl Pollers {
    pub(super) fn saw(&self, request: &Request, status: u16, now: SystemTime) {
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let identity = Identity {
            address: request.address().to_owned(),
            path: shortened(&format!("{}{query}", request.path)),
            user_agent: shortened(&String::from_utf8_lossy(request.header("user-agent").unwrap_or_default())),
        };
        let interval = interval(request);
        let mut pollers = self.0.lock();
        if let Some(poller) = pollers.get_mut(&identity) {
            (poller.interval, poller.last_status, poller.last_seen) = (interval, status, now);
            poller.polls += 1;
            return;
        }
        let client = client(request);
        let poller = Poller { client, interval, last_status: status, first_seen: now, last_seen: now, polls: 1 };
        pollers.insert(identity.clone(), poller);
        make_room(&mut pollers, &identity, now);
    }

    /// The pollers of the last hour, and whether each is late, in the order of addresses and paths.
    pub(super) fn seen(&self, now: SystemTime) -> Vec<(Identity, Poller, bool)> {
        let mut pollers = self.0.lock();
        pollers.retain(|_, poller| poller.is_remembered(now));
        let seen = pollers.iter().map(|(identity, poller)| (identity.clone(), poller.clone(), poller.is_late(now)));
        let mut seen: Vec<_> = seen.collect();
        drop(pollers);
        seen.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        seen
    }
}

/// A client with more than its share makes room itself; if the total is too large, the client with the most pollers
/// does. It loses the poller that has been polling for the shortest time, and among equals the one not seen for
/// longest: invented names do not push out a poller that goes on for hours.
fn make_room(pollers: &mut HashMap<Identity, Poller>, newcomer: &Identity, now: SystemTime) {
    if pollers.len() > POLLERS_MAX {
        pollers.retain(|_, poller| poller.is_remembered(now));
    }
    let mut counts: HashMap<_, usize> = HashMap::new();
    pollers.keys().for_each(|identity| *counts.entry(identity.client()).or_default() += 1);
    let is_over = counts.get(&newcomer.client()).is_some_and(|count| *count > POLLERS_PER_CLIENT_MAX);
    let most = || counts.iter().max_by_key(|(_, count)| **count).map(|(client, _)| *client);
    let who = match () {
        () if is_over => Some(newcomer.client()),
        () if pollers.len() > POLLERS_MAX => most(),
        () => None,
    };
    let Some(who) = who else { return };
    let of_client = pollers.iter().filter(|(identity, _)| identity.client() == who);
    let first = of_client.min_by_key(|(_, poller)| (poller.polled_for(), poller.last_seen));
    if let Some(first) = first.map(|(key, _)| key.clone()) {
        pollers.remove(&first);
    }
}

/// Recognises a client. vmagent has sent the name of its HTTP library since 1.80, and is distinguished by the field
/// that it sends with every poll.
pub(super) fn client(request: &Request) -> &'static str {
    let agent = request.header("user-agent").unwrap_or_default().to_ascii_lowercase();
    let starts = |start: &str| agent.starts_with(start.as_bytes());
    let [prometheus, vmagent, other] = CLIENTS;
    let says_its_interval = request.header("x-prometheus-refresh-interval-seconds").is_some();
    match () {
        () if starts("prometheus/") => prometheus,
        () if starts("vm_promscrape") || (starts("go-http-client/") && says_its_interval) => vmagent,
        () => other,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(pollers: &Pollers, client: &str, path: &str, interval: &str, at: SystemTime) {
        let headers = [("user-agent", "Prometheus/3.0.0"), ("x-prometheus-refresh-interval-seconds", interval)];
        let request = Request {
            client: client.to_owned(),
            path: path.to_owned(),
            headers: headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect(),
            ..Request::default()
        };
        pollers.saw(&request, 200, at);
    }

    fn late(pollers: &Pollers, at: SystemTime) -> Vec<String> {
        pollers.seen(at).into_iter().filter(|(.., is_late)| *is_late).map(|(identity, ..)| identity.path).collect()
    }

    #[test]
    fn who_has_never_polled_as_it_says_is_never_late() {
        let (pollers, start) = (Pollers::default(), SystemTime::now());
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        poll(&pollers, "10.0.0.1:5", "/once", "1", start);
        for n in 0..10 {
            poll(&pollers, "10.0.0.1:5", "/at-once", "30", after(0.01 * f64::from(n)));
            poll(&pollers, "10.0.0.1:5", "/tiny", "0.000001", after(0.01 * f64::from(n)));
            poll(&pollers, "10.0.0.1:5", "/rarely", "5", after(60.0 * f64::from(n)));
            poll(&pollers, "10.0.0.1:5", "/real", "60", after(60.0 * f64::from(n)));
        }
        // A page and a lookup in between do not make it another poller.
        poll(&pollers, "10.0.0.1:5", "/real", "60", after(541.0));
        assert_eq!(late(&pollers, after(541.0 + 181.0)), ["/real"]);
        assert!(late(&pollers, after(541.0 + 179.0)).is_empty());
    }

    #[test]
    fn made_up_pollers_push_out_nobody_and_fill_no_table() {
        let (pollers, start) = (Pollers::default(), SystemTime::now());
        let real = |minute: u64| {
            for number in 0..40 {
                let at = start + Duration::from_secs(60 * minute);
                poll(&pollers, &format!("10.1.0.{number}:99"), "/sd?group=real", "60", at);
            }
        };
        let has_all = |at| {
            let seen = pollers.seen(at);
            seen.iter().filter(|(identity, ..)| identity.path == "/sd?group=real").count() == 40
        };
        real(0);
        for minute in 1..10 {
            let at = start + Duration::from_secs(60 * minute);
            // One client of IPv4, and one of IPv6 with as many addresses as it likes; each name comes twice.
            for n in 0..1000 {
                let n = n / 2;
                poll(&pollers, "192.0.2.1:7", &format!("/discover?{minute}-{n}"), "1", at);
                poll(&pollers, &format!("[2001:db8::{n:x}]:7"), "/discover", "1", at);
            }
            real(minute);
            assert!(has_all(at), "minute {minute}");
            let seen = pollers.seen(at);
            assert!(seen.len() <= 2 * POLLERS_PER_CLIENT_MAX + 40, "{}", seen.len());
        }
        // Even twenty such clients together push out only each other.
        let at = start + Duration::from_secs(600);
        for n in 0..8000 {
            poll(&pollers, &format!("192.0.2.{}:7", n % 20), &format!("/discover?{n}"), "1", at);
        }
        assert!(has_all(at) && pollers.seen(at).len() <= POLLERS_MAX);
        // Somebody new finds a place.
        poll(&pollers, "10.2.0.1:7", "/new", "60", at);
        assert!(pollers.seen(at).iter().any(|(identity, ..)| identity.path == "/new"));
    }
}
