//! Attacks by what is asked: each question that the API describes, with every parameter at its longest, most repeated and
//! least selective, by many clients at once, some of which leave and some of which do not read. Polls, writes and health
//! go on as if nobody asked.
//!
//! `QUESTIONS_REGISTRATIONS=1000000` asks them of so many registrations
//! (`cargo test --test attacks expensive -- --nocapture` prints the figures).

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use socket2::Socket;

use crate::eventually::{SOON, eventually_some};
use crate::probe::{self, TURNS};
use crate::target::{Resources, SetOnDrop, Settings, Target, Transport, Watched, attack_time, read_all, read_some};

/// So many times as long as the other attacks, so that one slow poll is not one of a hundred.
const LASTS: u32 = 3;

/// How many registrations there are unless it is told otherwise.
const REGISTRATIONS_DEFAULT: usize = 20_000;

/// How many clients ask, and read the answers.
const ASKING: usize = 32;

/// How many ask and leave.
const LEAVING: usize = 8;

/// How many ask and do not read.
const SILENT: usize = 200;

/// How long 99 of 100 polls may take.
const POLL_P99_MAX: Duration = Duration::from_millis(100);

/// How often somebody polls.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What the server may hold beside twice what it holds when nobody asks anything: selections that are remembered in any
/// case, and answers on their way to clients that do not read.
const RESIDENT_KIB_BESIDE: u64 = (32 + 64) * 1024;

/// How many registrations are declared at once: a quarter of all, and no more than may be.
const DECLARED_MAX: usize = 10_000;

/// How many selections are polled while they are declared, of either kind.
const SELECTIONS: usize = 64;

/// The largest group, which is declared.
const LARGE: &str = "large";

/// What is polled: a list that costs nothing but the wait for an answer.
const POLL: &str = "GET /group?name=probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

pub(crate) fn run() {
    let count = std::env::var("QUESTIONS_REGISTRATIONS").map_or(REGISTRATIONS_DEFAULT, |text| {
        text.parse().unwrap_or_else(|_| panic!("QUESTIONS_REGISTRATIONS={text}"))
    });
    let target = Target::start_fresh(Settings::new(Transport::Tcp));
    let large = DECLARED_MAX.min(count / 4);
    fill(&target, count, large);
    let questions = questions(&target);
    println!("{count} registrations, {} questions: {}", questions.len(), worst_times(&target, &questions));
    let quiet = target.resources();
    let attack = |name: &str, attack: &(dyn Fn(&AtomicBool) + Sync)| attack_with(&target, quiet, name, attack);
    attack(&format!("{ASKING} clients ask all that there is to ask"), &|over| ask_all(&target, &questions, over));
    attack(&format!("{ASKING} clients ask for new selections"), &|over| ask_for_selections(&target, over));
    attack(&format!("{LEAVING} clients ask and leave"), &|over| ask_and_leave(&target, &questions, over));
    attack(&format!("{SILENT} clients do not read a large group"), &|over| do_not_read(&target, over));
    attack(&format!("{large} are declared while {} selections are polled", 2 * SELECTIONS), &|over| {
        declare_beside_selections(&target, large, over);
    });
}

