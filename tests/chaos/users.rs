//! Those who use the servers: owners who renew, owners who go away, and somebody who polls each server and looks.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use fastrand::Rng;
use inventor::registration::TargetId;
use parking_lot::Mutex;
use serde_json::Value;

use crate::Plan;
use crate::client::Request;
use crate::ending::Ending;
use crate::eventually::{SOON, eventually};
use crate::outages::{Outages, Seen, UNSEEN_MAX};
use crate::several::Several;
use crate::tally::{Tally, Work, Wrong};
use crate::writers::Writer;

/// The lifetime of registrations, apart from those that stay for ever.
pub(crate) const TTL: Duration = Duration::from_secs(8);

/// Registrations that nobody touches and that never expire: missing in a list, they show that it is a wrong one.
const PERMANENT: usize = 200;
const PERMANENT_GROUP: &str = "permanent";

const OWNERS: usize = 24;

const HOUR: Duration = Duration::from_secs(3600);

/// Writers for each server.
const WRITERS: usize = 4;

/// The group of those that do nothing.
const IDLE: &str = "idle";

/// How often somebody registers and goes away.
const GOING_AWAY: Duration = Duration::from_millis(700);

const BETWEEN_POLLS: Duration = Duration::from_millis(10);

/// How much later than it wanted an owner may renew, and still be one who renews in time.
const LATE_MAX: Duration = Duration::from_millis(300);

/// How many of its renewals are told when an owner is dropped.
const TOLD_MAX: usize = 6;

/// No answer takes longer, except from a server that stands still or has to be started first.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Sends a request on a connection of its own. `None` when the server is killed meanwhile.
pub(crate) fn ask(server: SocketAddr, request: &Request) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_MAX).ok()?;
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    stream.write_all(&request.clone().header("Connection", "close").to_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).expect("the answer is text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let field = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok());
    let length: usize = head.lines().find_map(field).expect("the answer says how long it is");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("the answer has a status");
    (body.len() == length).then(|| (status, body.to_owned()))
}

/// Those that do nothing all the while: by their documents they live so long that they have less than half of their
/// lifetime left, so that every outage moves their deadlines.
pub(crate) fn idle(plan: &Plan) -> Several {
    let left = plan.time + Duration::from_secs(120);
    Several { group: IDLE, count: plan.idle, left, lifetime: Some(4 * left) }
}

/// The default lifetime at the servers: what never expires is put back with half of it where somebody may have deleted it
/// unseen.
pub(crate) fn default_lifetime(plan: &Plan) -> Duration {
    8 * plan.time + HOUR
}

/// Registers what never expires.
pub(crate) fn register_permanent(server: SocketAddr) {
    for n in 0..PERMANENT {
        let (status, _) = ask(server, &put(&format!("permanent-{n}"), PERMANENT_GROUP, 0)).expect("it is up");
        assert_eq!(status, 200);
    }
}

/// Registers a target with this name, and a revision that shows in the list.
pub(crate) fn put(name: &str, group: &str, revision: u64) -> Request {
    let lifetime = match group {
        PERMANENT_GROUP => 0,
        _ => TTL.as_secs(),
    };
    let body = format!(
        r#"{{"static_config":{{"targets":["{name}:9100"],"labels":{{"revision":"{revision}"}},"target_group":"{group}","ttl_seconds":{lifetime}}}}}"#
    );
    Request::new("PUT", "/target").token().body(body)
}

pub(crate) fn target_id(name: &str) -> TargetId {
    TargetId::of(&[format!("{name}:9100")])
}

/// What is in a list: revisions by names.
pub(crate) type Shown = BTreeMap<String, u64>;

pub(crate) fn shown(list: &str) -> Option<Shown> {
    serde_json::from_str::<Value>(list).ok()?.as_array()?.iter().map(revision).collect()
}

/// Name and revision of an entry of a list, or of a document in the store.
pub(crate) fn revision(entry: &Value) -> Option<(String, u64)> {
    let name = entry["targets"][0].as_str()?.strip_suffix(":9100")?.to_owned();
    Some((name, entry["labels"]["revision"].as_str()?.parse().ok()?))
}

/// Everybody, on one or more servers.
pub(crate) struct Users {
    servers: Vec<SocketAddr>,
    /// Whether the store keeps what it confirmed; otherwise the servers put back what they know, which may be older.
    pub(crate) is_durable: bool,
    pub(crate) seed: u64,
    pub(crate) tally: Tally,
    pub(crate) outages: Outages,
    /// How many do nothing.
    idle: usize,
    owners: Vec<Mutex<Owner>>,
    gone: Mutex<Vec<Gone>>,
    is_quiet: AtomicBool,
    busy: AtomicUsize,
    ended: AtomicBool,
}

