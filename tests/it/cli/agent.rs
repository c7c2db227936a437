//! `inventor agent`: what is in its directory is registered, whatever happens to the files.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use super::{Cli, listed};
use crate::eventually::{SOON, eventually};
use crate::process::Process;
use crate::server::{Server, Setup};

/// Lifetimes that are over long before a test is, were they not renewed.
pub(super) const SHORT: &str = "3s";

/// A file of `file_sd`.
pub(super) fn file_sd(target: &str) -> String {
    format!(r#"[{{"targets": ["{target}"]}}]"#)
}

/// An agent with its directory, which may be there or not.
pub(super) fn agent(cli: &Cli, arguments: &[&str]) -> Process {
    fs::create_dir_all(cli.path("d")).unwrap();
    cli.start(&[&["agent", "--dir", "d", "--ttl", SHORT], arguments].concat())
}

/// Waits until these addresses are listed, and no others.
#[track_caller]
pub(super) fn lists(server: &Server, expected: &[&str]) {
    eventually(SOON, || listed(server) == expected);
}

fn count(process: &Process, text: &str) -> usize {
    process.stderr().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn what_files_hold_is_registered_and_what_they_held_is_deleted_when_they_are_gone() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", file_sd("a:1"));
    cli.write("d/b.yaml", "- targets: [b:1, b:2]\n  labels: {port: 9100}\n");
    cli.write("d/original.json", r#"{"static_config": {"targets": ["o:1"], "labels": {"job": "x", "job": "y"}}}"#);
    cli.write("d/not-this.txt", file_sd("c:1"));
    cli.write("d/.hidden.json", file_sd("d:1"));
    let mut agent = agent(&cli, &[]);
    lists(&server, &["a:1", "b:1", "b:2", "o:1"]);
    cli.write("d/later.yml", "- targets: [l:1]\n");
    lists(&server, &["a:1", "b:1", "b:2", "l:1", "o:1"]);
    fs::remove_file(cli.path("d/b.yaml")).unwrap();
    lists(&server, &["a:1", "l:1", "o:1"]);
    // Written anew in place, and renamed: the same registrations, and nothing in between.
    fs::write(cli.path("d/a.json"), file_sd("a:2")).unwrap();
    lists(&server, &["a:2", "l:1", "o:1"]);
    fs::rename(cli.path("d/a.json"), cli.path("d/z.json")).unwrap();
    agent.line_with(&["file removed", "file=a.json"]);
    lists(&server, &["a:2", "l:1", "o:1"]);
    assert_eq!(count(&agent, "msg=deregistered"), 2, "b.yaml and the a.json of before: {:?}", agent.stderr());
}

#[test]
fn a_file_is_replaced_by_mv_without_a_gap() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", file_sd("a:0"));
    let agent = agent(&cli, &[]);
    lists(&server, &["a:0"]);
    for version in 1..20 {
        cli.write("d/a.json.new", format!(r#"[{{"targets": ["a:0"], "labels": {{"version": "{version}"}}}}]"#));
        fs::rename(cli.path("d/a.json.new"), cli.path("d/a.json")).unwrap();
        let version = version.to_string();
        eventually(SOON, || {
            let list = server.discover();
            assert_eq!(list.len(), 1, "it was listed all the time");
            list[0]["labels"]["version"] == version.as_str()
        });
    }
    assert_eq!(count(&agent, "level=error"), 0, "{:?}", agent.stderr());
}

#[test]
fn a_file_half_written_is_taken_when_it_is_complete() {
    use std::io::Write;
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.yaml", "- targets: [a:1]\n- targets: [a:2]\n");
    let agent = agent(&cli, &[]);
    lists(&server, &["a:1", "a:2"]);
    // Half of a YAML list is a list. Another file makes the agent look while it is half written.
    let mut file = fs::File::create(cli.path("d/a.yaml")).unwrap();
    file.write_all(b"- targets: [a:1]\n").unwrap();
    cli.write("d/b.json", file_sd("b:1"));
    lists(&server, &["a:1", "a:2", "b:1"]);
    file.write_all(b"- targets: [a:2]\n- targets: [a:3]\n").unwrap();
    drop(file);
    lists(&server, &["a:1", "a:2", "a:3", "b:1"]);
    assert_eq!(count(&agent, "msg=deregistered"), 0, "{:?}", agent.stderr());
}

#[test]
fn a_broken_file_costs_only_itself_is_told_once_and_keeps_what_it_held() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", file_sd("a:1"));
    cli.write("d/b.json", file_sd("b:1"));
    let mut agent = agent(&cli, &[]);
    lists(&server, &["a:1", "b:1"]);
    cli.write("d/a.json", r#"[{"targets": ["a:2"#);
    agent.line_with(&["the file is broken", "file=a.json", "kept=1"]);
    cli.write("d/b.json", file_sd("b:2"));
    lists(&server, &["a:1", "b:2"]);
    // It is kept beyond its lifetime, and whatever is looked at again, nothing is told again.
    for number in 0..5 {
        cli.write("d/c.json", file_sd(&format!("c:{number}")));
        lists(&server, &["a:1", "b:2", &format!("c:{number}")]);
        std::thread::sleep(Duration::from_millis(800));
    }
    assert_eq!(count(&agent, "file is broken"), 1, "{:?}", agent.stderr());
    cli.write("d/a.json", file_sd("a:3"));
    lists(&server, &["a:3", "b:2", "c:4"]);
}

#[test]
fn a_volume_of_kubernetes_is_swapped_as_a_whole() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/..first/a.json", file_sd("a:1"));
    cli.write("d/..first/b.json", file_sd("b:1"));
    symlink("..first", cli.path("d/..data")).unwrap();
    for name in ["a.json", "b.json"] {
        symlink(format!("..data/{name}"), cli.path("d").join(name)).unwrap();
    }
    let agent = agent(&cli, &[]);
    lists(&server, &["a:1", "b:1"]);
    cli.write("d/..second/a.json", file_sd("a:2"));
    cli.write("d/..second/b.json", file_sd("b:1"));
    symlink("..second", cli.path("d/..data_tmp")).unwrap();
    fs::rename(cli.path("d/..data_tmp"), cli.path("d/..data")).unwrap();
    fs::remove_dir_all(cli.path("d/..first")).unwrap();
    lists(&server, &["a:2", "b:1"]);
    assert_eq!(count(&agent, "level=error"), 0, "{:?}", agent.stderr());
}

#[test]
fn a_file_from_the_future_or_the_past_is_a_file() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let agent = agent(&cli, &[]);
    let year = Duration::from_secs(365 * 24 * 3600);
    for (name, time) in [("past", SystemTime::now() - 20 * year), ("future", SystemTime::now() + 20 * year)] {
        let path = cli.write(&format!("elsewhere/{name}.json"), file_sd(&format!("{name}:1")));
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        // A hard link is neither written nor moved.
        fs::hard_link(path, cli.path(&format!("d/{name}.json"))).unwrap();
    }
    lists(&server, &["future:1", "past:1"]);
    drop(agent);
}

#[test]
fn the_same_targets_in_two_files_are_registered_by_the_first_and_outlive_it() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let labelled = |value: &str| format!(r#"[{{"targets": ["a:1"], "labels": {{"from": "{value}"}}}}]"#);
    cli.write("d/1.json", labelled("first"));
    cli.write("d/2.json", labelled("second"));
    let mut agent = agent(&cli, &[]);
    let from = || server.discover().first().map(|entry| entry["labels"]["from"].clone());
    eventually(SOON, || from() == Some("first".into()));
    agent.line_with(&["already registered by another file", "file=2.json", "first=1.json"]);
    fs::remove_file(cli.path("d/1.json")).unwrap();
    eventually(SOON, || from() == Some("second".into()));
    assert_eq!(count(&agent, "msg=deregistered"), 0, "{:?}", agent.stderr());
}

#[test]
fn a_stop_deletes_nothing_unless_it_is_to() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", file_sd("a:1"));
    for (arguments, left) in [(&[][..], &["a:1"][..]), (&["--deregister-on-stop"], &[])] {
        let mut agent = agent(&cli, arguments);
        agent.line_with(&["msg=registered"]);
        agent.signal(Signal::SIGTERM);
        assert_eq!(agent.wait().code(), Some(0), "{:?}", agent.stderr());
        assert_eq!(listed(&server), left, "{arguments:?}");
        let told = count(&agent, "deregistered, as --deregister-on-stop wants it\" registrations=1");
        assert_eq!(told, usize::from(left.is_empty()), "{:?}", agent.stderr());
    }
}

