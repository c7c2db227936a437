//! The documents tell the truth: their commands print what they say, their configurations are accepted, their links lead
//! somewhere. In `console` blocks a line that starts with `$ ` is a command, and the lines up to the next are its output.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::Server;

/// A text of the project in Markdown.
struct Document {
    /// Relative to the root of the project.
    path: String,
    text: String,
}

#[track_caller]
fn document(path: &str) -> Document {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"));
    Document { path: path.to_owned(), text }
}

/// The README and what is in docs/: whatever their blocks say is tried.
fn tried() -> Vec<Document> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut names: Vec<String> = fs::read_dir(docs)
        .expect("there is docs/")
        .map(|entry| entry.unwrap().file_name().into_string().expect("its names are UTF-8"))
        .collect();
    names.sort();
    let docs = names.iter().map(|name| document(&format!("docs/{name}")));
    [document("README.md")].into_iter().chain(docs).collect()
}

/// The first row and those below it of the table with this head, in whichever document has it.
#[track_caller]
pub(crate) fn table(head: &str) -> Vec<String> {
    let documents = tried();
    let of_it = documents.iter().find(|document| document.text.lines().any(|line| line == head));
    let lines = of_it.unwrap_or_else(|| panic!("no document has {head}")).text.lines().skip_while(|line| *line != head);
    lines.skip(2).take_while(|line| line.starts_with('|')).map(str::to_owned).collect()
}

impl Document {
    /// The texts of its fenced blocks of this language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let fences = self.text.split("\n```");
        // Text and blocks take turns; a block begins with its language.
        let blocks = fences.skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
        blocks.filter(|(name, _)| *name == language).map(|(_, text)| text.to_owned()).collect()
    }
}

/// The texts of this document's fenced blocks of this language.
#[track_caller]
pub(crate) fn blocks_of(path: &str, language: &str) -> Vec<String> {
    document(path).blocks(language)
}

fn blocks(language: &str) -> Vec<String> {
    tried().iter().flat_map(|document| document.blocks(language)).collect()
}

/// The relabelling that makes one target of each module, as lines of a Prometheus job.
#[track_caller]
pub(crate) fn relabelling() -> String {
    let block = blocks("yaml").into_iter().find(|block| block.contains("__meta_inventor_sd_module"));
    let block = block.expect("a document shows how modules are relabelled");
    let lines = block.lines().skip_while(|line| line.trim() != "relabel_configs:");
    lines.map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect()
}

/// The query for what was there an hour ago and is gone, with another time than that.
#[track_caller]
pub(crate) fn vanished_since(seconds: f64) -> String {
    let block = blocks("promql").into_iter().find(|block| block.contains("offset 1h"));
    let query = block.expect("a document shows how to ask for what has vanished");
    query.trim().replace("1h", &format!("{:.0}ms", 1000.0 * seconds))
}

/// A command of a `console` block, and what it prints.
struct Example {
    command: String,
    output: String,
}

