//! What a person at a terminal sees, as text: a real pseudo-terminal of a certain width.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;

use super::Cli;
use crate::eventually::{SOON, eventually};
use crate::process::Process;
use crate::server::Server;

const COLUMNS: u16 = 60;

/// What the command writes to a terminal, and its exit code.
#[track_caller]
fn on_terminal(cli: &Cli, environment: &[(&str, &str)], arguments: &[&str]) -> (String, Option<i32>) {
    let columns = environment.iter().find(|(name, _)| *name == "COLUMNS_OF_TEST");
    let columns = columns.map_or(COLUMNS, |(_, columns)| columns.parse().unwrap());
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).expect("the system has a pseudo-terminal");
    let environment = environment.iter().fold(cli.env("TERM", "xterm"), |cli, (name, value)| cli.env(name, value));
    let plain = environment.with(arguments).command();
    let mut command = Command::new(plain.get_program());
    command.args(plain.get_args()).env_clear().current_dir(cli.path(""));
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    for (at, end) in [&pty.slave; 3].into_iter().enumerate() {
        let end = Stdio::from(end.try_clone().unwrap());
        match at {
            0 => command.stdin(end),
            1 => command.stdout(end),
            _ => command.stderr(end),
        };
    }
    let mut child = command.spawn().expect("the client starts");
    drop((command, pty.slave));
    let mut seen = Vec::new();
    let mut screen = File::from(pty.master);
    let mut bytes = [0; 4096];
    // The end of a terminal is an error.
    while let Ok(count @ 1..) = screen.read(&mut bytes) {
        seen.extend(&bytes[..count]);
    }
    (String::from_utf8_lossy(&seen).replace("\r\n", "\n"), child.wait().unwrap().code())
}

fn server() -> Server {
    let server = Server::start(&[]);
    for (target, label) in
        [("a:1", "short"), ("b.example.org:9100", "very long, so that the line does not fit into it")]
    {
        let body = format!(
            r#"{{"static_config": {{"targets": ["{target}"], "labels": {{"x": "{label}"}}, "target_group": "g"}}}}"#
        );
        server.register(body);
    }
    server
}

#[test]
fn a_table_has_a_header_and_fits_the_terminal() {
    let server = server();
    let (screen, code) = on_terminal(&Cli::of(&server), &[], &["list"]);
    assert_eq!(code, Some(0), "{screen}");
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines.len(), 3, "{screen}");
    assert!(
        lines[0].contains("\u{1b}[1m") && lines[0].contains("TARGETS ") && lines[0].contains("GROUP"),
        "{screen:?}"
    );
    assert!(lines[0].trim_end_matches("\u{1b}[0m").ends_with("ID") && !screen.contains("MODULES"), "{screen:?}");
    let widths: Vec<usize> = lines.iter().map(|line| console::measure_text_width(line)).collect();
    assert!(widths.iter().all(|width| *width <= usize::from(COLUMNS)), "{widths:?} {screen}");
    assert!(
        lines[1].starts_with("a:1 ") && lines[1].contains("x=short") && lines[1].contains("  6h  ")
            || lines[1].contains("5h59m"),
        "{screen}"
    );
    assert!(lines[2].starts_with("b.example.org:9100 ") && lines[2].contains('…'), "{screen}");
}

#[test]
fn an_ordinary_host_is_seen_whole_on_eighty_columns() {
    let server = Server::start(&[]);
    for number in 1..4 {
        server.register(format!(
            r#"{{"static_config": {{"targets": ["db-0{number}.fra1.example.org:9187"], "labels": {{"dc": "fra1"}}, "target_group": "databases"}}}}"#
        ));
    }
    let (screen, code) = on_terminal(&Cli::of(&server), &[("COLUMNS_OF_TEST", "80")], &["list"]);
    assert_eq!(code, Some(0), "{screen}");
    for (number, line) in screen.lines().skip(1).enumerate() {
        for word in [&*format!("db-0{}.fra1.example.org:9187", number + 1), "databases", "dc=fra1"] {
            assert!(line.contains(word), "{word}: {screen}");
        }
        assert!(line.contains("  6h  ") || line.contains("5h59m"), "{screen}");
        assert!(console::measure_text_width(line) <= 80, "{screen}");
    }
    let (wide, _) = on_terminal(&Cli::of(&server), &[("COLUMNS_OF_TEST", "20")], &["list", "-o", "wide"]);
    assert!(wide.lines().skip(1).all(|line| line.contains("9187") && line.len() > 80 && !line.contains('…')), "{wide}");
    // One long name among them does not cost the others theirs.
    server.register(format!(
        r#"{{"static_config": {{"targets": ["{}:1"], "labels": {{"dc": "fra1"}}, "target_group": "{}"}}}}"#,
        "t".repeat(70),
        "z".repeat(70)
    ));
    let (screen, _) = on_terminal(&Cli::of(&server), &[("COLUMNS_OF_TEST", "80")], &["list"]);
    for word in ["db-01.fra1.example.org:9187 ", "databases", "dc=fra1"] {
        assert!(screen.lines().nth(1).unwrap().contains(word), "{word}: {screen}");
    }
    assert!(screen.lines().nth(4).unwrap().contains('…'), "{screen}");
    let (groups, _) = on_terminal(&Cli::of(&server), &[("COLUMNS_OF_TEST", "80")], &["groups"]);
    assert!(groups.contains("NEXT EXPIRY"), "{groups}");
    let (help, _) = on_terminal(&Cli::of(&server), &[("COLUMNS_OF_TEST", "80")], &["list", "-h"]);
    assert!(help.lines().all(|line| console::measure_text_width(line) <= 80), "{help}");
}