#[test]
fn what_the_server_refuses_is_told_once_and_tried_again_when_its_file_changes() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", r#"[{"targets": ["a:1"], "labels": {"a-b": "x"}}]"#);
    cli.write("d/b.json", file_sd("b:1"));
    let mut agent = agent(&cli, &[]);
    agent.line_with(&["refused by the server", "file=a.json", "a-b"]);
    lists(&server, &["b:1"]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(count(&agent, "refused"), 1, "{:?}", agent.stderr());
    let refusals = server.log().iter().filter(|line| line.contains("a-b")).count();
    assert!(refusals <= 1, "it was sent again at once: {:?}", server.log());
    cli.write("d/a.json", r#"[{"targets": ["a:1"], "labels": {"a_b": "x"}}]"#);
    lists(&server, &["a:1", "b:1"]);
}

#[test]
fn a_thousand_refusals_of_one_cause_are_one_line() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server).env("INVENTOR_TOKEN", "");
    for file in 0..10 {
        let entries: Vec<String> = (0..100).map(|number| format!(r#"{{"targets": ["h{file}-{number}:1"]}}"#)).collect();
        cli.write(&format!("d/{file}.json"), format!("[{}]", entries.join(",")));
    }
    let agent = agent(&cli, &[]);
    let refused = || -> usize {
        let number = |line: &String| line.split_once("registrations=")?.1.split(' ').next()?.parse::<usize>().ok();
        agent.stderr().iter().filter(|line| line.contains("wants a token")).filter_map(number).sum()
    };
    eventually(SOON, || refused() == 1000);
    assert!(count(&agent, "level=error") <= 4, "{:?}", agent.stderr());
    assert!(count(&agent, "set INVENTOR_TOKEN") >= 1 && count(&agent, "more_files=5") >= 1, "{:?}", agent.stderr());
}

#[test]
fn group_and_lifetime_are_for_those_that_name_none() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", r#"[{"targets": ["a:1"]}, {"targets": ["b:1"], "target_group": "own", "ttl_seconds": 600}]"#);
    let _agent = agent(&cli, &["--group", "given"]);
    lists(&server, &["a:1", "b:1"]);
    let of_group = |name: &str| server.get(&format!("/group?name={name}")).json()[0]["targets"][0].clone();
    assert_eq!((of_group("given"), of_group("own")), ("a:1".into(), "b:1".into()));
    let stored = |id: &str| server.find(format!(r#"{{"id": "{id}"}}"#)).json()["static_config"]["ttl_seconds"].clone();
    assert_eq!(stored("7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"), 3, "a:1");
    let b = inventor::registration::TargetId::of(&["b:1".to_owned()]).to_string();
    assert_eq!(stored(&b), 600, "b:1");
}

#[test]
fn systemd_is_told_what_the_agent_does() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", file_sd("a:1"));
    let socket = std::os::unix::net::UnixDatagram::bind(cli.path("notify")).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let next = || {
        let mut message = [0; 4096];
        let len = socket.recv(&mut message).expect("the agent tells something");
        String::from_utf8_lossy(&message[..len]).lines().next().unwrap_or_default().to_owned()
    };
    let mut agent = agent(&cli.env("NOTIFY_SOCKET", cli.path("notify").to_str().unwrap()), &[]);
    assert_eq!(next(), "READY=1");
    let mut status = next();
    while status != "STATUS=1 of 1 registered" {
        status = next();
    }
    agent.signal(Signal::SIGHUP);
    assert_eq!([next(), next()], ["RELOADING=1", "READY=1"]);
    agent.signal(Signal::SIGTERM);
    assert_eq!(next(), "STOPPING=1");
    assert_eq!(agent.wait().code(), Some(0));
}

#[test]
fn the_server_that_listens_on_a_unix_socket_is_reached() {
    let setup = Setup::new();
    let url = format!("unix:{}", setup.path("socket").display());
    let _server = setup.env("LISTEN_ADDR", &url).start();
    let cli = Cli::at(&url);
    cli.write("d/a.json", file_sd("a:1"));
    let mut agent = agent(&cli, &[]);
    agent.line_with(&["msg=registered", "a:1"]);
    assert_eq!(cli.ends_with(0, &["deregister", "--target", "a:1"]), "");
}