#[track_caller]
fn examples(document: &Document) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for block in document.blocks("console") {
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
fn the_commands_print_what_the_documents_say() {
    let mut documents = 0;
    for document in tried() {
        if document.blocks("console").is_empty() {
            continue;
        }
        // Each document stands for itself.
        try_examples(&document.path, &Server::start(&[]));
        documents += 1;
    }
    assert!(documents >= 3, "{documents} documents have examples");
}

/// Runs the commands of this document, which print what it says.
#[track_caller]
pub(crate) fn try_examples(path: &str, server: &Server) {
    for example in &examples(&document(path)) {
        try_example(server, path, example);
    }
}

#[track_caller]
fn try_example(server: &Server, path: &str, Example { command, output }: &Example) {
    let binaries = Path::new(env!("CARGO_BIN_EXE_inventor")).parent().expect("it is in a directory");
    let programs = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
    let real = command.replace("localhost:9101", &server.address().to_string());
    let mut bash = Command::new("bash");
    bash.args(["-c", &real]).env("PATH", &programs).env("INVENTOR_TOKEN", "secret");
    bash.env("INVENTOR_URL", format!("http://{}", server.address()));
    let ran = bash.output().expect("bash is installed");
    let (printed, complaints) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{path}: {command}\nends with {}: {printed}{complaints}", ran.status);
    assert_eq!(without_times(printed.trim()), without_times(output.trim()), "{path}: {command}\n{complaints}");
}

#[test]
fn prometheus_accepts_the_configurations() {
    let mut checked = 0;
    for block in blocks("yaml") {
        let what = if block.starts_with("groups:") { "rules" } else { "config" };
        // What is for Kubernetes is held against schemas.
        if what == "config" && (!block.contains("scrape_configs:") || block.starts_with("apiVersion:")) {
            continue;
        }
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("block.yml");
        fs::write(&file, &block).unwrap();
        let mut promtool = Command::new("promtool");
        promtool.args(["check", what]);
        if what == "config" {
            // Files with tokens are elsewhere.
            promtool.arg("--syntax-only");
        }
        let promtool = promtool.arg(&file).output().expect("promtool is installed");
        let complaints = [promtool.stdout, promtool.stderr].concat();
        assert!(promtool.status.success(), "{block}\n{}", String::from_utf8_lossy(&complaints));
        checked += 1;
    }
    assert!(checked >= 2, "the documents have {checked} configurations for Prometheus");
}

/// The headings of a text as links name them: in small letters, blanks as `-`, without other signs.
fn anchors(text: &str) -> Vec<String> {
    let outside_of_blocks = text.split("\n```").step_by(2);
    let headings = outside_of_blocks.flat_map(str::lines).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(|heading| anchor(heading.trim_start_matches('#').trim_start())).collect()
}

/// Where the links of a text lead.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let others = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"].map(document);
    let mut faults = Vec::new();
    for Document { path, text } in tried().into_iter().chain(others) {
        for link in links(&text).into_iter().filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
            let to = if file.is_empty() { from } else { from.with_file_name(file) };
            let leads = match anchor {
                "" => to.exists(),
                _ => fs::read_to_string(&to).is_ok_and(|text| anchors(&text).iter().any(|heading| heading == anchor)),
            };
            if !leads {
                faults.push(format!("{path}: {link}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn each_path_and_parameter_is_described() {
    let openapi = document("src/http/api/openapi.json").text;
    let openapi: Value = serde_json::from_str(&openapi).expect("it is JSON");
    let described = document("docs/api.md").text;
    let shared = &openapi["components"]["parameters"];
    let name = |parameter: &Value| {
        let link = parameter["$ref"].as_str().and_then(|link| link.rsplit('/').next());
        let parameter = link.map_or(parameter, |link| &shared[link]);
        (parameter["in"] == "query").then(|| parameter["name"].as_str().expect("it has a name").to_owned())
    };
    let mut missing = Vec::new();
    for (path, item) in openapi["paths"].as_object().expect("it has paths") {
        let written = path.replace("{id}", "ID").replace("{name}", "NAME");
        // The files of the page are nobody's to ask for.
        if !path.starts_with("/ui/") && !described.contains(&written) {
            missing.push(path.clone());
        }
        let operations = item.as_object().expect("it has methods").values();
        let parameters = operations.chain([item]).filter_map(|part| part["parameters"].as_array()).flatten();
        for name in parameters.filter_map(name) {
            let forms = [format!("`{name}`"), format!("?{name}=")];
            if !forms.iter().any(|form| described.contains(form)) {
                missing.push(format!("{path}: {name}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "docs/api.md says nothing of these");
}

#[test]
fn each_alert_is_in_the_table() {
    let rules = document("deploy/prometheus/alerts.yaml").text;
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let described = document("deploy/README.md").text;
    let missing: Vec<&str> = alerts.filter(|alert| !described.contains(&format!("`{alert}`"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn each_change_says_of_which_kind_it_is() {
    let kinds = ["[CHANGE] ", "[FEATURE] ", "[ENHANCEMENT] ", "[BUGFIX] ", "[SECURITY] "];
    let changelog = document("CHANGELOG.md").text;
    let changes: Vec<&str> = changelog.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    assert!(!changes.is_empty(), "nothing has changed");
    let silent: Vec<&&str> =
        changes.iter().filter(|change| !kinds.iter().any(|kind| change.starts_with(kind))).collect();
    assert_eq!(silent, Vec::<&&str>::new());
    let has_date = |version: &str| version.split_once(" / ").is_some_and(|(_, date)| date.len() == "2026-01-01".len());
    let mut versions = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    assert!(versions.all(has_date), "a version has no date");
}

#[test]
fn the_readme_leads_to_each_document() {
    let readme = document("README.md").text;
    let links = links(&readme);
    for document in tried() {
        let found = document.path == "README.md" || links.contains(&document.path.as_str());
        assert!(found, "the README does not lead to {}", document.path);
    }
}

#[test]
fn every_curl_can_be_tried() {
    for language in ["sh", "bash", "shell", ""] {
        for block in blocks(language) {
            let tried = !block.lines().any(|line| line.starts_with("curl ") || line.starts_with("$ curl "));
            assert!(tried, "a curl line outside of a console block is never run:\n{block}");
        }
    }
}
