//! `import`: many registrations, from files and from lists of other servers.

use std::fmt::Write;

use nix::sys::signal::Signal;

use super::{Cli, listed};
use crate::eventually::{SOON, eventually};
use crate::server::Server;
use crate::stand_in::StandIn;

fn many(count: usize) -> String {
    let mut list = String::from("[");
    for number in 0..count {
        let comma = if number > 0 { "," } else { "" };
        write!(list, r#"{comma}{{"targets": ["host{number:05}:9100"], "labels": {{"n": "{number}"}}}}"#).unwrap();
    }
    list + "]"
}

#[test]
fn everything_is_registered_and_a_second_time_nothing_changes() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file = cli.write("f.json", many(2500));
    let file = file.to_str().unwrap();
    let plan = cli.ends_with(0, &["import", "--dry-run", "-g", "node", file]);
    assert!(plan.contains("2500 to create, 0 to change, 0 unchanged, 0 to delete"), "{plan}");
    assert!(listed(&server).is_empty(), "a dry run registers nothing");
    let first = cli.ends_with(0, &["import", "-g", "node", file]);
    assert!(first.contains("2500 of 2500 registered in "), "{first}");
    assert_eq!(listed(&server).len(), 2500);
    let again = cli.ends_with(0, &["import", "-g", "node", file]);
    assert!(again.contains("0 to create, 0 to change, 2500 unchanged, 0 to delete"), "{again}");
    let moved = cli.ends_with(0, &["import", "--dry-run", "-g", "other", file]);
    assert!(moved.contains("0 to create, 2500 to change"), "{moved}");
    assert!(moved.contains("-group=\"node\"\n+group=\"other\""), "{}", &moved[..500]);
}

#[test]
fn what_is_refused_is_named_and_the_rest_is_registered() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file = cli.write(
        "f.json",
        r#"[{"targets": ["a:1"]}, {"targets": []}, {"targets": ["b:1"], "labels": {"a-b": "x"}}, {"targets": ["c:1"]},
            {"targets": ["a:1"], "labels": {"x": "y"}}]"#,
    );
    let file = file.to_str().unwrap();
    let entry = format!("{file}: entry 2: ");
    cli.fails_with(
        2,
        &["import", file],
        &[&entry, "targets", "b:1: ", "a-b", "a:1: is there twice", "3 entries are refused"],
    );
    assert_eq!(listed(&server), ["a:1", "c:1"]);
    cli.env("INVENTOR_TOKEN", "wrong").fails_with(2, &["import", file], &["token"]);
    cli.fails_with(2, &["import", cli.write("broken", "[").to_str().unwrap()], &["broken", "EOF"]);
    cli.fails_with(2, &["import", "missing"], &["missing"]);
}

#[test]
fn another_servers_list_becomes_registrations_with_their_modules() {
    let old = Server::start(&[]);
    for target in ["a:1", "b:1"] {
        old.register(format!(
            r#"{{"static_config": {{"targets": ["{target}"], "labels": {{"x": "y"}}, "modules": ["m", "n"]}}}}"#
        ));
    }
    old.register(r#"{"static_config": {"targets": ["c:1"], "target_group": "g"}}"#);
    let new = Server::start(&[]);
    let cli = Cli::of(&new);
    cli.ends_with(0, &["import", &format!("http://{}/discover", old.address())]);
    assert_eq!(new.get("/discover").text(), old.get("/discover").text());
    cli.fails_with(3, &["import", "http://127.0.0.1:1/discover"], &["http://127.0.0.1:1/discover"]);
    cli.fails_with(3, &["import", &format!("http://{}/nothing", old.address())], &["/nothing", "404"]);
}

/// What they answer to, as their sources have it: Nacos' `PrometheusUtils`, and `TargetGroup` of postfinance/discovery.
#[test]
fn the_lists_of_other_registries_become_registrations() {
    let others = StandIn::start(|path| {
        let list = match path {
            "/nacos/prometheus/namespaceId/public/service/orders" => {
                r#"[{"targets":["10.0.0.1:8080"],"labels":{"__meta_clusterName":"DEFAULT","preserved_register_source":"SPRING_CLOUD"}},
                    {"targets":["10.0.0.2:8080"],"labels":{"__meta_clusterName":"DEFAULT"}}]"#
            }
            "/v1/sd/prometheus1.example.com/default" => {
                r#"[{"targets":["example.com"],"labels":{"__metrics_path__":"/metrics","__scheme__":"http","instance":"example.com","job":"example","label1":"value1"}},
                    {"targets":["example.com"],"labels":{"__metrics_path__":"/other","__scheme__":"http","instance":"example.com","job":"other"}}]"#
            }
            "/v1/sd/prometheus1.example.com/default-blackbox?config=blackbox" => {
                r#"[{"targets":["http://blackbox.example.com"],"labels":{}}]"#
            }
            _ => return None,
        };
        Some(("application/json", list))
    });
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let url = |path: &str| format!("http://{}{path}", others.address());
    cli.ends_with(0, &["import", "-g", "orders", &url("/nacos/prometheus/namespaceId/public/service/orders")]);
    let twice = ["import", "-g", "default", &url("/v1/sd/prometheus1.example.com/default")];
    cli.fails_with(2, &twice, &["example.com: is there twice", "1 entry is refused"]);
    let blackbox = url("/v1/sd/prometheus1.example.com/default-blackbox?config=blackbox");
    cli.ends_with(0, &["import", "-g", "blackbox", &blackbox]);
    assert_eq!(listed(&server), ["10.0.0.1:8080", "10.0.0.2:8080", "example.com", "http://blackbox.example.com"]);
    let imported = server.get("/sd?group=default").json()[0]["labels"].clone();
    assert_eq!((&imported["job"], &imported["__metrics_path__"]), (&"example".into(), &"/metrics".into()));
    cli.fails_with(3, &["import", &url("/nacos/other")], &["404"]);
}