#[test]
fn status_is_a_summary_for_people() {
    let server = server();
    let (screen, code) = on_terminal(&Cli::of(&server), &[], &["status"]);
    assert_eq!(code, Some(0), "{screen}");
    for words in ["embedded, well", "2 registrations in 1 group", "2 within 6h", "0 late", "Wrong"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
}

#[test]
fn without_colours_it_is_plain_text() {
    let server = server();
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (screen, _) = on_terminal(&Cli::of(&server), &[environment], &["list"]);
        assert!(screen.contains("GROUP") && !screen.contains('\u{1b}'), "{environment:?}: {screen:?}");
    }
}

#[test]
fn a_pipe_gets_lines_with_tabs_and_nothing_else() {
    let server = server();
    let listed = Cli::of(&server).ends_with(0, &["list"]);
    let mut lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    lines.sort_by_key(|line| line[0]);
    assert_eq!(lines.len(), 2, "{listed}");
    assert_eq!(lines[1].len(), 6, "{listed}");
    assert_eq!(lines[1][..3], ["b.example.org:9100", "g", "x=\"very long, so that the line does not fit into it\""]);
    assert!(!listed.contains('\u{1b}') && !listed.contains('…'), "{listed}");
}

#[test]
fn differences_are_coloured_as_usual() {
    let server = server();
    let cli = Cli::of(&server);
    let file = cli.write("f.yaml", "- targets: [a:1]\n  labels: {x: other}\n");
    let (screen, code) = on_terminal(&cli, &[], &["diff", "-g", "g", file.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("\u{1b}[31m-label x=\"short\"\u{1b}[0m"), "{screen:?}");
    assert!(screen.contains("\u{1b}[32m+label x=\"other\"\u{1b}[0m"), "{screen:?}");
    assert!(screen.contains("0 to create, 1 to change, 0 unchanged, 1 to delete"), "{screen}");
}

#[test]
fn an_import_shows_how_far_it_is() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let list: Vec<String> = (0..5000).map(|number| format!(r#"{{"targets": ["h{number}:1"]}}"#)).collect();
    let file = cli.write("f.json", format!("[{}]", list.join(",")));
    let (screen, code) = on_terminal(&cli, &[], &["import", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("/5000 ") && screen.contains('█'), "{screen:?}");
    assert!(screen.contains("5000 of 5000 registered in "), "{screen:?}");
}

#[test]
fn what_servers_say_does_nothing_to_the_terminal() {
    let server = Server::start(&[]);
    let evil = "\\u001b]0;owned\\u0007\\u009b31m\\u202eabc";
    server.register(format!(
        r#"{{"static_config": {{"targets": ["a:1"], "labels": {{"x": "{evil}"}}, "target_group": "g{evil}"}}}}"#
    ));
    let cli = Cli::of(&server);
    let id = inventor::registration::TargetId::of(&["a:1".to_owned()]).to_string();
    for command in
        [&["list"][..], &["groups"], &["get", &id], &["list", "-o", "json"], &["list", "-o", "yaml"], &["export"]]
    {
        let (screen, code) = on_terminal(&cli, &[("NO_COLOR", "1")], command);
        assert_eq!(code, Some(0), "{command:?}: {screen:?}");
        let odd: Vec<char> = screen.chars().filter(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}')).collect();
        assert!(odd.is_empty(), "{command:?}: {odd:?} in {screen:?}");
    }
    let file = cli.write("f.json", "[]");
    let (screen, _) = on_terminal(&cli, &[("NO_COLOR", "1")], &["diff", "-g", "\u{1b}[31m", file.to_str().unwrap()]);
    assert!(!screen.contains('\u{1b}'), "{screen:?}");
}

#[test]
fn a_command_that_was_stopped_while_it_waits_goes_on() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("slow.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut list = Cli::at(&format!("unix:{}", path.display())).start(&["list"]);
    let (mut client, _) = listener.accept().unwrap();
    let _request = client.read(&mut [0; 4096]).unwrap();
    eventually(SOON, || state(&list) == 'S');
    list.signal(Signal::SIGSTOP);
    eventually(SOON, || state(&list) == 'T');
    list.signal(Signal::SIGCONT);
    eventually(SOON, || state(&list) == 'S');
    let body = r#"{"registrations":[],"total":0}"#;
    write!(client, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    assert_eq!(list.wait().code(), Some(0), "{:?}", list.stderr());
}

/// What the system says a process does: it sleeps (S), or is stopped (T).
fn state(process: &Process) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    stat.rsplit(") ").next().and_then(|fields| fields.chars().next()).unwrap()
}
