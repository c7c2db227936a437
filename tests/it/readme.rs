//! The README tells the truth: its commands print what it says, and its configurations are accepted.
//! In its `console` blocks a line that starts with `$ ` is a command, and the lines up to the next are its output.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::server::Server;

#[track_caller]
fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    fs::read_to_string(path).expect("there is a README")
}

/// The texts of the README's fenced blocks of this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = readme();
    let fences: Vec<&str> = readme.split("\n```").collect();
    // Text and blocks take turns; a block begins with its language.
    let blocks = fences.iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks.filter(|(name, _)| *name == language).map(|(_, text)| text.to_owned()).collect()
}

/// The relabelling that makes one target of each module, as lines of a Prometheus job.
#[track_caller]
pub(crate) fn relabelling() -> String {
    let block = blocks("yaml").into_iter().find(|block| block.contains("__meta_inventor_sd_module"));
    let block = block.expect("the README shows how modules are relabelled");
    let lines = block.lines().skip_while(|line| line.trim() != "relabel_configs:");
    lines.map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect()
}

/// The query for what was there an hour ago and is gone, with another time than that.
#[track_caller]
pub(crate) fn vanished_since(seconds: f64) -> String {
    let block = blocks("promql").into_iter().find(|block| block.contains("offset 1h"));
    let query = block.expect("the README shows how to ask for what has vanished");
    query.trim().replace("1h", &format!("{:.0}ms", 1000.0 * seconds))
}

/// A command of a `console` block, and what it prints.
struct Example {
    command: String,
    output: String,
}

#[track_caller]
fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for block in blocks("console") {
        let mut command_goes_on = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                examples.push(Example { command: command.to_owned(), output: String::new() });
            } else {
                let example = examples.last_mut().expect("a block begins with a command");
                let text = if command_goes_on { &mut example.command } else { &mut example.output };
                text.extend(["\n", line]);
            }
            command_goes_on = line.ends_with('\\') && (command_goes_on || line.starts_with("$ "));
        }
    }
    examples
}

/// Replaces the digits after each `"updated_at":"`, which differ from run to run.
fn without_times(text: &str) -> String {
    let mut parts = text.split("\"updated_at\":\"");
    let first = parts.next().unwrap_or_default().to_owned();
    let masked =
        parts.map(|part| format!("\"updated_at\":\"TIME{}", part.trim_start_matches(|c: char| c.is_ascii_digit())));
    first + &masked.collect::<String>()
}

#[test]
fn the_commands_print_what_the_readme_says() {
    let server = Server::start(&[]);
    let examples = examples();
    assert!(examples.len() >= 3, "the README has {} examples", examples.len());
    let binary = Path::new(env!("CARGO_BIN_EXE_inventor")).parent().expect("it is in a directory");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    for Example { command, output } in examples {
        let real = command.replace("localhost:9101", &server.address().to_string());
        let mut bash = Command::new("bash");
        bash.args(["-c", &real]).env("PATH", &path).env("INVENTOR_TOKEN", "secret");
        bash.env("INVENTOR_URL", format!("http://{}", server.address()));
        let ran = bash.output().expect("bash is installed");
        let (printed, complaints) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{command}\nends with {}: {printed}{complaints}", ran.status);
        assert_eq!(without_times(printed.trim()), without_times(output.trim()), "{command}\n{complaints}");
    }
}

#[test]
fn prometheus_accepts_the_configurations() {
    let mut checked = 0;
    for block in blocks("yaml") {
        let what = if block.starts_with("groups:") { "rules" } else { "config" };
        if what == "config" && !block.contains("scrape_configs:") {
            continue;
        }
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("block.yml");
        fs::write(&file, &block).unwrap();
        let promtool =
            Command::new("promtool").arg("check").arg(what).arg(&file).output().expect("promtool is installed");
        let complaints = [promtool.stdout, promtool.stderr].concat();
        assert!(promtool.status.success(), "{block}\n{}", String::from_utf8_lossy(&complaints));
        checked += 1;
    }
    assert!(checked >= 2, "the README has {checked} configurations for Prometheus");
}

#[test]
fn the_table_of_contents_has_each_section() {
    let readme = readme();
    let sections = readme.lines().filter_map(|line| line.strip_prefix("## "));
    let (before, _) = readme.split_once("\n## ").expect("there are sections");
    let mut contents = before.lines().filter_map(|line| line.strip_prefix("- ["));
    for section in sections {
        let link = format!("{section}](#{})", section.to_lowercase().replace(' ', "-"));
        assert!(contents.any(|line| line.starts_with(&link)), "{section} is missing in the contents, or out of order");
    }
}

#[test]
fn every_curl_of_the_readme_can_be_tried() {
    for language in ["sh", "bash", "shell", ""] {
        for block in blocks(language) {
            let tried = !block.lines().any(|line| line.starts_with("curl ") || line.starts_with("$ curl "));
            assert!(tried, "a curl line outside of a console block is never run:\n{block}");
        }
    }
}
