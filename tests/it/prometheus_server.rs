//! A real Prometheus of a test's own: what it is to poll, and what it says that it found.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Connection, Request, Response};
use crate::eventually::{SOON, eventually};
use crate::process::Process;
use crate::server::Server;

/// A running Prometheus.
pub(crate) struct Prometheus {
    pub(crate) process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

/// What a Prometheus scrapes.
pub(crate) struct Target {
    pub(crate) job: String,
    pub(crate) url: String,
    pub(crate) labels: Value,
}

/// A job that polls this path of the server every second; `sd` are further lines of its `http_sd_configs`, and `rest` of
/// the job.
pub(crate) fn job(server: &Server, name: &str, path: &str, sd: &str, rest: &str) -> String {
    job_of(name, &[source(server, path, sd)], rest)
}

/// A job with these `http_sd_configs`.
pub(crate) fn job_of(name: &str, sources: &[String], rest: &str) -> String {
    format!("  - job_name: {name}\n    http_sd_configs:\n{}{}", sources.concat(), indented(rest, 4))
}

pub(crate) fn source(server: &Server, path: &str, sd: &str) -> String {
    source_at(&format!("http://{}{path}", server.address()), sd)
}

/// A source of targets that is polled every second.
pub(crate) fn source_at(url: &str, sd: &str) -> String {
    format!("      -\n{}", indented(&format!("url: {url}\nrefresh_interval: 1s\n{sd}"), 8))
}

pub(crate) fn indented(lines: &str, columns: usize) -> String {
    lines.lines().map(|line| format!("{:columns$}{line}\n", "")).collect()
}

impl Prometheus {
    /// Starts one with a single job.
    #[track_caller]
    pub(crate) fn start(server: &Server, path: &str, rest: &str) -> Prometheus {
        Prometheus::start_with_jobs(&[job(server, "job", path, "", rest)])
    }

    #[track_caller]
    pub(crate) fn start_with_jobs(jobs: &[String]) -> Prometheus {
        let directory = TempDir::new().expect("there is room for temporary files");
        let file = directory.path().join("prometheus.yml");
        let configuration = format!("global:\n  scrape_interval: 1s\nscrape_configs:\n{}", jobs.concat());
        std::fs::write(&file, configuration).expect("the directory can be written to");
        let mut process = Process::start(
            Command::new("prometheus")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
                .arg("--web.listen-address=127.0.0.1:0"),
        );
        let line = process.line_with(&["msg=\"Listening on\"", " address="]);
        let address = line.rsplit_once("address=").and_then(|(_, address)| address.parse().ok());
        process.line_with(&["Server is ready"]);
        Prometheus { process, address: address.expect("Prometheus says where it listens"), _directory: directory }
    }

    /// The answer to a GET.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        let response = Connection::open(self.address).send(&Request::new("GET", target));
        response.has_status(200, target);
        response
    }

    /// The targets that it scrapes, by URL.
    #[track_caller]
    pub(crate) fn targets(&self) -> Vec<Target> {
        let answer = self.get("/api/v1/targets?state=active").json();
        let targets = answer["data"]["activeTargets"].as_array().expect("targets are a list").iter();
        let text = |value: &Value| value.as_str().expect("a target is described by texts").to_owned();
        let mut targets: Vec<Target> = targets
            .map(|target| Target {
                job: text(&target["scrapePool"]),
                url: text(&target["scrapeUrl"]),
                labels: target["labels"].clone(),
            })
            .collect();
        targets.sort_by(|one, other| one.url.cmp(&other.url));
        targets
    }

    pub(crate) fn has(&self, url: &str) -> bool {
        self.targets().iter().any(|target| target.url == url)
    }

    /// Waits until exactly these URLs are scraped; they are given in their order.
    #[track_caller]
    pub(crate) fn scrapes(&self, urls: &[&str]) {
        eventually(SOON, || self.targets().iter().map(|target| target.url.as_str()).eq(urls.iter().copied()));
    }

    /// The labels of the target with this URL.
    #[track_caller]
    pub(crate) fn labels(&self, url: &str) -> Value {
        let target = self.targets().into_iter().find(|target| target.url == url);
        target.unwrap_or_else(|| panic!("{url} is not scraped")).labels
    }

    /// What it says to a query, as of now or of another time.
    #[track_caller]
    pub(crate) fn query(&self, query: &str, time: Option<f64>) -> Vec<Value> {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        parameters.append_pair("query", query);
        time.map(|time| parameters.append_pair("time", &time.to_string()));
        let answer = self.get(&format!("/api/v1/query?{}", parameters.finish())).json();
        answer["data"]["result"].as_array().expect("the answer is a vector").clone()
    }

    /// Fails when a poll has failed, unless it took longer than the interval: Prometheus waits no longer, and machines are
    /// busy.
    #[track_caller]
    pub(crate) fn is_content(&self) {
        let late = || self.process.stderr().iter().filter(|line| line.contains("Client.Timeout")).count();
        eventually(SOON, || self.failed_polls() == late() as f64);
    }

    /// How many polls have failed, by its own metrics.
    #[track_caller]
    pub(crate) fn failed_polls(&self) -> f64 {
        let metrics = self.get("/metrics");
        // The metric of an alert.
        let count = metrics.text().lines().find_map(|line| line.strip_prefix("prometheus_sd_http_failures_total "));
        count.and_then(|count| count.parse().ok()).expect("Prometheus counts failed polls")
    }
}

/// Waits until a Prometheus that polls this URL, with these further lines of the source, scrapes what it names.
#[track_caller]
pub(crate) fn finds(url: &str, sd: &str, found: &str) {
    let prometheus = Prometheus::start_with_jobs(&[job_of("job", &[source_at(url, sd)], "")]);
    prometheus.scrapes(&[found]);
    prometheus.is_content();
}
