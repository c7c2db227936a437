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
    cli.fails_with(2, &["list", "-l", "(("], &["the server refuses this"]);
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
    let plan = "1 to create, 1 to change, 1 unchanged, 1 to delete";
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
    assert!(done.ends_with("1 created, 1 changed, 1 unchanged, 1 deleted"), "{done}");
    assert_eq!(listed(&server), ["changed:1", "created:1", "kept:1", "other:1"]);
    // What is logged is read later: a write of its own shows that everything before it has been.
    let writes = |last: &str| {
        let id = server.register(body(last, "h", "new"));
        eventually(SOON, || server.log().iter().any(|line| line.contains("msg=write") && line.contains(&id)));
        server.log().iter().filter(|line| line.contains("msg=write")).count()
    };
    let before = writes("before:1");
    assert_eq!(run(0, &["sync", "-g", "g"]), "0 to create, 0 to change, 3 unchanged, 0 to delete");
    assert_eq!(run(0, &["diff", "-g", "g"]), "0 to create, 0 to change, 3 unchanged, 0 to delete");
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
    cli.fails_with(2, &["sync", "-g", "g", file], &["--adopt", "a:1", "f.json:1", "\"theirs\""]);
    cli.fails_with(2, &["sync", "--dry-run", "-g", "g", file], &["--adopt"]);
    let plan = cli.ends_with(0, &["sync", "--dry-run", "--adopt", "-g", "g", file]);
    assert!(plan.contains("@@ a:1 @@ is in the group \"theirs\"") && plan.contains("1 to take over"), "{plan}");
    cli.ends_with(0, &["sync", "-g", "g", "--adopt", file]);
    assert_eq!(server.get("/group?name=g").json().as_array().unwrap().len(), 2);
    let empty = cli.write("empty.json", "[]");
    let empty = empty.to_str().unwrap();
    cli.fails_with(2, &["sync", "-g", "g", empty], &["--allow-empty"]);
    cli.ends_with(0, &["sync", "-g", "g", "--allow-empty", empty]);
    assert!(listed(&server).is_empty());
    for command in ["check", "register", "deregister", "import"] {
        cli.ends_with(0, &[command, empty]);
    }
    let twice = cli.write("twice.json", r#"[{"targets": ["a:1"]}, {"targets": ["a:1"]}]"#);
    cli.fails_with(2, &["sync", "-g", "g", twice.to_str().unwrap()], &["a:1", "twice"]);
    let other = cli.write("other.json", r#"[{"targets": ["a:1"], "target_group": "h"}]"#);
    cli.fails_with(2, &["sync", "-g", "g", other.to_str().unwrap()], &["h", "g"]);
}

#[test]
fn sync_tells_programs_the_plan_and_what_came_of_it() {
    let server = Server::start(&[]);
    for target in ["changed:1", "deleted:1"] {
        server.register(body(target, "g", "old"));
    }
    server.register(body("kept:1", "g", "new"));
    server.register(body("theirs:1", "h", "new"));
    let cli = Cli::of(&server);
    let entry = |target: &str| format!("- targets: [{target}]\n  labels: {{x: new}}\n");
    let file = cli.write("f.yaml", ["changed:1", "kept:1", "created:1", "theirs:1"].map(entry).concat());
    let file = file.to_str().unwrap();
    let differs = cli.run(&["diff", "-g", "g", "-o", "json", file]);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    let differs: Value = serde_json::from_str(&differs.stdout).unwrap();
    assert_eq!((&differs["differs"], &differs["plan"]["unchanged"]), (&json!(true), &json!(1)));
    for (more, result) in [
        (&["--dry-run", "--adopt"][..], json!({"created": 1, "updated": 2, "unchanged": 1, "deleted": 1})),
        (&["--adopt"], json!({"created": 1, "updated": 2, "unchanged": 1, "deleted": 1})),
        (&[], Value::Null),
    ] {
        let told = json_of(&cli, &[&["sync", "-g", "g"], more, &[file]].concat());
        assert_eq!((&told["group"], &told["dry_run"]), (&json!("g"), &json!(more.contains(&"--dry-run"))));
        assert_eq!(told["result"], result, "{told}");
        if result.is_null() {
            assert_eq!(told["plan"], json!({"create": [], "change": [], "unchanged": 4, "delete": [], "adopt": []}));
            continue;
        }
        let plan = &told["plan"];
        assert_eq!(plan["create"][0]["targets"], json!(["created:1"]));
        assert_eq!(
            (&plan["change"][0]["from"]["labels"]["x"], &plan["change"][0]["to"]["labels"]["x"]),
            (&json!("old"), &json!("new"))
        );
        assert_eq!((&plan["unchanged"], &plan["delete"][0]["targets"]), (&json!(1), &json!(["deleted:1"])));
        assert_eq!(plan["adopt"][0]["entry"]["targets"], json!(["theirs:1"]));
        assert!(plan["adopt"][0]["reason"].as_str().unwrap().contains("\"h\""), "{plan}");
    }
    // A fault is told by target, file and line.
    let wrong = cli.write("w.yaml", format!("{}{}", entry("ok:1"), "- targets: [bad:1]\n  labels: {a-b: x}\n"));
    cli.fails_with(2, &["sync", "-g", "g", wrong.to_str().unwrap()], &["w.yaml:3: bad:1", "a-b"]);
}

#[test]
fn a_group_is_deleted_and_what_happens_and_who_polls_is_shown() {
    let server = Server::start(&[]);
    for target in ["a:1", "b:1"] {
        server.register(body(target, "a group", "x"));
    }
    server.register(body("c:1", "h", "x"));
    server.get("/sd?group=h").has_status(200, "a poll");
    let cli = Cli::of(&server);
    let url = format!("http://{}", server.address());
    let delete = ["groups", "delete", "a group", "--url", &url];
    assert_eq!(Cli::at("http://127.0.0.1:1").ends_with(0, &delete), "2 registrations deleted");
    cli.fails_with(1, &["groups", "delete", "a group"], &["has no registration"]);
    assert_eq!(listed(&server), ["c:1"]);
    let changes = json_of(&cli, &["changes", "-g", "a group"]);
    let actions: Vec<&str> = changes.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["registered", "registered", "deleted", "deleted"], "the newest last");
    assert_eq!(json_of(&cli, &["changes", "--limit", "1"]).as_array().unwrap().len(), 1);
    let pollers = json_of(&cli, &["pollers"]);
    assert!(pollers.as_array().unwrap().iter().any(|poller| poller["path"] == json!("/sd?group=h")), "{pollers}");
    let odd = json!({"static_config": {"targets": ["c:1", "d:1"], "labels": {"__scheme__": "ftp"}}});
    let id = server.register(odd.to_string());
    let problems = cli.ends_with(0, &["problems"]);
    assert!(problems.contains("repeated\tc:1\tin 2 registrations of "), "{problems}");
    assert!(problems.contains(&format!("not scraped\t{id}\t__scheme__=ftp: expected http or https")), "{problems}");
    let mut follow = cli.start(&["changes", "--follow", "--limit", "2"]);
    eventually(SOON, || follow.stdout().len() == 2);
    server.register(body("e:1", "h", "x"));
    eventually(SOON, || follow.stdout().len() == 3 && follow.stdout()[2].contains("e:1"));
    assert!(follow.is_running());
}

