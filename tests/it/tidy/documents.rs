//! What the texts beside the code have to say, and what they must not.

use std::collections::BTreeMap;

use inventor::config::VARIABLES;

use super::{File, assert_none, files};
use crate::documents::table;
use crate::eventually::{SOON, eventually};
use crate::redis_server::RedisServer;
use crate::server::{Server, Setup};
use crate::tls::TlsServer;

#[test]
fn the_documents_show_each_variable_as_the_program_does() {
    let rows: Vec<String> =
        table("| variable | default | meaning |").into_iter().map(|row| row.replace('`', "")).collect();
    let expected: Vec<String> = VARIABLES
        .iter()
        .map(|variable| match variable.default {
            Some(default) => format!("| {} | {default} | {} |", variable.name, variable.help),
            None => format!("| {} | | {} |", variable.name, variable.help),
        })
        .collect();
    assert_eq!(rows, expected);

    let help = Setup::new().argument("serve").argument("--help").run().stdout;
    for variable in VARIABLES {
        assert!(help.contains(&format!("[env: {}]", variable.name)), "{} is missing in:\n{help}", variable.name);
    }
}

/// Metrics with the names of their labels; what every process has is one entry.
type Metrics = BTreeMap<String, Vec<String>>;

/// The metrics in this text.
fn shown_in(text: &str) -> Metrics {
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names
        .map(|name| match name.starts_with("process_") {
            true => ("process_*".to_owned(), Vec::new()),
            false => (name.to_owned(), labels_of(text, name)),
        })
        .collect()
}

/// The labels of the first series of this metric.
#[track_caller]
fn labels_of(text: &str, name: &str) -> Vec<String> {
    let mut series = text.lines().filter_map(|line| line.strip_prefix(name));
    let first = series.find(|rest| !rest.starts_with(' ') || !rest.is_empty()).expect("a metric has a series");
    let labels = first.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
    let mut names: Vec<String> =
        labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect();
    names.retain(|name| name != "le");
    names.sort();
    names
}

/// The metrics in the first column of the documents' table, such as `` `a`, `b{x,y}` ``.
fn written_down() -> Metrics {
    let rows = table("| metric | what it says |");
    let cells = rows.iter().flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2));
    cells
        .map(|metric| {
            let (name, labels) = metric.trim_end_matches('}').split_once('{').unwrap_or((metric, ""));
            let mut labels: Vec<String> = labels.split_terminator(',').map(str::to_owned).collect();
            labels.sort();
            (name.to_owned(), labels)
        })
        .collect()
}

#[test]
fn the_documents_have_each_metric_with_its_labels_and_no_other() {
    let redis = RedisServer::start();
    let embedded = Server::start(&[]);
    let replica = Setup::new().env("REDIS_URL", &redis.url()).start();
    let mut shown = Metrics::new();
    for server in [&embedded, &replica] {
        eventually(SOON, || server.get("/-/ready").status == 200);
        server.register(r#"{"static_config":{"targets":["a:1"]}}"#);
        server.get("/discover").has_status(200, "/discover");
        shown.extend(shown_in(server.get("/metrics").text()));
    }
    shown.extend(shown_in(&TlsServer::start(&[]).curl("/metrics", &[]).1));
    assert_eq!(written_down(), shown);
}

/// Places of the machine on which somebody worked. Documents may say what to do in a directory for temporary files.
fn machine_places(file: &File) -> Vec<String> {
    let mut places = vec![concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    let is_document = [".md", ".yaml", ".yml"].iter().any(|ending| file.path.ends_with(ending));
    if !is_document {
        places.push(concat!("/tmp", "/"));
    }
    places.retain(|place| file.text.contains(place));
    places.iter().map(|place| format!("{} names {place}", file.path)).collect()
}

#[test]
fn no_file_names_a_place_on_some_machine() {
    let faults: Vec<String> = files(&["."]).iter().flat_map(machine_places).collect();
    assert_none(&faults);
}

#[test]
fn a_place_on_some_machine_is_found() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let temporary = concat!("cat /tm", "p/file");
    assert_eq!(machine_places(&file("README.md", temporary)), Vec::<String>::new());
    assert_eq!(machine_places(&file("tests/it/put.rs", temporary)), [concat!("tests/it/put.rs names /tm", "p/")]);
    let own = concat!("cat /ho", "me/file");
    assert_eq!(machine_places(&file("README.md", own)), [concat!("README.md names /ho", "me/")]);
}