#[test]
fn a_source_that_wants_a_token_gets_its_own_and_no_other() {
    let old = Server::start(&[("SD_TOKEN", "of the source")]);
    old.register(r#"{"static_config": {"targets": ["a:1"], "target_group": "g"}}"#);
    let new = Server::start(&[]);
    let cli = Cli::of(&new);
    let url = format!("http://{}/sd", old.address());
    cli.fails_with(2, &["import", &url], &["401", "--source-token-file"]);
    let token = cli.write("source-token", "of the source\n");
    cli.ends_with(0, &["import", &url, "--source-token-file", token.to_str().unwrap()]);
    assert_eq!(
        new.get("/group?name=g").text(),
        old.send(&crate::client::Request::new("GET", "/group?name=g").header("x-sd-token", "of the source")).text()
    );
    // In a file, these labels are what somebody has registered.
    let file = cli.write(
        "f.json",
        r#"[{"targets": ["b:1"], "labels": {"__meta_inventor_group": "x", "__meta_inventor_sd_module": "m"}}]"#,
    );
    cli.ends_with(0, &["import", file.to_str().unwrap()]);
    let list = new.discover();
    let found = list.iter().find(|entry| entry["targets"][0] == "b:1").unwrap();
    assert_eq!(found["labels"].as_object().unwrap().len(), 2, "{found}");
}

#[test]
fn interrupted_while_it_compares_it_says_that_nothing_was_done() {
    let server = Server::start(&[]);
    let between = super::between::Between::before(&server);
    let cli = Cli::at(&between.url());
    server.register(r#"{"static_config": {"targets": ["x:1"]}}"#);
    // A page that never ends: each leads to the next.
    between.says(
        "200 OK",
        "application/json",
        r#"{"registrations":[{"id":"7214ebb0-ab3e-513a-bafe-fb6b460c2cfa","targets":["x:1"],"labels":{},"target_group":"g"}],"total":9,"next_page_token":"x"}"#,
    );
    let file = cli.write("f.json", many(10));
    let mut import = cli.start(&["import", file.to_str().unwrap()]);
    eventually(SOON, || between.heard().len() > 3);
    import.signal(Signal::SIGINT);
    assert_eq!(eventually_ends(&mut import), Some(130), "{:?}", import.stderr());
    assert!(import.stderr().join(" ").contains("interrupted: nothing was registered"), "{:?}", import.stderr());
}

#[test]
fn a_server_that_fails_for_good_ends_it_and_says_how_far_it_came() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file = cli.write("f.json", many(60_000));
    let mut import = cli.start(&["import", file.to_str().unwrap()]);
    eventually(SOON, || server.get("/discover").body.len() > 10_000);
    drop(server);
    let code = eventually_ends(&mut import);
    assert_eq!(code, Some(3), "{:?}", import.stderr());
    let said = import.stderr().join("\n");
    assert!(said.contains(" of 60000 are registered; run it again"), "{said}");
}

#[test]
fn interrupted_it_says_what_was_done() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file = cli.write("f.json", many(60_000));
    let mut import = cli.start(&["import", file.to_str().unwrap()]);
    eventually(SOON, || server.get("/discover").body.len() > 10_000);
    import.signal(Signal::SIGINT);
    assert_eq!(eventually_ends(&mut import), Some(130), "{:?}", import.stderr());
    let said = import.stderr().join("\n");
    let registered = said.split("interrupted: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    assert_eq!(listed(&server).len().to_string(), registered, "{said}");
}

/// The exit code, which takes its time while the server is given some to come back.
#[track_caller]
fn eventually_ends(import: &mut crate::process::Process) -> Option<i32> {
    eventually(3 * SOON, || !import.is_running());
    import.wait().code()
}