/// Somebody who renews.
#[derive(Debug, Default)]
struct Owner {
    late: Option<Instant>,
    /// The last renewals and their answers.
    renewals: VecDeque<String>,
}

/// Somebody who has registered and will not come back.
struct Gone {
    name: String,
    deadline: Instant,
    /// The outages before.
    before: Seen,
}

impl Users {
    /// Nobody does anything yet.
    pub(crate) fn new(servers: Vec<SocketAddr>, is_durable: bool, plan: &Plan) -> Users {
        Users {
            servers,
            is_durable,
            seed: plan.seed,
            tally: Tally::new(),
            outages: Outages::new(),
            idle: plan.idle,
            owners: (0..OWNERS).map(|_| Mutex::default()).collect(),
            gone: Mutex::default(),
            is_quiet: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Has everybody do what they do, until [`Users::ending`] is dropped.
    #[track_caller]
    pub(crate) fn spawn<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        for n in 0..OWNERS {
            let registered = ask(self.server(n), &put(&owner(n), "live", 0));
            assert!(registered.is_some_and(|(status, _)| status == 200), "nothing is wrong yet");
            scope.spawn(move || self.renew(n));
        }
        for server in &self.servers {
            let lists_all =
                |list: &str| shown(list).is_some_and(|shown| (0..OWNERS).all(|n| shown.contains_key(&owner(n))));
            eventually(SOON, || self.list(*server).is_some_and(|(_, list)| lists_all(&list)));
            scope.spawn(|| self.poll(*server));
        }
        for n in 0..WRITERS * self.servers.len() {
            scope.spawn(move || Writer::new(self, self.server(n), n).write_on());
        }
        scope.spawn(|| self.go_away());
        scope.spawn(|| self.watch());
    }

    /// Ends everybody's work, also when a test fails.
    pub(crate) fn ending(&self) -> Ending<'_> {
        Ending(&self.ended)
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    /// Whether there is one server only.
    pub(crate) fn is_alone(&self) -> bool {
        self.servers.len() == 1
    }

    fn server(&self, n: usize) -> SocketAddr {
        self.servers[n % self.servers.len()]
    }

    /// The list of a server, without those that do nothing if there are any: to read all of them takes too long.
    pub(crate) fn list(&self, server: SocketAddr) -> Option<(u16, String)> {
        if self.idle == 0 {
            return ask(server, &Request::new("GET", "/discover"));
        }
        let writers = (0..WRITERS * self.servers.len()).map(|n| format!("writer{n}"));
        let mut entries = Vec::new();
        for group in [PERMANENT_GROUP, "live", "gone", "shared"].map(str::to_owned).into_iter().chain(writers) {
            let (status, list) = ask(server, &Request::new("GET", &format!("/group?name={group}")))?;
            match list.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) if status == 200 => entries.extend(Some(list.to_owned()).filter(|list| !list.is_empty())),
                _ => return Some((status, list)),
            }
        }
        Some((200, format!("[{}]", entries.join(","))))
    }

    /// All who do nothing are there, however often their deadlines were moved.
    #[track_caller]
    pub(crate) fn check_idle(&self) {
        for server in self.servers.iter().filter(|_| self.idle > 0) {
            let (status, groups) =
                ask(*server, &Request::new("GET", "/api/v1/groups").token()).expect("the server is up");
            assert_eq!(status, 200, "{groups}");
            let groups: Value = serde_json::from_str(&groups).expect("it is JSON");
            let idle = groups["groups"].as_array().expect("a list").iter().find(|group| group["name"] == IDLE);
            let count = idle.and_then(|group| group["registrations"].as_u64());
            if count != Some(self.idle as u64) {
                self.tally.note(Wrong::AcknowledgedLost, format!("{count:?} of {} that do nothing", self.idle));
            }
        }
    }

    /// Does one piece of work unless it is quiet.
    pub(crate) fn work(&self, piece: impl FnOnce()) {
        self.busy.fetch_add(1, Ordering::SeqCst);
        if !self.is_quiet.load(Ordering::SeqCst) {
            piece();
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(5));
    }

    /// Does something while nobody writes anything new; renewals go on.
    #[track_caller]
    pub(crate) fn quietly(&self, piece: impl FnOnce()) {
        self.is_quiet.store(true, Ordering::SeqCst);
        eventually(3 * SOON, || self.busy.load(Ordering::SeqCst) == 0);
        piece();
        self.is_quiet.store(false, Ordering::SeqCst);
    }

    /// Renews at least twice per lifetime, at once when a connection breaks.
    fn renew(&self, n: usize) {
        let mut dice = Rng::with_seed(self.seed ^ (1000 + n as u64));
        let interval = Duration::from_millis(dice.u64(2000..3600));
        let mut next = Instant::now() + interval;
        while self.goes_on() {
            thread::sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
            if Instant::now() < next {
                continue;
            }
            if next.elapsed() > LATE_MAX {
                self.owners[n].lock().late = Some(Instant::now());
                self.tally.count(Work::Late);
            }
            let (begun, at) = (Instant::now(), self.tally.at());
            let ask = || ask(self.server(n), &put(&owner(n), "live", 0)).map(|(status, _)| status);
            let answer = (0..).map(|_| ask()).find(|answer| answer.is_some() || !self.goes_on()).flatten();
            let mut owner = self.owners[n].lock();
            owner.renewals.push_back(format!("from {at} to {}: {answer:?}", self.tally.at()));
            let superfluous = owner.renewals.len().saturating_sub(TOLD_MAX);
            owner.renewals.drain(..superfluous);
            drop(owner);
            next = (begun + interval).max(Instant::now());
        }
    }

    /// Registers things that nobody will renew.
    fn go_away(&self) {
        for n in 0.. {
            if !self.goes_on() {
                return;
            }
            let (name, before) = (format!("gone-{n}"), self.outages.seen());
            if let Some((200, _)) = ask(self.server(n), &put(&name, "gone", 0)) {
                self.gone.lock().push(Gone { name, deadline: Instant::now() + TTL, before });
            }
            thread::sleep(GOING_AWAY);
        }
    }

    /// Notes when servers are ready.
    fn watch(&self) {
        let ready = Request::new("GET", "/-/ready");
        while self.goes_on() {
            let is_ready =
                self.servers.iter().all(|server| ask(*server, &ready).is_some_and(|(status, _)| status == 200));
            self.outages.note(is_ready);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whatever happens, a list is there, with everything in it that must be, and nothing that must not.
    fn poll(&self, server: SocketAddr) {
        let mut missing = [false; OWNERS];
        while self.goes_on() {
            let asked = Instant::now();
            match self.list(server) {
                Some((200, list)) => match shown(&list) {
                    Some(shown) => self.look(asked, &shown, &mut missing),
                    None => self.tally.note(Wrong::List, format!("no list: {list:.200}")),
                },
                // It has just been started, and Prometheus keeps what it had.
                Some((503, body)) if body.contains("not loaded yet") => {}
                Some((status, body)) => self.tally.note(Wrong::List, format!("a poll is answered by {status}, {body}")),
                // It was killed; the next one hears of this.
                None => {}
            }
            thread::sleep(BETWEEN_POLLS);
        }
    }

    fn look(&self, asked: Instant, shown: &Shown, missing: &mut [bool; OWNERS]) {
        self.tally.count(Work::Poll);
        let permanent = shown.keys().filter(|name| name.starts_with("permanent")).count();
        if permanent != PERMANENT {
            self.tally.note(Wrong::List, format!("{permanent} of {PERMANENT} that nobody touches"));
        }
        for (n, was_missing) in missing.iter_mut().enumerate() {
            let is_missing = !shown.contains_key(&owner(n));
            let state = self.owners[n].lock();
            let is_excused = state.late.is_some_and(|late| late.elapsed() < 2 * TTL);
            if is_missing && !*was_missing && !is_excused {
                self.tally.note(Wrong::LiveOwnerDropped, format!("{} after {:?}", owner(n), state.renewals));
            }
            *was_missing = is_missing;
        }
        self.bury(asked, shown);
    }

    /// Forgets those who are gone from the list, as each of them has to be in time.
    fn bury(&self, asked: Instant, shown: &Shown) {
        let seen = self.outages.seen();
        self.gone.lock().retain(|gone| {
            let added = seen.sum - gone.before.sum + UNSEEN_MAX * (1 + seen.count - gone.before.count);
            let latest = (gone.deadline + added).min(gone.deadline.max(seen.ended + TTL / 2) + UNSEEN_MAX);
            let stays = shown.contains_key(&gone.name);
            let is_late = stays && !seen.is_on && latest < asked;
            if is_late {
                let late = asked - gone.deadline;
                self.tally.note(Wrong::DeadStayed, format!("{} for {late:?} after its deadline, {seen:?}", gone.name));
            }
            !is_late && (stays || asked < gone.deadline)
        });
    }
}

fn owner(n: usize) -> String {
    format!("owner-{n}")
}
