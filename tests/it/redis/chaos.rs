//! Chaos: two servers, eight writers over HTTP, writers by raw commands, and every fault at random. Polls never show a
//! wrong list, nothing that was confirmed is lost while Redis keeps its data, and at every quiet point both servers
//! show what Redis holds. `CHAOS_SECONDS` says for how long; a failure names the seed of its dice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use inventor::registration::TargetId;
use parking_lot::Mutex;
use serde_json::Value;

use super::Ending;
use crate::client::{Connection, Request, Response};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::server::{Server, Setup};

const SECONDS_DEFAULT: u64 = 60;

/// Work between two quiet points.
const ROUND: Duration = Duration::from_secs(6);

/// Registrations that nobody touches: missing in a list, they show that it is a wrong one.
const PERMANENT: usize = 200;

/// Writers on each server, each with registrations of its own.
const WRITERS: usize = 4;
const OWN: usize = 20;

/// Registrations that everybody writes by raw commands.
const SHARED: usize = 300;

#[test]
fn nothing_is_wrong_and_nothing_is_lost_while_redis_keeps_its_data() {
    Chaos::start(&["--appendonly", "yes", "--appendfsync", "always"], true).run();
}

#[test]
fn what_nobody_touches_stays_although_redis_forgets_everything() {
    Chaos::start(&[], false).run();
}

struct Chaos {
    redis: Mutex<RedisServer>,
    socket: String,
    servers: [Server; 2],
    /// Whether Redis keeps what it confirmed; otherwise the servers put back what they know, which may be older.
    durable: bool,
    seed: u64,
    paused: AtomicBool,
    busy: AtomicUsize,
    ended: AtomicBool,
    confirmed: AtomicUsize,
    refused: AtomicUsize,
    polls: AtomicUsize,
}

impl Chaos {
    #[track_caller]
    fn start(arguments: &[&str], durable: bool) -> Chaos {
        let redis = RedisServer::start_with(arguments);
        // Whatever runs out during an outage is to go at once, or else the lists hold more than Redis.
        let setup = Setup::new().env("REDIS_URL", &redis.url()).env("OUTAGE_KEEP_SECONDS", "0");
        let servers = [setup.start(), setup.start()];
        for server in &servers {
            eventually(SOON, || server.get("/-/ready").status == 200);
        }
        for n in 0..PERMANENT {
            servers[n % 2].register(registration(&format!("permanent{n}"), "permanent", 0));
        }
        eventually(SOON, || servers.iter().all(|server| server.discover().len() == PERMANENT));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Chaos {
            socket: redis.url(),
            redis: Mutex::new(redis),
            servers,
            durable,
            seed: now.as_nanos() as u64,
            paused: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            confirmed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
        }
    }

    #[track_caller]
    fn run(self) {
        let seconds = std::env::var("CHAOS_SECONDS").map_or(SECONDS_DEFAULT, |text| text.parse().expect("seconds"));
        let end = Instant::now() + Duration::from_secs(seconds);
        eprintln!("the seed is {}", self.seed);
        thread::scope(|scope| {
            let _ending = Ending(&self.ended);
            for server in &self.servers {
                scope.spawn(|| self.poll(server));
            }
            for number in 0..2 * WRITERS {
                let chaos = &self;
                scope.spawn(move || chaos.write(number));
            }
            scope.spawn(|| self.write_raw());
            let mut dice = Rng::with_seed(self.seed);
            while Instant::now() < end {
                let quiet = Instant::now() + ROUND;
                while Instant::now() < quiet {
                    thread::sleep(Duration::from_millis(dice.u64(300..1800)));
                    self.fault(&mut dice);
                }
                self.compare();
            }
        });
        let [confirmed, refused, polls] =
            [&self.confirmed, &self.refused, &self.polls].map(|n| n.load(Ordering::Relaxed));
        eprintln!("{confirmed} writes confirmed, {refused} refused, {polls} polls");
        let least = usize::try_from(seconds).unwrap() * 5;
        assert!(confirmed > least && polls > least, "there was work: {confirmed} writes, {polls} polls");
    }

