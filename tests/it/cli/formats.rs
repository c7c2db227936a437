//! Files of registrations: what they are, their content says; and `check`, which says what is wrong in them.

use std::fs;

use super::{Cli, listed};
use crate::server::Server;

#[test]
fn what_a_file_is_its_content_says() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    for (content, targets) in [
        (r#"[{"targets": ["a:1"], "labels": {"x": "y"}}, {"targets": ["b:1"]}]"#, &["a:1", "b:1"][..]),
        (r#"{"targets": ["a:1"], "labels": null}"#, &["a:1"]),
        (r#"{"Static_Config": {"targets": ["a:1"], "id": "x", "target_group": ""}, "target_group": ""}"#, &["a:1"]),
        (r#"[{"static_config": {"targets": ["a:1"]}}, {"static_config": {"targets": ["b:1"]}}]"#, &["a:1", "b:1"]),
        ("{\"targets\": [\"a:1\"]}\n{\"static_config\": {\"targets\": [\"b:1\"]}}\n", &["a:1", "b:1"]),
        ("\u{feff}  [{\"targets\": [\"a:1\"]}]", &["a:1"]),
        ("- targets: [a:1, 'a:2']\n  labels: {port: 9100, up: yes, version: 1.10, empty: }\n", &["a:1", "a:2"]),
        ("targets:\n- a:1\n", &["a:1"]),
        ("static_config:\n  targets: [a:1]\n  something: else\n", &["a:1"]),
        ("# one\n---\n- targets: [a:1]\n---\n- static_config: {targets: [b:1], target_group: g}\n", &["a:1", "b:1"]),
    ] {
        let file = cli.write("file", content);
        let file = file.to_str().unwrap();
        assert!(cli.ends_with(0, &["check", file]).contains("registration"), "{content}");
        cli.ends_with(0, &["register", file]);
        assert_eq!(listed(&server), targets, "{content}");
        cli.ends_with(0, &["deregister", file]);
    }
}

#[test]
fn scalars_of_yaml_are_the_text_that_was_written() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file =
        cli.write("f.yaml", "- targets: [a:1]\n  labels: {port: 9100, up: yes, version: 1.10, empty: , n: 0x1F}\n");
    cli.ends_with(0, &["register", file.to_str().unwrap()]);
    let labels = server.discover()[0]["labels"].to_string();
    assert_eq!(labels, r#"{"empty":"","n":"0x1F","port":"9100","up":"yes","version":"1.10"}"#);
}

#[test]
fn check_says_what_the_server_would_refuse_and_so_does_the_server() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    for (content, word) in [
        ("", "holds nothing"),
        ("[", "EOF"),
        ("[{\"targets\": [\"a:1\"]}", "EOF"),
        ("hello", "expected"),
        (r#"[{"targets": []}]"#, "targets"),
        (r#"[{"targets": [""]}]"#, "targets"),
        (r#"[{"targets": ["a:1"], "lables": {}}]"#, "lables"),
        (r#"[{"targets": ["a:1"], "labels": {"a-b": "x"}}]"#, "a-b"),
        (r#"[{"targets": ["a:1"], "labels": {"a": 1}}]"#, "labels"),
        (r#"[{"targets": ["a:1"], "ttl_seconds": -1}]"#, "ttl_seconds"),
        ("[5]", "expected an object"),
        ("- targets: [a:1]\n  lables: {}\n", "lables"),
        ("- targets: a:1\n", "line 1"),
    ] {
        let file = cli.write("file", content);
        let file = file.to_str().unwrap();
        cli.fails_with(1, &["check", file], &[file, word]);
        let outcome = cli.run(&["register", file]);
        assert!(matches!(outcome.code, Some(1 | 2)), "{content}: {outcome:?}");
    }
    let outcome = cli.run(&["check", "missing"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
}

#[test]
fn check_names_every_entry_that_is_wrong_and_what_prometheus_would_drop() {
    let cli = Cli::at("http://127.0.0.1:1");
    let file = cli.write(
        "f.json",
        r#"[{"targets": ["a:1"]}, {"targets": []}, {"targets": ["c:1"]}, {"targets": ["d:1"], "labels": {"a-b": "x"}},
            {"targets": ["a:1"]}, {"targets": ["e:1"], "labels": {"__scheme__": "ftp"}}]"#,
    );
    let file = file.to_str().unwrap();
    cli.fails_with(
        1,
        &["check", file],
        &[
            "line 1, entry 2: targets",
            "line 1, entry 4: labels",
            "line 2, entry 6: labels: __scheme__",
            "already",
            "3 entries",
        ],
    );
    let names = ["check", "--label-names", "utf8", file];
    cli.fails_with(1, &names, &["entry 2", "2 entries"]);
}

#[test]
fn standard_input_is_a_file_as_well() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    fs::write(cli.path("f"), r#"[{"targets": ["a:1"]}]"#).unwrap();
    let piped = Cli { setup: cli.setup.clone().after("exec < f") };
    piped.ends_with(0, &["register", "-"]);
    assert_eq!(listed(&server), ["a:1"]);
}
