//! Two servers on one Redis that is killed, stopped, paused and made to refuse writes, beside a program that writes raw
//! commands. At every quiet point both servers show what Redis holds.

use std::collections::{BTreeSet, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use inventor::store::{HELD_MAX, WAIT_MAX};

use crate::Plan;
use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::server::{Server, Setup};
use crate::tally::Wrong;
use crate::users::{Shown, TTL, Users, ask, default_lifetime, idle, register_permanent, revision, shown, target_id};

/// Faults between two quiet points.
const ROUND: usize = 6;

/// Registrations that everybody writes by raw commands.
const SHARED: u64 = 300;

/// For how long a list may differ from Redis in the same thing at a quiet point. What expires in Redis is held here while
/// there is trouble, and a busy machine is trouble enough; it goes when Redis is next seen to take a write after that,
/// which is an outage if it takes longer than this. And the test itself needs time for each look.
const AGREEMENT_MAX: Duration = HELD_MAX.saturating_add(WAIT_MAX).saturating_add(Duration::from_secs(3));

/// How many outages may come in between at a quiet point.
const OUTAGES_MAX: u32 = 3;

/// How many differences are told.
const TOLD_MAX: usize = 10;

pub(crate) struct Ground {
    redis: RedisServer,
    servers: [Server; 2],
    is_durable: bool,
    /// The keys of those that do nothing.
    idle: HashSet<String>,
}

/// What happens to Redis.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It closes the connections on which servers hear of changes.
    Trackers,
    /// It closes all connections.
    Clients,
    Still,
    /// It makes everybody wait for a moment.
    Pause,
    WritesWait,
    Full,
    Restart,
}

impl Fault {
    fn roll(dice: &mut Rng) -> Fault {
        match dice.u64(..12) {
            0..=1 => Fault::Trackers,
            2 => Fault::Clients,
            3..=4 => Fault::Still,
            5 => Fault::Pause,
            6 => Fault::WritesWait,
            7 => Fault::Full,
            _ => Fault::Restart,
        }
    }
}

