//! What the agent remembers from one run to the next.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::agent::{file_sd, lists};
use super::{Cli, listed};
use crate::eventually::{SOON, eventually};
use crate::process::Process;
use crate::server::Server;

/// An agent that remembers; what it registers outlives it, and this test.
fn agent(cli: &Cli) -> Process {
    fs::create_dir_all(cli.path("d")).unwrap();
    fs::create_dir_all(cli.path("state")).unwrap();
    cli.start(&["agent", "--dir", "d", "--state-dir", "state"])
}

/// The machine was started again: the memory is of another boot.
fn reboot(cli: &Cli) {
    let path = cli.path("state/agent.json");
    let mut memory: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    memory["seen"]["boot"] = "another".into();
    fs::write(path, memory.to_string()).unwrap();
}

#[test]
fn what_was_removed_while_it_did_not_run_is_deleted_at_the_next_start() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    for name in ["kept", "changed", "removed", "broken", "emptied"] {
        cli.write(&format!("d/{name}.json"), file_sd(&format!("{name}:1")));
    }
    let first = agent(&cli);
    lists(&server, &["broken:1", "changed:1", "emptied:1", "kept:1", "removed:1"]);
    // It is killed, and nobody had the time to write anything down.
    drop(first);
    fs::remove_file(cli.path("d/removed.json")).unwrap();
    cli.write("d/changed.json", file_sd("changed:2"));
    cli.write("d/emptied.json", "[]");
    cli.write("d/broken.json", "[{");
    let mut second = agent(&cli);
    lists(&server, &["broken:1", "changed:2", "kept:1"]);
    second.line_with(&["msg=deregistered", "file=removed.json", "removed:1"]);
    second.line_with(&["the file is broken", "file=broken.json", "kept=1"]);
    // What a broken file held before is not only kept, but renewed by this agent as well.
    second.line_with(&["msg=registered", "file=broken.json", "broken:1"]);
    drop(second);
    // What is deleted is forgotten: another host may register it.
    server.register(r#"{"static_config": {"targets": ["removed:1"]}}"#);
    let mut third = agent(&cli);
    third.line_with(&["msg=registered", "kept:1"]);
    cli.write("d/last.json", file_sd("last:1"));
    lists(&server, &["broken:1", "changed:2", "kept:1", "last:1", "removed:1"]);
}

#[test]
fn what_the_server_could_not_be_told_is_done_by_the_next_agent() {
    let server = Server::start(&[]);
    let between = super::between::Between::before(&server);
    let cli = Cli::at(&between.url());
    cli.write("d/a.json", file_sd("a:1"));
    cli.write("d/b.json", file_sd("b:1"));
    let mut first = agent(&cli);
    lists(&server, &["a:1", "b:1"]);
    between.says("502 Bad Gateway", "text/html", "<html>");
    fs::remove_file(cli.path("d/a.json")).unwrap();
    first.line_with(&["the server does not answer", "502"]);
    first.signal(Signal::SIGKILL);
    first.wait();
    between.passes();
    let _second = agent(&cli);
    lists(&server, &["b:1"]);
}

#[test]
fn an_empty_directory_is_only_believed_if_it_had_files_since_the_boot() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let run = |lines: &[&[&str]]| {
        let mut agent = agent(&cli);
        lines.iter().for_each(|words| drop(agent.line_with(words)));
        agent.signal(Signal::SIGTERM);
        assert_eq!(agent.wait().code(), Some(0), "{:?}", agent.stderr());
    };
    cli.write("d/a.json", file_sd("a:1"));
    run(&[&["msg=registered", "a:1"]]);
    // Another directory stands in its place: what was to be mounted is not.
    fs::rename(cli.path("d"), cli.path("elsewhere")).unwrap();
    run(&[&["may not be mounted"]]);
    // It had files before the boot, and nobody knows what happened meanwhile.
    fs::remove_dir(cli.path("d")).unwrap();
    fs::rename(cli.path("elsewhere"), cli.path("d")).unwrap();
    run(&[&["msg=registered", "a:1"]]);
    reboot(&cli);
    fs::rename(cli.path("d/a.json"), cli.path("a.json")).unwrap();
    run(&[&["may not be mounted"]]);
    assert_eq!(listed(&server), ["a:1"], "nothing was deleted");
    // A file appears, and the old one is still remembered: now it is known to be gone.
    cli.write("d/b.json", file_sd("b:1"));
    run(&[&["msg=deregistered", "a:1"], &["msg=registered", "b:1"]]);
    lists(&server, &["b:1"]);
    // Seen with files in this boot, and then emptied: that is meant.
    fs::remove_file(cli.path("d/b.json")).unwrap();
    run(&[&["msg=deregistered", "b:1"]]);
    assert!(listed(&server).is_empty());
}

#[test]
fn a_memory_that_is_broken_or_cannot_be_written_costs_nothing_else() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", file_sd("a:1"));
    cli.write("state/agent.json", "{\"files\": 1");
    let mut first = agent(&cli);
    first.line_with(&["the memory cannot be read"]);
    lists(&server, &["a:1"]);
    // Nothing can be created under this name any more.
    fs::create_dir(cli.path("state/.agent.json.new")).unwrap();
    cli.write("d/b.json", file_sd("b:1"));
    first.line_with(&["the memory cannot be written"]);
    lists(&server, &["a:1", "b:1"]);
    // One agent each.
    cli.fails_with(2, &["agent", "--dir", "d", "--state-dir", "state"], &["--state-dir state", "another agent"]);
    cli.fails_with(2, &["agent", "--dir", "d", "--state-dir", "nowhere"], &["--state-dir nowhere"]);
    std::thread::sleep(Duration::from_millis(100));
    assert!(first.is_running());
}

#[test]
fn what_the_next_agent_is_refused_is_tried_again_as_often_as_it_would_be_renewed() {
    let lenient = Server::start(&[("LABEL_NAMES", "utf8")]);
    let cli = Cli::of(&lenient);
    cli.write("d/a.json", r#"[{"targets": ["a:1"], "labels": {"a.b": "c"}}]"#);
    let first = agent(&cli);
    lists(&lenient, &["a:1"]);
    drop(first);
    // The next server does not take it, says how long registrations live there, and may let this one expire.
    let strict = Server::start(&[("TTL_SECONDS", "6")]);
    let _second = agent(&cli.env("INVENTOR_URL", &format!("http://{}", strict.address())));
    let refused = || {
        let metrics = strict.get("/metrics").text().to_owned();
        let counts = metrics.lines().filter(|line| line.starts_with("inventor_registrations_refused_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    eventually(SOON, || refused() >= 3.0);
}
