//! The commands that need more than the paths of the original: list, get, groups, status, sync, diff, export.

use serde_json::{Value, json};

use super::{Cli, listed};
use crate::eventually::{SOON, eventually};
use crate::server::Server;

fn body(target: &str, group: &str, label: &str) -> String {
    format!(
        r#"{{"static_config": {{"targets": ["{target}"], "labels": {{"x": "{label}"}}, "target_group": "{group}"}}}}"#
    )
}

#[track_caller]
fn json_of(cli: &Cli, arguments: &[&str]) -> Value {
    let text = cli.ends_with(0, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
}

#[test]
fn registrations_are_listed_by_group_selector_and_words() {
    let server = Server::start(&[]);
    for (target, group, label) in [("a:1", "g", "one"), ("b:1", "g", "two"), ("c:1", "h", "one")] {
        server.register(body(target, group, label));
    }
    let cli = Cli::of(&server);
    for (arguments, expected) in [
        (&["list"][..], &["a:1", "b:1", "c:1"][..]),
        (&["list", "-g", "g"], &["a:1", "b:1"]),
        (&["list", "-g", "g", "-g", "h"], &["a:1", "b:1", "c:1"]),
        (&["list", "-l", "x=one"], &["a:1", "c:1"]),
        (&["list", "-l", "x in (two,three)"], &["b:1"]),
        (&["list", "-q", "TWO"], &["b:1"]),
        (&["list", "-g", "nothing"], &[]),
    ] {
        let list = json_of(&cli, arguments);
        let mut targets: Vec<&str> =
            list.as_array().unwrap().iter().map(|one| one["targets"][0].as_str().unwrap()).collect();
        targets.sort_unstable();
        assert_eq!(targets, expected, "{arguments:?}");
    }
    cli.fails_with(1, &["list", "-l", "(("], &["the server refuses this"]);
}

#[test]
fn more_registrations_than_a_page_holds_are_all_listed_and_exported() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let entries: Vec<Value> = (0..2300)
        .map(|number| json!({"targets": [format!("h{number}:1")], "modules": ["m"], "target_group": "g", "ttl_seconds": 600}))
        .collect();
    let file = cli.write("f.json", Value::from(entries).to_string());
    cli.ends_with(0, &["import", file.to_str().unwrap()]);
    assert_eq!(json_of(&cli, &["list"]).as_array().unwrap().len(), 2300);
    // What is exported is imported elsewhere as the same.
    let exported = cli.ends_with(0, &["export", "-g", "g"]);
    let other = Server::start(&[]);
    let there = Cli::of(&other);
    let file = there.write("exported.json", exported);
    there.ends_with(0, &["import", file.to_str().unwrap()]);
    assert_eq!(other.get("/group?name=g").text(), server.get("/group?name=g").text());
    let one = &json_of(&there, &["list", "-q", "h17:1"])[0];
    assert_eq!(one["ttl_seconds"], 600);
}

#[test]
fn one_registration_groups_and_status_are_shown() {
    let server = Server::start(&[("TTL_SECONDS", "77")]);
    let id = server.register(body("a:1", "g", "one"));
    let cli = Cli::of(&server);
    assert_eq!(json_of(&cli, &["get", &id])["target_group"], "g");
    assert!(cli.ends_with(0, &["get", &id]).contains("labels.x\tone"));
    assert!(cli.ends_with(0, &["get", &id, "-o", "yaml"]).contains("target_group: g\n"));
    cli.fails_with(1, &["get", "3ebd7d3f-feb7-5a81-aa0d-89c9d0a516ed"], &["no registration", "inventor list"]);
    cli.fails_with(2, &["get", "nonsense"], &["nonsense"]);
    let groups = json_of(&cli, &["groups"]);
    assert_eq!((&groups[0]["name"], &groups[0]["registrations"]), (&json!("g"), &json!(1)));
    assert!(cli.ends_with(0, &["groups"]).starts_with("g\t1\t1\t"));
    assert_eq!(json_of(&cli, &["status"])["default_ttl_seconds"], 77);
    assert!(cli.ends_with(0, &["status"]).contains("store.kind\tembedded"));
}