/// Registers so many in groups of a thousand, but for a large one.
fn fill(target: &Target, count: usize, large: usize) {
    assert!(read_some(&target.send(probe::PUT)).starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(declare(target, LARGE, large, 0).starts_with("HTTP/1.1 200 OK\r\n"));
    for group in 0..(count - large) / 1000 {
        assert!(declare(target, &format!("group-{group}"), 1000, 0).starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

/// Declares a group, whose answer comes back.
fn declare(target: &Target, group: &str, count: usize, version: usize) -> String {
    String::from_utf8_lossy(&read_all(&target.send(declaration(group, count, version)))).into_owned()
}

fn declaration(group: &str, count: usize, version: usize) -> String {
    let entry = |n: usize| {
        let (env, team) = (["prod", "stage", "dev"][n % 3], n % 17);
        json!({"targets": [format!("{group}-{n}.example.org:9100")],
            "labels": {"env": env, "team": format!("team-{team}"), "version": version.to_string(), "host": format!("{n}")}})
    };
    let body = Value::Array((0..count).map(entry).collect()).to_string();
    let head =
        format!("PUT /api/v1/groups/{group} HTTP/1.1\r\nHost: a\r\nx-api-token: secret\r\nConnection: close\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str, gzip: bool) -> String {
    let accept = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{accept}Connection: close\r\n\r\n")
}

/// All questions that the API describes, each several times, with other values of its parameters.
fn questions(target: &Target) -> Vec<String> {
    let answer = read_all(&target.send(get("/openapi.json", false)));
    let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("there is a body") + 4;
    let document: Value = serde_json::from_slice(&answer[body..]).expect("it is JSON");
    let mut questions = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("there are paths") {
        // What the store is asked for is no question about many.
        if operations.get("get").is_none() || path == "/target" {
            continue;
        }
        let parameters = operations["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let values: Vec<Vec<String>> =
            parameters.iter().filter(|parameter| parameter["in"] == "query").map(worst).collect();
        let path = path.replace("{name}", LARGE).replace("{id}", "7214ebb0-ab3e-513a-bafe-fb6b460c2cfa");
        let path = path.replace("{file}", "app.js");
        if !parameters.iter().any(|parameter| parameter["in"] == "query" && parameter["required"] == true) {
            questions.push(get(&path, true));
        }
        for at in 0..values.iter().map(Vec::len).max().unwrap_or(0) {
            let query: Vec<&str> = values.iter().map(|values| values[at % values.len()].as_str()).collect();
            let query: Vec<&str> = query.into_iter().filter(|text| !text.is_empty()).collect();
            questions.push(get(&format!("{path}?{}", query.join("&")), at % 2 == 0));
        }
    }
    assert!(questions.len() > 20, "{questions:?}");
    questions
}

/// The most expensive values of a parameter, encoded; nothing where it is left out.
fn worst(parameter: &Value) -> Vec<String> {
    let name = parameter["name"].as_str().expect("a parameter has a name");
    let schema = &parameter["schema"];
    let many = |count: u64, one: &dyn Fn(u64) -> String| (0..count).map(one).collect::<Vec<_>>();
    let values: Vec<String> = match (name, schema["type"].as_str()) {
        // Letters that are everywhere; words that are nowhere; what JSON has everywhere.
        ("q", _) => vec![
            "e+o+r+g+0+1+9+.+-+:+x+a+m+p+l+t".to_owned(),
            many(16, &|n| format!("example.org:910{n:x}xx")).join("+")[..255].to_owned(),
            "%22+%2C+%7B+%7D+%5B+%5D+%22%3A%22".to_owned(),
            "example.org%3A9100".to_owned(),
        ],
        ("selector", _) => vec![
            many(32, &|n| format!("!n{n}")).join(","),
            format!("env+notin+({})", many(256, &|n| n.to_string()).join(",")),
            format!("{},host", many(31, &|n| format!("x{n}!%3Dy{n}")).join(",")),
        ],
        ("group", _) => vec![String::new(), many(256, &|n| format!("group=group-{n}")).join("&")],
        ("target_group" | "name", _) => vec![LARGE.to_owned()],
        ("shard", _) => vec!["0".to_owned()],
        ("shards", _) => vec!["1".to_owned(), "1024".to_owned()],
        ("sort", _) => ["targets", "-targets,-target_group,-expires_at", "target_group,targets", "-updated_at", "id"]
            .map(str::to_owned)
            .to_vec(),
        // Almost to the end, and far beyond it.
        ("skip", _) => vec![String::new(), "19000".to_owned(), schema["maximum"].to_string()],
        ("page_token" | "id", _) => vec![String::new()],
        (_, _) if schema["enum"].is_array() => {
            let values = schema["enum"].as_array().into_iter().flatten();
            values.filter_map(|value| Some(value.as_str()?.to_owned())).collect()
        }
        (_, Some("integer")) => vec![schema["maximum"].to_string()],
        (_, Some("boolean")) => vec!["true".to_owned()],
        (_, _) => vec!["e".to_owned()],
    };
    let is_whole = |value: &String| value.is_empty() || name == "group";
    values.into_iter().map(|value| if is_whole(&value) { value } else { format!("{name}={value}") }).collect()
}

/// What each path takes at most when nobody else asks.
fn worst_times(target: &Target, questions: &[String]) -> String {
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for question in questions {
        let begun = Instant::now();
        let answer = read_all(&target.send(question));
        check_answer(&answer, question);
        let path = question.split([' ', '?']).nth(1).unwrap_or_default();
        times.entry(path).or_default().push(begun.elapsed());
    }
    let worst = times.iter().map(|(path, times)| (times.iter().max(), path));
    let worst = worst.filter_map(|(time, path)| Some(format!("{path} {} ms", time?.as_millis())));
    worst.collect::<Vec<_>>().join(", ")
}

/// Runs an attack while somebody polls all the time.
#[track_caller]
fn attack_with(target: &Target, quiet: Resources, name: &str, attack: &(dyn Fn(&AtomicBool) + Sync)) {
    let polls = Mutex::new(Vec::new());
    let Watched { probes, peak, hunger, .. } = target.watch(name, || {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| poll_until(target, &over, &polls));
            let attacking = SetOnDrop(&over);
            attack(&over);
            drop(attacking);
        });
    });
    let mut polls = polls.into_inner();
    polls.sort_unstable();
    let of_hundred =
        |times: &[Duration], share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let (median, p99, worst) =
        (of_hundred(&polls, 50), of_hundred(&polls, 99), polls.last().copied().unwrap_or_default());
    let turn = of_hundred(&probes.turns, 99);
    println!(
        "    {} polls: median {median:?}, 99 of 100 within {p99:?}, worst {worst:?} (turns {turn:?})",
        polls.len()
    );
    probes.check(name);
    target.check_hunger(name, hunger);
    let allowed = POLL_P99_MAX + TURNS * turn;
    assert!(p99 <= allowed, "{name}: 99 of 100 polls took {p99:?}, longer than {allowed:?}");
    let allowed = 2 * quiet.resident_kib + RESIDENT_KIB_BESIDE;
    assert!(peak.resident_kib <= allowed, "{name}: {} KiB, more than {allowed} KiB", peak.resident_kib);
}

fn poll_until(target: &Target, over: &AtomicBool, polls: &Mutex<Vec<Duration>>) {
    while !over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let answer = read_all(&target.send(POLL));
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
        polls.lock().push(begun.elapsed());
        thread::sleep(POLL_INTERVAL.saturating_sub(begun.elapsed()));
    }
}

/// Has so many clients do something again and again; each time it gets another number.
fn again_and_again(clients: usize, over: &AtomicBool, act: impl Fn(usize) + Sync) {
    let turn = AtomicUsize::new(0);
    let end = Instant::now() + LASTS * attack_time();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while Instant::now() < end && !over.load(Ordering::SeqCst) {
                    act(turn.fetch_add(1, Ordering::SeqCst));
                }
            });
        }
    });
}

