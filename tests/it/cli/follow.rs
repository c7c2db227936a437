//! `inventor follow`: a file holds the list, whatever happens to the server, the disk or the file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use nix::sys::signal::Signal;

use super::Cli;
use super::between::Between;
use crate::eventually::{SOON, eventually};
use crate::faults::inject;
use crate::process::Process;
use crate::server::{Server, Setup};

fn follow(cli: &Cli, output: &str, list: &str) -> Process {
    cli.start(&["follow", "--list", list, "--output", output, "--interval", "50ms"])
}

/// Waits until the file holds this.
#[track_caller]
fn holds(cli: &Cli, output: &str, content: &str) {
    eventually(SOON, || fs::read_to_string(cli.path(output)).is_ok_and(|found| found == content));
}

fn registration(target: &str) -> String {
    format!(r#"{{"static_config": {{"targets": ["{target}"], "target_group": "g", "labels": {{"x": "yes"}}}}}}"#)
}

#[track_caller]
fn ends(mut follow: Process) {
    follow.signal(Signal::SIGTERM);
    assert_eq!(follow.wait().code(), Some(0), "{:?}", follow.stderr());
}

#[test]
fn the_file_is_what_the_server_says_and_is_written_only_when_that_is_something_else() {
    let server = Server::start(&[]);
    server.register(registration("a:1"));
    let cli = Cli::of(&server);
    let mut process = follow(&cli, "node.json", "/group?name=g");
    process.line_with(&["file written", "targets=1 added=1 removed=0"]);
    holds(&cli, "node.json", server.get("/group?name=g").text());
    let of = |name: &str| fs::metadata(cli.path(name)).unwrap();
    assert_eq!(of("node.json").mode() & 0o777, 0o644);
    // What somebody changes about the file stays; what somebody writes into it does not.
    fs::set_permissions(cli.path("node.json"), fs::Permissions::from_mode(0o640)).unwrap();
    server.register(registration("b:1"));
    process.line_with(&["file written", "targets=2 added=1 removed=0"]);
    assert_eq!(of("node.json").mode() & 0o777, 0o640);
    fs::write(cli.path("node.json"), "[]").unwrap();
    holds(&cli, "node.json", server.get("/group?name=g").text());
    fs::remove_file(cli.path("node.json")).unwrap();
    holds(&cli, "node.json", server.get("/group?name=g").text());
    let before = of("node.json").ino();
    process.signal(Signal::SIGHUP);
    ends(process);
    // Another run finds it right.
    let between = Between::before(&server);
    let process =
        follow(&Cli { setup: cli.setup.clone().env("INVENTOR_URL", &between.url()) }, "node.json", "/group?name=g");
    eventually(SOON, || between.heard().len() > 3);
    assert_eq!(of("node.json").ino(), before, "it is not written again");
    ends(process);
    assert!(fs::read_dir(cli.path("")).unwrap().all(|entry| entry.unwrap().file_name() != ".node.json.new"));
}

#[test]
fn whatever_goes_wrong_the_file_stays_as_it_is() {
    let server = Server::start(&[]);
    server.register(registration("a:1"));
    let between = Between::before(&server);
    let cli = Cli::at(&between.url());
    let mut process = follow(&cli, "node.json", "/sd");
    let list = server.get("/sd").text().to_owned();
    holds(&cli, "node.json", &list);
    let says = |status: &str, kind: &str, body: &str| between.says(status, kind, body);
    let wrong: [(&dyn Fn(), &str); 6] = [
        (&|| says("503 Service Unavailable", "text/plain", "not loaded yet"), "503: not loaded yet"),
        (&|| says("200 OK", "text/html", "<h1>[]</h1>"), "text/html"),
        (&|| says("200 OK", "application/json", r#"{"error": "x"}"#), "this is no list"),
        (&|| says("200 OK", "application/json", r#"[{"targets": ["a:1"]}"#), "this is no list"),
        (&|| says("304 Not Modified", "text/plain", ""), ""),
        (
            &|| between.says_bytes("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n[]"),
            "no new list",
        ),
    ];
    for (go_wrong, reason) in wrong {
        let heard = between.heard().len();
        go_wrong();
        eventually(SOON, || between.heard().len() > heard + 2);
        if !reason.is_empty() {
            process.line_with(&["the file stays as it is", reason]);
        }
        assert_eq!(fs::read_to_string(cli.path("node.json")).unwrap(), list, "{reason}");
    }
    ends(process);
    // Nor does one that starts now harm it.
    let mut process = follow(&cli, "node.json", "/sd");
    process.line_with(&["the file stays as it is"]);
    assert_eq!(fs::read_to_string(cli.path("node.json")).unwrap(), list);
    between.passes();
    server.register(registration("b:1"));
    process.line_with(&["file written", "added=1 removed=0"]);
    process.line_with(&["the list is read again"]);
    holds(&cli, "node.json", server.get("/sd").text());
    ends(process);
}

#[test]
fn a_full_disk_costs_nothing_but_news() {
    let server = Server::start(&[]);
    server.register(registration("a:1"));
    let (setup, disk, _) = inject(Setup::clone(&Cli::of(&server).setup));
    let cli = Cli { setup };
    // The name by which the faults know what they concern.
    let name = "inventor.redb.json";
    let mut process = follow(&cli, name, "/sd");
    let list = server.get("/sd").text().to_owned();
    holds(&cli, name, &list);
    disk.fill();
    server.register(registration("b:1"));
    process.line_with(&["the file stays as it is", "No space left on device"]);
    assert_eq!(fs::read_to_string(cli.path(name)).unwrap(), list);
    disk.heal();
    holds(&cli, name, server.get("/sd").text());
    ends(process);
}

#[test]
fn yaml_is_written_for_names_of_yaml_and_other_names_are_refused() {
    let server = Server::start(&[]);
    server.register(registration("a:1"));
    let cli = Cli::of(&server);
    let process = follow(&cli, "node.yml", "/group?name=g");
    holds(&cli, "node.yml", "- labels:\n    x: \"yes\"\n  targets:\n  - a:1\n");
    ends(process);
    for (arguments, reason) in [
        (&["--output", "node.txt"][..], "--output node.txt: expected a name that ends with"),
        (&["--output", "nowhere/node.json"], "--output nowhere/node.json: there is no such directory"),
        (&["--output", "node.json", "--list", "sd"], "--list: expected a path"),
    ] {
        cli.fails_with(2, &[&["follow"], arguments].concat(), &[reason]);
    }
    fs::write(cli.path("else"), "somebody's").unwrap();
    symlink("else", cli.path("link.json")).unwrap();
    cli.fails_with(2, &["follow", "--output", "link.json"], &["--output link.json: is a link"]);
    // One that becomes a link is not followed either.
    let mut process = follow(&cli, "node.json", "/sd");
    holds(&cli, "node.json", server.get("/sd").text());
    fs::remove_file(cli.path("node.json")).unwrap();
    symlink("else", cli.path("node.json")).unwrap();
    process.line_with(&["the file stays as it is", "is a link"]);
    assert_eq!(fs::read_to_string(cli.path("else")).unwrap(), "somebody's");
    ends(process);
}