impl Ground {
    /// Starts a Redis with these arguments, and whether it keeps what it confirmed.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str], is_durable: bool, plan: &Plan) -> Ground {
        let redis = RedisServer::start_with(arguments);
        idle(plan).write_to_redis(&redis);
        // Another program's key, which it always has: with one that comes and goes, nobody could say what was lost.
        redis.command::<i64>(&["RPUSH", "a-list", "1"]);
        let setup = Setup::new()
            .env("REDIS_URL", &redis.url())
            .env("RUST_LOG", "warn,inventor::serve=info,inventor::registry=info")
            .env("TTL_SECONDS", &default_lifetime(plan).as_secs().to_string());
        let start = || {
            let server = setup.start();
            is_ready(&server);
            server
        };
        let servers = [start(), start()];
        register_permanent(servers[0].address());
        Ground { servers, redis, is_durable, idle: idle(plan).keys() }
    }

    #[track_caller]
    pub(crate) fn run(mut self, plan: &Plan) {
        let users = Users::new(self.servers.iter().map(Server::address).collect(), self.is_durable, plan);
        let (url, end) = (self.redis.url(), Instant::now() + plan.time);
        thread::scope(|scope| {
            let _ending = users.ending();
            users.spawn(scope);
            scope.spawn(|| write_raw(&users, &url));
            let mut dice = Rng::with_seed(users.seed);
            while Instant::now() < end {
                for _ in 0..ROUND {
                    thread::sleep(Duration::from_millis(dice.u64(300..1800)));
                    users.outages.during(|| self.fault(&users, &mut dice));
                }
                users.quietly(|| self.compare(&users));
            }
        });
        let name = if self.is_durable { "a Redis that keeps its data" } else { "a Redis that forgets" };
        users.tally.conclude(name, plan.seed, plan.time.as_secs());
    }

    fn fault(&mut self, users: &Users, dice: &mut Rng) {
        // Most are short; some are longer than anything lives.
        let time = match dice.u64(..8) {
            0 => TTL + Duration::from_millis(dice.u64(500..2000)),
            1 => Duration::from_millis(dice.u64(3500..5000)),
            _ => Duration::from_millis(dice.u64(50..1500)),
        };
        let fault = Fault::roll(dice);
        users.tally.fault(&format!("{fault:?} for {time:?}"));
        let redis = &self.redis;
        let command = |words: &[&str]| drop(redis.command::<redis::Value>(words));
        match fault {
            Fault::Trackers => kill_clients(redis, |line| line.contains("flags=t")),
            Fault::Clients => kill_clients(redis, |line| !line.contains("cmd=client")),
            Fault::Still => {
                redis.freeze();
                thread::sleep(time);
                redis.thaw();
            }
            Fault::Pause => command(&["CLIENT", "PAUSE", "200"]),
            Fault::WritesWait => {
                command(&["CLIENT", "PAUSE", &time.as_millis().to_string(), "WRITE"]);
                thread::sleep(time);
            }
            Fault::Full => {
                command(&["CONFIG", "SET", "maxmemory", "1"]);
                thread::sleep(time);
                command(&["CONFIG", "SET", "maxmemory", "0"]);
            }
            Fault::Restart => {
                // Without a file it has nothing afterwards, with one everything but the last moment.
                let dump = redis.socket().with_file_name("dump.rdb");
                if dice.bool() && !self.is_durable {
                    command(&["SAVE"]);
                }
                self.redis.kill();
                thread::sleep(time);
                self.redis.run();
                let _ = std::fs::remove_file(dump);
            }
        }
    }

    /// Compares both servers with Redis: where they differ, they must not do so for long.
    #[track_caller]
    fn compare(&self, users: &Users) {
        self.servers.iter().for_each(is_ready);
        let list = |server: &Server| shown(&users.list(server.address()).expect("it is up").1).expect("a list");
        users.check_idle();
        let first = users.outages.seen().count;
        let (mut lasting, mut outages) = (None::<BTreeSet<String>>, first);
        let mut deadline = Instant::now() + AGREEMENT_MAX;
        loop {
            let stored = || stored(&self.redis, &self.idle);
            // Owners who go away register all the while, and what others have registered expires.
            let (before, lists, after) = (stored(), self.servers.each_ref().map(list), stored());
            let now = differences(&[before, after], &lists);
            // What expires later than something else is also held for longer, so that each has its own time.
            lasting = Some(lasting.map_or_else(|| now.clone(), |lasting| &lasting & &now));
            let Some(lasting) = lasting.as_ref().filter(|lasting| !lasting.is_empty()) else { return };
            let count = users.outages.seen().count;
            if count != outages && count - first <= OUTAGES_MAX {
                // It takes a busy machine to make one now. Nothing expires meanwhile.
                self.servers.iter().for_each(is_ready);
                (outages, deadline) = (count, Instant::now() + AGREEMENT_MAX);
            }
            if Instant::now() > deadline {
                let told: Vec<_> = lasting.iter().take(TOLD_MAX).map(String::as_str).collect();
                return users.tally.note(Wrong::Difference, told.join("\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Many deadlines take their time when every round of them is synced, on a busy machine.
#[track_caller]
fn is_ready(server: &Server) {
    eventually(3 * SOON, || {
        ask(server.address(), &Request::new("GET", "/-/ready")).is_some_and(|(status, _)| status == 200)
    });
}

/// Does what other programs may do, with everything that can be done to a key.
fn write_raw(users: &Users, url: &str) {
    let mut dice = Rng::with_seed(users.seed ^ 99);
    let mut connection = None;
    while users.goes_on() {
        users.work(|| {
            let open = || redis::Client::open(url)?.get_connection_with_timeout(Duration::from_secs(1));
            if connection.is_none() {
                connection = open().ok();
            }
            let Some(open) = &mut connection else { return thread::sleep(Duration::from_millis(20)) };
            let _ = open.set_read_timeout(Some(Duration::from_secs(1)));
            if raw(&mut dice).query::<redis::Value>(open).is_err_and(|error| error.is_io_error()) {
                connection = None;
            }
        });
    }
}

/// What is in Redis, but for those that do nothing: revisions by names.
#[track_caller]
fn stored(redis: &RedisServer, idle: &HashSet<String>) -> Shown {
    let mut connection = redis.connect();
    let keys: Vec<String> = command(&mut connection, &["KEYS", "????????-*"]);
    let keys = keys.iter().filter(|key| !idle.contains(*key));
    let values = keys.filter_map(|key| redis::cmd("GET").arg(key).query::<Option<String>>(&mut connection).ok()?);
    values.map(|value| revision(&serde_json::from_str(&value).expect("JSON")).expect("a document")).collect()
}

/// What lists show that was not in Redis either before or after them.
fn differences(stored: &[Shown; 2], lists: &[Shown; 2]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (n, list) in lists.iter().enumerate() {
        let names: BTreeSet<&String> = stored.iter().chain([list]).flat_map(Shown::keys).collect();
        for name in names {
            let (shown, [before, after]) = (list.get(name), stored.each_ref().map(|stored| stored.get(name)));
            if ![before, after].contains(&shown) {
                lines.insert(format!("{name}: Redis has {before:?} and then {after:?}, server {n} shows {shown:?}"));
            }
        }
    }
    lines
}

/// One of the things that can be done to the shared registrations, or beside them.
fn raw(dice: &mut Rng) -> redis::Cmd {
    let [one, other] = [dice.u64(..SHARED), dice.u64(..SHARED)].map(|n| format!("shared-{n}"));
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