#[test]
fn a_list_is_sorted_limited_and_of_the_columns_that_are_asked_for() {
    let server = Server::start(&[]);
    for (target, group) in [("b:1", "g"), ("a:1", "h"), ("c:1", "g")] {
        server.register(body(target, group, "x"));
    }
    server.register(json!({"static_config": {"targets": ["d:1"], "target_group": "g", "ttl_seconds": 60}}).to_string());
    let cli = Cli::of(&server);
    for (arguments, expected) in [
        (&[][..], "b:1 c:1 d:1 a:1"),
        (&["--sort", "targets"], "a:1 b:1 c:1 d:1"),
        (&["--sort=-group,-targets"], "a:1 d:1 c:1 b:1"),
        (&["--sort", "expires", "--limit", "1"], "d:1"),
        (&["--sort", "targets", "--limit", "2"], "a:1 b:1"),
        (&["--sort", "ttl,targets"], "d:1 a:1 b:1 c:1"),
        (&["--limit", "1"], "b:1"),
        (&["--limit", "4"], "b:1 c:1 d:1 a:1"),
        (&["--limit", "0"], ""),
        (&["--sort=-group,targets", "--limit", "2"], "a:1 b:1"),
    ] {
        let shown = cli.ends_with(0, &[&["list", "--columns", "targets"], arguments].concat());
        assert_eq!(shown.lines().collect::<Vec<_>>().join(" "), expected, "{arguments:?}");
    }
    let shown = cli.ends_with(0, &["list", "--columns", "ttl,targets", "--sort", "expires", "--limit", "1"]);
    assert_eq!(shown, "60\td:1");
    cli.fails_with(2, &["list", "--sort", "colour"], &["colour", "expected group"]);
    cli.fails_with(2, &["list", "--columns", "colour"], &["colour", "targets"]);
}

