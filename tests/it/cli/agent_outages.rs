//! The agent while the server is away, silent, or does not accept it; and a day of renewals without one.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::agent::{agent, file_sd, lists};
use super::between::Between;
use super::{Cli, listed, listed_by};
use crate::eventually::{SOON, eventually};
use crate::faults::inject;
use crate::process::Process;
use crate::redis::proxy::Proxy;
use crate::server::{Server, Setup};

/// A server on a Unix socket, which can be started again at the same address.
struct OnSocket {
    setup: Setup,
    socket: PathBuf,
}

impl OnSocket {
    fn new() -> OnSocket {
        let setup = Setup::new();
        let socket = setup.path("socket");
        let setup = setup.env("LISTEN_ADDR", &format!("unix:{}", socket.display()));
        OnSocket { setup, socket }
    }

    fn client(&self) -> Cli {
        Cli::at(&format!("unix:{}", self.socket.display()))
    }

    /// What is listed, as text; `None` while nobody answers.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    #[track_caller]
    fn lists(&self, target: &str) {
        eventually(SOON, || self.get("/discover").is_some_and(|list| list.contains(target)));
    }
}

fn count(process: &Process, text: &str) -> usize {
    process.stderr().iter().filter(|line| line.contains(text)).count()
}

#[track_caller]
fn nothing_expired(metrics: &str) {
    let mut counts =
        metrics.lines().filter(|line| line.starts_with("inventor_registrations_expired_total{")).peekable();
    assert!(counts.peek().is_some() && counts.all(|line| line.ends_with(" 0")), "{metrics}");
}

#[test]
fn a_server_that_is_killed_and_started_again_has_everything_at_once() {
    let place = OnSocket::new();
    let cli = place.client();
    cli.write("d/a.json", file_sd("a:1"));
    let server = place.setup.start();
    let mut agent = agent(&cli, &[]);
    place.lists("a:1");
    drop(server);
    // A file changes while nobody can be told of it, and longer than a registration lives passes.
    cli.write("d/a.json", file_sd("a:2"));
    agent.line_with(&["the server does not answer", "level=warn"]);
    std::thread::sleep(Duration::from_secs(4));
    let _server = place.setup.start();
    place.lists("a:2");
    agent.line_with(&["the server answers again"]);
    eventually(SOON, || place.get("/discover").is_some_and(|list| !list.contains("a:1")));
    assert_eq!(count(&agent, "does not answer"), 1, "{:?}", agent.stderr());
}

#[test]
fn a_network_that_is_cut_and_silent_costs_nothing_but_time() {
    let place = OnSocket::new();
    let _server = place.setup.start();
    let proxy = Proxy::before(&place.socket);
    let cli = Cli::at(&format!("unix:{}", proxy.socket().display()));
    cli.write("d/a.json", file_sd("a:1"));
    let mut agent = agent(&cli, &["--request-timeout", "2s"]);
    place.lists("a:1");
    // What is under way now waits as well.
    proxy.fall_silent();
    cli.write("d/b.json", file_sd("b:1"));
    agent.line_with(&["the server does not answer", "no answer in time"]);
    // It is told to end while it waits, and does so; another one takes over.
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().code(), Some(0));
    let mut next = super::agent::agent(&cli, &["--request-timeout", "2s"]);
    next.line_with(&["the server does not answer"]);
    proxy.cut();
    proxy.speak();
    place.lists("b:1");
    place.lists("a:1");
    assert_eq!(count(&next, "does not answer"), 1, "{:?}", next.stderr());
}

#[test]
fn a_wrong_token_is_told_once_and_the_right_one_is_taken_when_it_comes() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server).env("INVENTOR_TOKEN", "");
    let token = cli.write("token", "wrong\n");
    cli.write("d/a.json", file_sd("a:1"));
    cli.write("d/b.json", file_sd("b:1"));
    let mut agent = agent(&cli, &["--token-file", token.to_str().unwrap()]);
    agent.line_with(&["does not accept this token", "registrations=2", "files=a.json,b.json", "403"]);
    agent.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(count(&agent, "does not accept"), 1, "it is told once: {:?}", agent.stderr());
    cli.write("token", "secret\n");
    agent.signal(Signal::SIGHUP);
    lists(&server, &["a:1", "b:1"]);
    let log = agent.stderr().join("\n");
    assert!(!log.contains("secret") && !log.contains("wrong"), "no token is logged: {log}");
}