    /// Does one piece of work unless it is quiet.
    fn work(&self, piece: impl FnOnce()) {
        self.busy.fetch_add(1, Ordering::SeqCst);
        if !self.paused.load(Ordering::SeqCst) {
            piece();
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
        if self.paused.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    /// Whatever happens, a list is there, and what nobody touches is in it.
    fn poll(&self, server: &Server) {
        let mut connection = server.connect();
        while self.goes_on() {
            let response = connection.send(&Request::new("GET", "/group?name=permanent"));
            response.has_status(200, "a poll");
            assert_eq!(shown(&response).len(), PERMANENT, "seed {}: a wrong list", self.seed);
            self.polls.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes registrations that nobody else writes, and looks at them after each write.
    fn write(&self, number: usize) {
        let mut dice = Rng::with_seed(self.seed ^ (number as u64 + 1));
        let mut writer = Writer::new(&self.servers[number % 2], number);
        while self.goes_on() {
            self.work(|| {
                if writer.write(&mut dice) {
                    self.confirmed.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                if self.durable {
                    writer.look(self.seed);
                }
            });
        }
    }

    /// Does what other programs may do, with everything that can be done to a key.
    fn write_raw(&self) {
        let mut dice = Rng::with_seed(self.seed ^ 99);
        let mut connection = None;
        while self.goes_on() {
            self.work(|| {
                let open =
                    || redis::Client::open(self.socket.as_str())?.get_connection_with_timeout(Duration::from_secs(1));
                if connection.is_none() {
                    connection = open().ok();
                }
                let Some(open) = &mut connection else { return thread::sleep(Duration::from_millis(20)) };
                let _ = open.set_read_timeout(Some(Duration::from_secs(1)));
                if raw(&mut dice).query::<redis::Value>(open).is_err_and(|error| error.is_io_error()) {
                    connection = None;
                }
                thread::sleep(Duration::from_millis(dice.u64(0..3)));
            });
        }
    }

    fn fault(&self, dice: &mut Rng) {
        let mut redis = self.redis.lock();
        match dice.u64(..10) {
            0..=2 => kill_clients(&redis, |line| line.contains("flags=t")),
            3 => kill_clients(&redis, |line| !line.contains("cmd=client")),
            4..=5 => freeze(&redis, Duration::from_millis(dice.u64(50..1000))),
            6 => freeze(&redis, Duration::from_millis(dice.u64(3500..5000))),
            7..=8 => {
                redis.kill();
                thread::sleep(Duration::from_millis(dice.u64(0..1500)));
                redis.run();
            }
            _ => drop(redis.command::<redis::Value>(&["CLIENT", "PAUSE", "200"])),
        }
    }

    /// Has all work rest, and compares both servers with Redis.
    #[track_caller]
    fn compare(&self) {
        self.paused.store(true, Ordering::SeqCst);
        eventually(SOON, || self.busy.load(Ordering::SeqCst) == 0);
        let redis = self.redis.lock();
        for server in &self.servers {
            eventually(SOON, || server.get("/-/ready").status == 200);
        }
        let lists = || self.servers.each_ref().map(|server| shown(&server.get("/discover")));
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let stored = stored(&redis);
            let lists = lists();
            if lists.iter().all(|list| *list == stored) {
                break;
            }
            assert!(Instant::now() < deadline, "seed {}: {}", self.seed, difference(&stored, &lists));
            thread::sleep(Duration::from_millis(50));
        }
        self.paused.store(false, Ordering::SeqCst);
    }
}

/// One client of the API, with registrations that are its own.
struct Writer<'a> {
    server: &'a Server,
    connection: Connection,
    group: String,
    /// What is known of each registration: its revision, or that there is none; not here when a write went wrong.
    known: BTreeMap<usize, Option<u64>>,
    revision: u64,
}

impl Writer<'_> {
    fn new(server: &Server, number: usize) -> Writer<'_> {
        let known = (0..OWN).map(|n| (n, None)).collect();
        Writer { server, connection: server.connect(), group: format!("writer{number}"), known, revision: 0 }
    }

    fn name(&self, n: usize) -> String {
        format!("{}-{n}", self.group)
    }

    /// Registers or deletes one of its own; whether that was confirmed.
    fn write(&mut self, dice: &mut Rng) -> bool {
        let n = dice.u64(..OWN as u64) as usize;
        self.known.remove(&n);
        self.revision += 1;
        let (method, body, now) = if dice.u64(..6) == 0 {
            ("DELETE", format!(r#"{{"id":"{}"}}"#, target_id(&self.name(n))), None)
        } else {
            ("PUT", registration(&self.name(n), &self.group, self.revision), Some(self.revision))
        };
        let asked = Instant::now();
        let response = self.connection.send(&Request::new(method, "/target").token().body(body));
        assert!(asked.elapsed() < Duration::from_secs(4), "{method} took {:?}", asked.elapsed());
        match (method, response.status) {
            (_, 200) | ("DELETE", 404) => drop(self.known.insert(n, now)),
            (_, status) => {
                assert_eq!(status, 503, "{method}: {}", response.text());
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.known.contains_key(&n)
    }

    /// Everything that was confirmed is shown, and nothing that was deleted.
    fn look(&mut self, seed: u64) {
        let response = self.connection.send(&Request::new("GET", &format!("/group?name={}", self.group)));
        response.has_status(200, "a look");
        let shown = shown(&response);
        for (n, revision) in &self.known {
            let is = shown.get(&format!("{}:9100", self.name(*n)));
            let address = self.server.address();
            assert_eq!(is, revision.as_ref(), "seed {seed}: {} at {address}", self.name(*n));
        }
    }
}

fn registration(name: &str, group: &str, revision: u64) -> String {
    format!(
        r#"{{"static_config":{{"targets":["{name}:9100"],"labels":{{"revision":"{revision}"}},"target_group":"{group}"}}}}"#
    )
}

fn target_id(name: &str) -> TargetId {
    TargetId::of(&[format!("{name}:9100")])
}

/// The revisions in a list by their addresses.
#[track_caller]
fn shown(response: &Response) -> BTreeMap<String, u64> {
    let list = response.json();
    list.as_array().expect("a list").iter().map(revision).collect()
}

fn revision(entry: &Value) -> (String, u64) {
    let address = entry["targets"][0].as_str().expect("an address").to_owned();
    (address, entry["labels"]["revision"].as_str().and_then(|text| text.parse().ok()).expect("a revision"))
}

/// The revisions in Redis by their addresses.
#[track_caller]
fn stored(redis: &RedisServer) -> BTreeMap<String, u64> {
    let mut connection = redis.connect();
    let keys: Vec<String> = command(&mut connection, &["KEYS", "????????-*"]);
    let values =
        keys.iter().filter_map(|key| redis::cmd("GET").arg(key).query::<Option<String>>(&mut connection).ok()?);
    values.map(|value| revision(&serde_json::from_str(&value).expect("a document"))).collect()
}

fn difference(stored: &BTreeMap<String, u64>, lists: &[BTreeMap<String, u64>; 2]) -> String {
    let mut lines = Vec::new();
    for (n, list) in lists.iter().enumerate() {
        let addresses = stored.keys().chain(list.keys()).filter(|address| stored.get(*address) != list.get(*address));
        lines.extend(addresses.map(|address| {
            format!("{address}: Redis has {:?}, server {n} shows {:?}", stored.get(address), list.get(address))
        }));
    }
    lines.truncate(10);
    lines.join("\n")
}

/// One of the things that can be done to the shared registrations, or beside them.
fn raw(dice: &mut Rng) -> redis::Cmd {
    let [one, other] = [dice.u64(..SHARED as u64), dice.u64(..SHARED as u64)].map(|n| format!("shared{n}"));
    let document = |name: &str, dice: &mut Rng| {
        let revision = dice.u64(..1 << 40);
        format!(r#"{{"targets":["{name}:9100"],"labels":{{"revision":"{revision}"}},"target_group":"shared"}}"#)
    };
    let value = document(&one, dice);
    let key = target_id(&one).to_string();
    let mut command = redis::Cmd::new();
    match dice.u64(..100) {
        0..=49 => command.arg("SET").arg(key).arg(value).arg("PX").arg(200 + dice.u64(..40_000)),
        50..=59 => command.arg("SET").arg(key).arg(value),
        60..=69 => command.arg("DEL").arg(key),
        70..=77 => command.arg("PEXPIRE").arg(key).arg(100 + dice.u64(..30_000)),
        78..=81 => command.arg("PERSIST").arg(key),
        82..=85 => {
            let second = document(&other, dice);
            command.arg("MSET").arg(key).arg(value).arg(target_id(&other).to_string()).arg(second)
        }
        86..=89 => command.arg("GETEX").arg(key).arg("PX").arg(5000),
        90..=92 => command.arg("RPUSH").arg("a-list").arg(1),
        93..=95 => {
            let script = "redis.call('SET', KEYS[1], ARGV[1], 'PX', 9000) redis.call('DEL', KEYS[2])";
            command.arg("EVAL").arg(script).arg(2).arg(key).arg(target_id(&other).to_string()).arg(value)
        }
        96..=97 => {
            // Empties another database, whereupon Redis has everybody forget everything.
            let script = "redis.call('SELECT', 1) redis.call('SET', 'x', 1) redis.call('FLUSHDB')";
            command.arg("EVAL").arg(script).arg(0)
        }
        _ => command.arg("SET").arg(key).arg(value).arg("KEEPTTL"),
    };
    command
}

/// Kills the connections whose lines in the list of clients are like this.
fn kill_clients(redis: &RedisServer, is: impl Fn(&str) -> bool) {
    let mut connection = redis.connect();
    let clients: String = command(&mut connection, &["CLIENT", "LIST"]);
    for line in clients.lines().filter(|line| is(line)) {
        let id = line.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).expect("a line begins with the id");
        // It may be gone by itself.
        let _ = redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).query::<redis::Value>(&mut connection);
    }
}

fn freeze(redis: &RedisServer, time: Duration) {
    redis.freeze();
    thread::sleep(time);
    redis.thaw();
}
