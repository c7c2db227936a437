//! The rules of the house that no compiler knows: who may know whom, how long files are, what documents have to say.

mod documents;
mod examples;
mod rules;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use self::sources::{Source, Sources};

struct File {
    /// Relative to the root of the project.
    path: String,
    text: String,
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

fn sources(directories: &[&str]) -> Sources {
    let mut files = files(directories);
    files.retain(|file| file.path.ends_with(".rs"));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!files.is_empty(), "there are sources in {directories:?}");
    Sources(files.iter().map(|file| Source::parse(&file.path, &file.text)).collect())
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[track_caller]
fn assert_all(directories: &[&str], rule: fn(&Source) -> Vec<String>) {
    let faults: Vec<String> = sources(directories).0.iter().flat_map(rule).collect();
    assert_none(&faults);
}

#[test]
fn each_library_has_one_place() {
    assert_none(&rules::each_library_has_one_place(&sources(&["src"])));
}

#[test]
fn dependencies_have_one_direction() {
    assert_none(&rules::dependencies_have_one_direction(&sources(&["src"])));
}

#[test]
fn nothing_goes_in_circles() {
    assert_none(&rules::nothing_goes_in_circles(&sources(&["src"])));
}

#[test]
fn files_are_short_and_say_what_they_hold() {
    assert_all(&["src", "tests"], rules::files_are_short_and_say_what_they_hold);
}

#[test]
fn comments_say_more_than_names() {
    let mut faults: Vec<String> = sources(&["src"]).0.iter().flat_map(rules::comments_say_more_than_names).collect();
    // There comments are the help of the command line.
    faults.retain(|fault| !fault.starts_with("src/config/commands"));
    assert_none(&faults);
}

#[test]
fn no_test_is_left_out() {
    assert_all(&["src", "tests"], rules::no_test_is_left_out);
}

#[test]
fn no_async_runtime_is_linked() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for runtime in ["tokio", "async-std", "smol", "hyper", "mio"] {
        assert!(!lock.contains(&format!("name = \"{runtime}\"\n")), "{runtime} is in Cargo.lock");
    }
}