/// What something on the way may say to a request, with the words of the agent.
const ANSWERS_OF_OTHERS: [(&str, &str, &str, &str); 11] = [
    ("400 Bad Request", "text/html", "<html><title>400 Bad Request</title></html>", "400 Bad Request"),
    ("400 Bad Request", "text/plain; charset=utf-8", "invalid header\n", "invalid header"),
    ("400 Bad Request", "application/problem+json", r#"{"title":"Bad Request","detail":"by policy"}"#, "by policy"),
    ("403 Forbidden", "text/html", "<h1>Forbidden</h1>", "Forbidden"),
    ("404 Not Found", "text/plain; charset=utf-8", "404 page not found\n", "404 page not found"),
    ("404 Not Found", "text/html", "<html>nginx</html>", "nginx"),
    ("200 OK", "text/html", "<h1>Welcome</h1>", "Welcome"),
    ("200 OK", "application/json", r#"{"status":"ok"}"#, "200"),
    ("302 Found", "text/html", "", "302"),
    ("413 Too Large", "text/html", "<h1>Too large</h1>", "Too large"),
    ("500 Oh", "text/plain", "oh", "oh"),
];

#[test]
fn no_answer_of_something_on_the_way_ends_renewals() {
    let server = Server::start(&[]);
    let between = Between::before(&server);
    let cli = Cli::at(&between.url());
    cli.write("d/a.json", file_sd("a:1"));
    let mut agent = agent(&cli, &[]);
    lists(&server, &["a:1"]);
    for (status, content_type, body, words) in ANSWERS_OF_OTHERS {
        between.says(status, content_type, body);
        let heard = between.heard().len();
        // One that is told is followed by others.
        eventually(SOON, || between.heard().len() >= heard + 2);
        agent.line_with(&[words]);
        let passed = between.passed();
        between.passes();
        eventually(SOON, || between.passed() > passed && listed(&server) == ["a:1"]);
    }
    between.says_bytes("SSH-2.0-OpenSSH_9.2\r\n");
    let heard = between.heard().len();
    eventually(SOON, || between.heard().len() >= heard + 2);
    between.passes();
    lists(&server, &["a:1"]);
    assert!(agent.stderr().iter().all(|line| !line.contains('<')), "no page is logged: {:?}", agent.stderr());
}

#[test]
fn a_first_registration_that_is_refused_is_tried_again_within_ten_minutes() {
    let server = Server::start(&[]);
    let between = Between::before(&server);
    let (setup, _, clock) = inject(Cli::at(&between.url()).setup);
    let cli = Cli { setup };
    cli.write("d/a.json", file_sd("a:1"));
    between.says("400 Bad Request", "text/plain; charset=utf-8", "targets: missing\n");
    let mut agent = agent(&cli, &[]);
    agent.line_with(&["refused by the server", "targets: missing"]);
    let mut passes = 0..;
    let mut is_asked_after_ten_minutes = || {
        let heard = between.heard().len();
        // When the clock moves before the agent has read the last answer, its ten minutes begin after that.
        (0..2).any(|_| {
            clock.pass(Duration::from_secs(600));
            // Any event makes it look at the clock.
            cli.write("d/other.txt", format!("{:?}", passes.next()));
            let end = Instant::now() + SOON / 8;
            while between.heard().len() == heard && Instant::now() < end {
                thread::sleep(Duration::from_millis(10));
            }
            between.heard().len() > heard
        })
    };
    (0..8).for_each(|round| assert!(is_asked_after_ten_minutes(), "round {round}"));
    between.passes();
    assert!(is_asked_after_ten_minutes());
    lists(&server, &["a:1"]);
}

#[test]
fn a_deletion_that_is_refused_is_tried_again() {
    let server = Server::start(&[]);
    let between = Between::before(&server);
    let cli = Cli::at(&between.url());
    cli.write("d/a.json", file_sd("a:1"));
    cli.write("d/b.json", file_sd("b:1"));
    let mut agent = cli.start(&["agent", "--dir", "d"]);
    lists(&server, &["a:1", "b:1"]);
    for (status, content_type, body) in [
        ("404 Not Found", "text/html", "<html>nginx</html>"),
        ("404 Not Found", "text/plain; charset=utf-8", "404 page not found\n"),
        ("400 Bad Request", "text/plain; charset=utf-8", "no\n"),
    ] {
        between.says(status, content_type, body);
        let heard = between.heard().len();
        std::fs::remove_file(cli.path("d/a.json")).unwrap();
        eventually(SOON, || between.heard()[heard..].iter().any(|line| line.starts_with("DELETE")));
        between.passes();
        // What was refused waits for minutes, unless it is told to be tried at once.
        agent.signal(Signal::SIGHUP);
        lists(&server, &["b:1"]);
        agent.line_with(&["msg=deregistered", "file=a.json", "a:1"]);
        cli.write("d/a.json", file_sd("a:1"));
        lists(&server, &["a:1", "b:1"]);
    }
}

#[test]
fn a_day_of_renewals_never_lets_one_expire() {
    // Renewed at a third of 6 s instead of 6 hours: 26 s are 26 hours.
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let expected: Vec<String> = (0..20).map(|number| format!("host{number:02}:9100")).collect();
    expected.iter().enumerate().for_each(|(number, target)| {
        cli.write(&format!("d/{number}.json"), file_sd(target));
    });
    let _agent = cli.start(&["agent", "--dir", "d", "--ttl", "6s"]);
    eventually(SOON, || super::listed(&server) == expected);
    let mut connection = server.connect();
    let end = Instant::now() + Duration::from_secs(26);
    while Instant::now() < end {
        assert_eq!(listed_by(&mut connection), expected);
        std::thread::sleep(Duration::from_millis(20));
    }
    nothing_expired(server.get("/metrics").text());
}