/// Texts that files, terminals and shells take for something else.
fn odd_text(random: &mut fastrand::Rng) -> String {
    const PARTS: [&str; 26] = [
        "a",
        "\n",
        "\r\n",
        "\t",
        "\u{1b}[31m",
        "\u{0}",
        "\u{7f}",
        "\u{85}",
        "\u{9b}",
        "\u{a0}",
        "\u{202e}",
        "\u{2028}",
        "\u{feff}",
        "\u{fffd}",
        "\u{e0001}",
        "\u{1f600}",
        "\"",
        "\\",
        "'",
        ": ",
        " #",
        "- ",
        "{",
        "*",
        "yes",
        "0x1F",
    ];
    (0..random.usize(0..6)).map(|_| PARTS[random.usize(..PARTS.len())]).collect()
}

#[test]
fn what_is_exported_is_imported_as_the_same_whatever_the_labels_are() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let mut random = fastrand::Rng::with_seed(22);
    let names = ["__meta_inventor_group", "__meta_inventor_id", "__meta_inventor_sd_module", "y", "null", "n", "_0"];
    for number in 0..150 {
        let labels: serde_json::Map<String, Value> = (0..random.usize(0..5))
            .map(|_| (names[random.usize(..names.len())].to_owned(), Value::from(odd_text(&mut random))))
            .collect();
        let modules: Vec<String> = (0..random.usize(0..3)).map(|_| odd_text(&mut random)).collect();
        let mut entry = json!({"targets": [format!("h{number}:1"), format!("x{}", odd_text(&mut random))], "labels": labels, "modules": modules});
        entry["target_group"] = ["", "g", " g ", "\u{202e}g", "inventor-default"][random.usize(..5)].into();
        if number % 3 == 0 {
            entry["ttl_seconds"] = json!(random.u32(600..90_000));
        }
        server.register(json!({ "static_config": entry }).to_string());
    }
    let everything = |cli: &Cli| -> Vec<Value> {
        let mut list = json_of(cli, &["list"]).as_array().unwrap().clone();
        for one in &mut list {
            let one = one.as_object_mut().unwrap();
            one.retain(|name, _| !["updated_at", "expires_at"].contains(&name.as_str()));
        }
        list.sort_by_key(|one| one["id"].as_str().unwrap().to_owned());
        list
    };
    let before = everything(&cli);
    assert_eq!(before.len(), 150);
    for format in ["json", "yaml"] {
        let other = Server::start(&[]);
        let there = Cli::of(&other);
        let exported = cli.run(&["export", "-o", format]).stdout;
        let odd: Vec<char> = exported.chars().filter(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}')).collect();
        assert!(odd.is_empty(), "{format}: {odd:?}");
        let file = there.write("exported", exported + "\n");
        there.ends_with(0, &["import", file.to_str().unwrap()]);
        assert_eq!(everything(&there), before, "{format}");
    }
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
    cli.fails_with(2, &["register", "--target", "b:1", "--group", "other"], &["does not accept this token for that"]);
    cli.fails_with(2, &["register", "--target", "b:1"], &["does not accept this token for that"]);
    assert_eq!(json_of(&cli, &["list"]).as_array().unwrap().len(), 1, "what may be written may be read");
}
