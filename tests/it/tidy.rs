//! The rules of the house that no compiler knows: who may import whom, how long files and functions are.

use std::fs;
use std::path::{Path, PathBuf};

use inventor::config::VARIABLES;

use crate::server::Setup;

const FILE_LINES_MAX: usize = 450;
const FUNCTION_LINES_MAX: usize = 70;

/// A text that may stand only in the files whose path begins so.
const OWNERS: &[(&str, &[&str])] = &[
    ("tiny_http::", &["src/http/server", "src/http/gate"]),
    ("httparse::", &["src/http/gate"]),
    ("redb::", &["src/store/embedded"]),
    ("redis::", &["src/store/redis", "src/serve.rs"]),
    ("std::env::", &["src/config"]),
    ("dotenvy::", &["src/config"]),
    ("clap::", &["src/config"]),
    ("std::process::exit", &[]),
];

/// Whose files may not name which modules: main -> serve -> http -> registry -> store, and all know registration.
const STRANGERS: &[(&str, &[&str])] = &[
    ("src/registration", &["store", "registry", "http", "serve", "config", "metrics", "logging"]),
    ("src/store", &["registry", "http", "serve", "config"]),
    ("src/registry", &["http", "serve", "config", "store::embedded", "store::redis"]),
    ("src/http", &["serve", "config", "store::embedded", "store::redis"]),
    ("src/metrics", &["store", "registry", "http", "serve", "config", "registration"]),
];

struct File {
    /// Relative to the root of the project.
    path: String,
    text: String,
}

impl File {
    /// The lines that are code, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// All text files below these directories, without what building and running leaves behind.
fn files(directories: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = directories.iter().map(|directory| root.join(directory)).collect();
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        let name = path.strip_prefix(root).expect("everything is below the root").display().to_string();
        if ["target", "data", ".git", ".env"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.push(File { path: name, text });
        }
    }
    files
}

fn sources(directories: &[&str]) -> Vec<File> {
    let mut files = files(directories);
    files.retain(|file| file.path.ends_with(".rs"));
    assert!(!files.is_empty(), "there are sources in {directories:?}");
    files
}

/// Whether the text stands in the line as a path of its own, not as the end of a longer name.
fn names(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn each_library_has_one_place() {
    let mut faults = Vec::new();
    for file in sources(&["src"]) {
        for (text, owners) in OWNERS {
            if owners.iter().any(|owner| file.path.starts_with(owner)) {
                continue;
            }
            faults.extend(
                file.code()
                    .filter(|(_, line)| names(line, text))
                    .map(|(at, _)| format!("{}:{at} uses {text}", file.path)),
            );
        }
    }
    assert_none(&faults);
}

#[test]
fn dependencies_have_one_direction() {
    let mut faults = Vec::new();
    for file in sources(&["src"]) {
        let (_, strangers) = STRANGERS.iter().find(|(part, _)| file.path.starts_with(part)).unwrap_or(&("", &[]));
        for (at, line) in file.code() {
            for stranger in strangers.iter().filter(|stranger| names(line, &format!("crate::{stranger}"))) {
                faults.push(format!("{}:{at} knows {stranger}", file.path));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn files_are_short_and_say_what_they_hold() {
    let mut faults = Vec::new();
    for file in sources(&["src", "tests"]) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{} has {lines} lines", file.path));
        }
        if !file.text.starts_with("//! ") {
            faults.push(format!("{} does not open with what it holds", file.path));
        }
    }
    assert_none(&faults);
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for file in sources(&["src", "tests"]) {
        let mut open: Option<(usize, &str, usize)> = None;
        for (at, line) in file.text.lines().enumerate() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            // The formatter puts the closing brace under the first letter of the item.
            match open {
                Some((start, name, column)) if code == "}" && indent == column => {
                    let lines = at - start + 1;
                    if lines > FUNCTION_LINES_MAX {
                        faults.push(format!("{}:{} has {lines} lines: {name}", file.path, start + 1));
                    }
                    open = None;
                }
                None if is_function(code) && !line.ends_with('}') && !line.ends_with(';') => {
                    open = Some((at, code, indent));
                }
                _ => {}
            }
        }
        assert!(open.is_none(), "{}: the end of {open:?} was not found", file.path);
    }
    assert_none(&faults);
}

fn is_function(code: &str) -> bool {
    // The formatter does not touch what a macro makes, such as `fn $name`.
    code.split_once("fn ").is_some_and(|(before, name)| {
        before.split_whitespace().all(|word| word.starts_with("pub") || word == "const") && !name.starts_with('$')
    })
}

#[test]
fn no_test_is_left_out() {
    let faults: Vec<String> = sources(&["src", "tests"])
        .iter()
        .flat_map(|file| {
            file.code().filter(|(_, line)| line.contains("#[ignore")).map(|(at, _)| format!("{}:{at}", file.path))
        })
        .filter(|place| !place.starts_with("tests/it/tidy.rs"))
        .collect();
    assert_none(&faults);
}

#[test]
fn no_file_names_a_place_on_some_machine() {
    let mut faults = Vec::new();
    for file in files(&["."]) {
        for place in [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/tmp", "/")] {
            if file.text.contains(place) {
                faults.push(format!("{} names {place}", file.path));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn no_async_runtime_is_linked() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for runtime in ["tokio", "async-std", "smol", "hyper", "mio"] {
        assert!(!lock.contains(&format!("name = \"{runtime}\"\n")), "{runtime} is in Cargo.lock");
    }
}

#[test]
fn the_readme_shows_each_variable_as_the_program_does() {
    let readme = files(&["README.md"]).pop().expect("there is a README").text;
    let table = readme.lines().skip_while(|line| *line != "| variable | default | meaning |").skip(2);
    let rows: Vec<String> = table.take_while(|line| line.starts_with('|')).map(|row| row.replace('`', "")).collect();
    let expected: Vec<String> = VARIABLES
        .iter()
        .map(|variable| match variable.default {
            Some(default) => format!("| {} | {default} | {} |", variable.name, variable.help),
            None => format!("| {} | | {} |", variable.name, variable.help),
        })
        .collect();
    assert_eq!(rows, expected);

    let help = Setup::new().argument("--help").run().stdout;
    for variable in VARIABLES {
        assert!(help.contains(&format!("[env: {}]", variable.name)), "{} is missing in:\n{help}", variable.name);
    }
}