/// An answer, or a refusal that says when to try again.
#[track_caller]
fn check_answer(answer: &[u8], question: &str) {
    let head = String::from_utf8_lossy(&answer[..answer.len().min(1000)]).into_owned();
    let status = head.get(9..12).unwrap_or_default();
    let is_refusal = status == "503" && head.contains("\r\nRetry-After: ");
    assert!(is_refusal || ["200", "404"].contains(&status), "{head} to {question}");
}

/// The answer to a question that may have to be asked again while others are looked at.
fn answer_in_the_end(target: &Target, question: &str) -> String {
    eventually_some(4 * SOON, || {
        let answer = read_all(&target.send(question));
        check_answer(&answer, question);
        Some(String::from_utf8_lossy(&answer).into_owned()).filter(|answer| answer.starts_with("HTTP/1.1 200 "))
    })
}

fn ask_all(target: &Target, questions: &[String], over: &AtomicBool) {
    again_and_again(ASKING, over, |n| {
        let question = &questions[n * 7 % questions.len()];
        check_answer(&read_all(&target.send(question)), question);
    });
}

fn ask_for_selections(target: &Target, over: &AtomicBool) {
    again_and_again(ASKING, over, |n| {
        let question = get(&selection(n), n % 2 == 0);
        check_answer(&read_all(&target.send(&question)), &question);
    });
}

/// A selection that takes all that a selection may take, and has everything.
fn selection(n: usize) -> String {
    let requirements: Vec<String> = (0..31).map(|m| format!("x{m}!%3D{n}")).collect();
    format!("/sd?selector={},env", requirements.join(","))
}

fn ask_and_leave(target: &Target, questions: &[String], over: &AtomicBool) {
    again_and_again(LEAVING, over, |n| {
        drop(target.send(&questions[n * 7 % questions.len()]));
        // More connections than can be accepted are another attack.
        thread::sleep(Duration::from_millis(20));
    });
}

fn do_not_read(target: &Target, over: &AtomicBool) {
    let question = get(&format!("/api/v1/groups/{LARGE}"), false);
    let silent: Vec<Socket> = (0..SILENT)
        .map(|_| {
            let client = target.connect_with(|socket| socket.set_recv_buffer_size(4096)).expect("it is let in");
            (&client).write_all(question.as_bytes()).expect("it is small");
            client
        })
        .collect();
    let end = Instant::now() + LASTS * attack_time();
    while Instant::now() < end && !over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
    drop(silent);
}

/// As many selections that take much as ordinary ones are polled; what is declared meanwhile is done in time, told so, and
/// in the next poll of each.
fn declare_beside_selections(target: &Target, large: usize, over: &AtomicBool) {
    let worst = (0..SELECTIONS).map(selection);
    let ordinary =
        (0..SELECTIONS).map(|n| format!("/sd?selector=env%3D{},team%3Dteam-{}", ["prod", "dev"][n % 2], n / 2 % 17));
    let selections: Vec<String> = worst.chain(ordinary).map(|path| get(&path, false)).collect();
    let poll = |n: usize| {
        let question = &selections[n % selections.len()];
        check_answer(&read_all(&target.send(question)), question);
    };
    (0..selections.len()).for_each(poll);
    let declared = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !declared.load(Ordering::SeqCst) {
                poll(n);
                n += 1;
            }
        });
        let done = SetOnDrop(&declared);
        for version in 1..=3 {
            let request = declaration(LARGE, large, version);
            let begun = Instant::now();
            let answer = String::from_utf8_lossy(&read_all(&target.send(request))).into_owned();
            println!("    declared in {:?}", begun.elapsed());
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "what was done is told as failed: {answer}");
            let shown = answer_in_the_end(target, &get(&format!("/sd?selector=version%3D{version},host%3D77"), false));
            assert!(shown.contains(&format!("{LARGE}-77.example.org:9100")), "it is shown: {shown:.1000}");
        }
        drop(done);
    });
    assert!(!over.load(Ordering::SeqCst));
}