#[test]
fn sync_makes_a_group_be_what_the_files_say_and_a_second_time_writes_nothing() {
    let server = Server::start(&[]);
    for target in ["changed:1", "deleted:1"] {
        server.register(body(target, "g", "old"));
    }
    server.register(body("kept:1", "g", "new"));
    server.register(body("other:1", "h", "old"));
    let cli = Cli::of(&server);
    let file =
        cli.write("f.yaml", "- targets: [changed:1]\n  labels: {x: new}\n- targets: [kept:1]\n  labels: {x: new}\n");
    let more = cli.write("g.json", r#"[{"targets": ["created:1"], "modules": ["m"]}]"#);
    let files = [file.to_str().unwrap(), more.to_str().unwrap()];
    let with =
        |words: &[&'static str]| -> Vec<String> { words.iter().copied().chain(files).map(str::to_owned).collect() };
    let run = |code, words: &[&'static str]| {
        let arguments = with(words);
        cli.ends_with(code, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let plan = "1 to create, 1 to change, 1 to leave, 1 to delete";
    let differences = "--- g on the server\n+++ g in the files\n";
    let shown = run(1, &["diff", "-g", "g"]);
    assert!(
        shown.starts_with(differences)
            && shown
                .contains("@@ changed:1 @@\n group=\"g\"\n-label x=\"old\"\n+label x=\"new\"\n@@ created:1 @@\n+group")
            && shown.contains(plan),
        "{shown}"
    );
    let dry = run(0, &["sync", "--dry-run", "-g", "g"]);
    assert_eq!(dry, shown, "a dry run shows what diff shows");
    assert_eq!(listed(&server), ["changed:1", "deleted:1", "kept:1", "other:1"], "and does nothing");
    let done = run(0, &["sync", "-g", "g"]);
    assert!(done.ends_with("1 created, 1 changed, 1 left, 1 deleted"), "{done}");
    assert_eq!(listed(&server), ["changed:1", "created:1", "kept:1", "other:1"]);
    // What is logged is read later: a write of its own shows that everything before it has been.
    let writes = |last: &str| {
        let id = server.register(body(last, "h", "new"));
        eventually(SOON, || server.log().iter().any(|line| line.contains("msg=write") && line.contains(&id)));
        server.log().iter().filter(|line| line.contains("msg=write")).count()
    };
    let before = writes("before:1");
    assert_eq!(run(0, &["sync", "-g", "g"]), "0 to create, 0 to change, 3 to leave, 0 to delete");
    assert_eq!(run(0, &["diff", "-g", "g"]), "0 to create, 0 to change, 3 to leave, 0 to delete");
    assert_eq!(writes("after:1"), before + 1, "nothing is written");
}

#[test]
fn sync_takes_nothing_from_others_and_empties_nothing_by_mistake() {
    let server = Server::start(&[]);
    server.register(body("a:1", "theirs", "x"));
    server.register(body("b:1", "g", "x"));
    let cli = Cli::of(&server);
    let file = cli.write("f.json", r#"[{"targets": ["a:1"]}, {"targets": ["b:1"]}]"#);
    let file = file.to_str().unwrap();
    cli.fails_with(1, &["sync", "-g", "g", file], &["--adopt"]);
    cli.fails_with(1, &["sync", "--dry-run", "-g", "g", file], &["--adopt"]);
    cli.ends_with(0, &["sync", "-g", "g", "--adopt", file]);
    assert_eq!(server.get("/group?name=g").json().as_array().unwrap().len(), 2);
    let empty = cli.write("empty.json", "[]");
    let empty = empty.to_str().unwrap();
    cli.fails_with(2, &["sync", "-g", "g", empty], &["--allow-empty"]);
    cli.ends_with(0, &["sync", "-g", "g", "--allow-empty", empty]);
    assert!(listed(&server).is_empty());
    let twice = cli.write("twice.json", r#"[{"targets": ["a:1"]}, {"targets": ["a:1"]}]"#);
    cli.fails_with(2, &["sync", "-g", "g", twice.to_str().unwrap()], &["a:1", "twice"]);
    let other = cli.write("other.json", r#"[{"targets": ["a:1"], "target_group": "h"}]"#);
    cli.fails_with(2, &["sync", "-g", "g", other.to_str().unwrap()], &["h", "g"]);
}

#[test]
fn a_declared_group_lives_as_long_as_it_is_told_to() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file = cli.write("f.json", r#"[{"targets": ["a:1"]}]"#);
    let file = file.to_str().unwrap();
    let ttl = || json_of(&cli, &["list"])[0]["ttl_seconds"].clone();
    cli.ends_with(0, &["sync", "-g", "a group/with all", file]);
    assert_eq!(ttl(), 0);
    cli.ends_with(0, &["sync", "-g", "a group/with all", "--ttl", "10m", file]);
    assert_eq!(ttl(), 600, "it is declared anew, although nothing else changes");
    assert_eq!(json_of(&cli, &["groups"])[0]["name"], "a group/with all");
}

#[test]
fn the_agent_learns_from_the_server_how_long_registrations_live() {
    let server = Server::start(&[("TTL_SECONDS", "3")]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", super::agent::file_sd("a:1"));
    let _agent = cli.start(&["agent", "--dir", "d"]);
    super::agent::lists(&server, &["a:1"]);
    for _ in 0..80 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(listed(&server), ["a:1"], "it is renewed in time");
    }
}

#[test]
fn a_new_token_is_accepted_for_its_groups_alone() {
    let maker = Cli::at("http://127.0.0.1:1");
    let made: Value =
        serde_json::from_str(&maker.run(&["token", "-o", "json", "ci", "write", "a b,c*"]).stdout).unwrap();
    let tokens = maker.write("tokens", format!("{}\n", made["line"].as_str().unwrap()));
    let server = Server::start(&[("TOKENS_FILE", tokens.to_str().unwrap())]);
    let cli = Cli::of(&server).env("INVENTOR_TOKEN", made["secret"].as_str().unwrap());
    for group in ["a b", "c", "cc"] {
        cli.ends_with(0, &["register", "--target", "a:1", "--group", group]);
    }
    cli.fails_with(1, &["register", "--target", "b:1", "--group", "other"], &["does not accept this token for that"]);
    cli.fails_with(1, &["register", "--target", "b:1"], &["does not accept this token for that"]);
    assert_eq!(json_of(&cli, &["list"]).as_array().unwrap().len(), 1, "what may be written may be read");
}
