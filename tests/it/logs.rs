//! What the server says to its operator: one line per event, an audit line per write, and never a token.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};

const BODY: &str = r#"{"static_config":{"targets":["a:1","b:1"],"target_group":"g"}}"#;
const ID: &str = "ea9cdeed-4a13-5f04-99db-4487b775ede0";

#[track_caller]
fn check(server: &mut Server, words: &[&str]) {
    server.process().line_with(words);
}

#[test]
fn each_write_leaves_an_audit_line() {
    let mut server = Server::start(&[]);
    let client = "client=127.0.0.1:";
    server.register(BODY);
    check(&mut server, &[client, "action=put", &format!("id={ID}"), "group=g", "targets=2", "outcome=ok"]);
    server.delete(format!("{{\"id\":\"{ID}\"}}")).is(200, "true\n");
    check(&mut server, &[client, "action=delete", &format!("id={ID}"), "outcome=ok"]);
    server.delete(format!("{{\"id\":\"{ID}\"}}")).is(404, "Id not found\n");
    check(&mut server, &[client, "action=delete", &format!("id={ID}"), "outcome=absent"]);
    server.put(r#"{"static_config":{"targets":["a:1"],"labels":{"bad-label":"x"}}}"#).has_status(400, "bad-label");
    check(&mut server, &[client, "action=put", "outcome=refused", "bad-label"]);
}

#[test]
fn start_and_end_are_logged() {
    let setup = Setup::new();
    let server = setup.start();
    server.register(BODY);
    server.terminate();
    let mut server = setup.start();
    check(&mut server, &["server started", "registrations=1"]);
    server.process().signal(nix::sys::signal::Signal::SIGTERM);
    server.process().wait();
    let log = server.log();
    assert!(log.last().is_some_and(|line| line.contains("server stopped")), "{log:?}");
}

#[test]
fn polls_are_not_logged_unless_asked_for() {
    let server = Server::start(&[]);
    let lines = server.log().len();
    for _ in 0..10 {
        server.get("/discover").is(200, "[]\n");
        server.get("/metrics").has_status(200, "/metrics");
        server.get("/healthcheck").is(200, "OK");
    }
    // The audit line of a later write shows that the polls before it have left nothing.
    server.register(BODY);
    eventually(SOON, || server.log().len() > lines);
    assert_eq!(server.log().len(), lines + 1, "{:?}", server.log());
    let server = Server::start(&[("RUST_LOG", "debug")]);
    server.get("/discover").is(200, "[]\n");
    eventually(SOON, || server.log().iter().any(|line| line.contains("/discover")));
}

/// A server whose log another program passes on, and that program.
fn read_by_another() -> (Server, Pid) {
    let setup = Setup::new().after("mkfifo pipe; cat pipe >&2 & echo $! >cat; exec 2>pipe");
    let setup = setup.env("PATH", &std::env::var("PATH").unwrap());
    let server = setup.start();
    let reader = std::fs::read_to_string(setup.path("cat")).unwrap().trim().parse().unwrap();
    (server, Pid::from_raw(reader))
}

/// Makes a request that leaves a long line: a pipe has room for a few hundred.
fn leave_a_line(server: &Server) {
    let label = format!("bad-{}", "x".repeat(400));
    let body = json!({"static_config": {"targets": ["a:1"], "labels": {label: "x"}}}).to_string();
    server.put(body).has_status(400, "bad-");
}

/// That program while it hangs.
struct Pipe(Pid);

impl Pipe {
    fn stopped(reader: Pid) -> Pipe {
        kill(reader, Signal::SIGSTOP).unwrap();
        Pipe(reader)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

#[test]
fn a_reader_of_the_log_that_hangs_stops_nothing() {
    let (mut server, reader) = read_by_another();
    let pipe = Pipe::stopped(reader);
    (0..2000).for_each(|_| leave_a_line(&server));
    server.register(BODY);
    assert_eq!(server.discover().len(), 1);
    drop(pipe);
    let told = server.process().line_with(&["the reader of the log was too slow", "lines="]);
    let left_out: u64 = told.rsplit_once("lines=").and_then(|(_, lines)| lines.parse().ok()).expect("they are counted");
    assert!((1..2000).contains(&left_out), "{told}");
    server.register(BODY);
    check(&mut server, &["action=put", "outcome=ok"]);

    let _pipe = Pipe::stopped(reader);
    (0..2000).for_each(|_| leave_a_line(&server));
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    eventually(SOON, || !server.process().is_running());
    assert!(asked.elapsed() < Duration::from_secs(15), "it ends without its last lines");
}

#[test]
fn every_line_is_written_or_counted() {
    let (server, reader) = read_by_another();
    for _ in 0..8 {
        let _pipe = Pipe::stopped(reader);
        (0..600).for_each(|_| leave_a_line(&server));
    }
    let told = |line: &str| line.contains("lines were left out").then(|| line.rsplit_once("lines=")?.1.parse().ok());
    let count = |line: &String| told(line).flatten().unwrap_or(usize::from(line.contains("outcome=refused")));
    eventually(SOON, || server.log().iter().map(count).sum::<usize>() == 8 * 600);
}

/// The log is a file, and for a while the disk has no room for more.
#[test]
fn a_line_that_was_cut_off_swallows_no_other() {
    let redis = RedisServer::start();
    let setup = Setup::new().env("REDIS_URL", &redis.url()).env("PATH", &std::env::var("PATH").unwrap());
    let setup =
        setup.after("touch log; tail -f --pid=$$ log >&2 & echo $$ >pid; trap '' XFSZ; ulimit -S -f 64; exec 2>>log");
    let server = setup.start();
    let log = || std::fs::read_to_string(setup.path("log")).unwrap();
    // The unit of the limit is 512 bytes.
    while log().len() < 64 * 512 {
        leave_a_line(&server);
    }
    assert!(!log().ends_with('\n'), "the last line is whole by chance");
    let pid = std::fs::read_to_string(setup.path("pid")).unwrap();
    let raised = Command::new("prlimit").args(["--fsize=unlimited", "--pid", pid.trim()]).status().unwrap();
    assert!(raised.success());
    server.register(BODY);
    // It tells its own time, and no other line begins within it.
    eventually(SOON, || log().lines().any(|line| line.rfind("ts=20") == Some(0) && line.contains("outcome=ok")));
}

#[test]
fn a_start_that_fails_ends_even_if_nobody_reads_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::new().after("mkfifo pipe; exec 2<>pipe; head -c 65536 /dev/zero >&2");
    let setup = setup.env("PATH", &std::env::var("PATH").unwrap());
    let outcome = setup.env("LISTEN_PORT", &taken.local_addr().unwrap().port().to_string()).run();
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn no_token_is_ever_logged() {
    let server = Server::start(&[("RUST_LOG", "trace"), ("API_TOKEN", "geheim-write"), ("SD_TOKEN", "geheim-read")]);
    for (name, value) in [
        ("x-api-token", "geheim-write"),
        ("x-api-token", "geheim-wrong"),
        ("Authorization", "Bearer geheim-write"),
        ("Authorization", "Bearer geheim-wrong"),
        ("x-sd-token", "geheim-read"),
        ("Authorization", "geheim-read"),
        ("Authorization", "Basic YTpnZWhlaW0tcmVhZA=="),
    ] {
        server.send(&Request::new("PUT", "/target").header(name, value).body(BODY));
        server.send(&Request::new("GET", "/discover").header(name, value));
    }
    server.send(&Request::new("PUT", "/target").header("x-api-token", "geheim-write").body("nonsense"));
    eventually(SOON, || server.log().iter().any(|line| line.contains(ID)));
    let log = server.log();
    assert!(log.iter().any(|line| line.contains("/discover")), "polls are logged at this level");
    let shown = log.iter().find(|line| line.contains("geheim") || line.contains("YTpnZWhlaW0tcmVhZA"));
    assert_eq!(shown, None);
}

#[test]
fn what_a_client_sends_cannot_forge_a_line() {
    let server = Server::start(&[]);
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g\nserver started id=forged"}}"#);
    server
        .put("{\"static_config\":{\"targets\":[\"a:1\"],\"labels\":{\"bad\\nserver forged\":\"x\"}}}")
        .has_status(400, "");
    eventually(SOON, || server.log().len() >= 3);
    assert!(!server.log().iter().any(|line| line.starts_with("server")), "{:?}", server.log());
}

#[test]
fn the_log_is_json_when_asked_for() {
    let setup = Setup::new().env("LOG_FORMAT", "json").env("RUST_LOG", "debug");
    let mut server = setup.start();
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g\"\n{\"msg\":\"forged\"}"}}"#);
    server.send(&Request::new("PUT", "/target").body(BODY)).has_status(403, "no token");
    // A second start on the same port ends with a reason, which is JSON as well.
    let port = server.address().port().to_string();
    let mut other = setup.env("LISTEN_PORT", &port).launch();
    assert_eq!(other.wait().code(), Some(1));
    server.process().signal(nix::sys::signal::Signal::SIGTERM);
    server.process().wait();
    let events: Vec<Value> = [server.log(), other.stderr()]
        .concat()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    for event in &events {
        let at = event["ts"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        assert!(at.is_some() && event["level"].is_string() && event["msg"].is_string(), "{event}");
    }
    let event = |msg: &str| events.iter().find(|event| event["msg"] == msg).unwrap_or_else(|| panic!("no {msg}"));
    let write = event("write");
    assert_eq!((&write["level"], &write["action"], &write["outcome"]), (&json!("info"), &json!("put"), &json!("ok")));
    assert_eq!((&write["group"], &write["token"]), (&json!("g\"\n{\"msg\":\"forged\"}"), &json!("api")));
    assert_eq!((&event("request")["status"], &event("server started")["registrations"]), (&json!(200), &json!(0)));
    assert_eq!(event("token missing or wrong")["events"], json!(1));
    assert!(event("the server cannot start")["reason"].as_str().is_some_and(|reason| reason.contains(&port)));
}
