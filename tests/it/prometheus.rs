//! A real Prometheus polls the server: what is registered is discovered, changes and goes away, and nobody spoils it
//! for the others.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::Cli;
use crate::documents::vanished_since;
use crate::eventually::{SOON, eventually, eventually_some};
use crate::nginx::Nginx;
use crate::prometheus_server::{Prometheus, indented, job, job_of, source, source_at};
use crate::server::Server;

#[track_caller]
fn register(server: &Server, target: &str, rest: Value) -> String {
    let mut config = rest;
    config["targets"] = json!([target]);
    server.register(json!({ "static_config": config }).to_string())
}

#[track_caller]
fn delete(server: &Server, id: &str) {
    server.delete(json!({ "id": id }).to_string()).is(200, "true\n");
}

#[test]
fn targets_appear_change_and_disappear() {
    let server = Server::start(&[]);
    let id = register(&server, "a:1", json!({"labels": {"x": "1"}}));
    let prometheus = Prometheus::start(&server, "/discover", "");
    prometheus.scrapes(&["http://a:1/metrics"]);
    assert_eq!(prometheus.labels("http://a:1/metrics"), json!({"job": "job", "instance": "a:1", "x": "1"}));

    register(&server, "b:1", json!({"labels": null}));
    register(&server, "a:1", json!({"labels": {"x": "<2>\u{2028}\"ü"}}));
    prometheus.scrapes(&["http://a:1/metrics", "http://b:1/metrics"]);
    eventually(SOON, || prometheus.labels("http://a:1/metrics")["x"] == "<2>\u{2028}\"ü");

    delete(&server, &id);
    prometheus.scrapes(&["http://b:1/metrics"]);
    prometheus.is_content();
}

#[test]
fn the_last_target_disappears_as_well() {
    let server = Server::start(&[]);
    let id = register(&server, "a:1", json!({}));
    let prometheus = Prometheus::start(&server, "/discover", "");
    prometheus.scrapes(&["http://a:1/metrics"]);
    delete(&server, &id);
    prometheus.scrapes(&[]);
}

#[test]
fn an_expired_target_disappears() {
    let server = Server::start(&[("TTL_SECONDS", "2")]);
    let prometheus = Prometheus::start(&server, "/discover", "");
    // Prometheus takes new targets into its scrapes every five seconds, so they have to be renewed until then.
    eventually(SOON, || {
        register(&server, "a:1", json!({}));
        prometheus.has("http://a:1/metrics")
    });
    prometheus.scrapes(&[]);
}

#[test]
fn a_group_has_its_own_targets() {
    let server = Server::start(&[]);
    register(&server, "other:1", json!({}));
    register(&server, "a:1", json!({"target_group": "my group"}));
    let prometheus = Prometheus::start(&server, "/group?name=my%20group", "");
    prometheus.scrapes(&["http://a:1/metrics"]);
    register(&server, "b:1", json!({"target_group": "my group"}));
    register(&server, "a:1", json!({"target_group": "another group"}));
    prometheus.scrapes(&["http://b:1/metrics"]);
    prometheus.is_content();
}

#[test]
fn a_guarded_server_is_polled_with_each_kind_of_credentials() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    register(&server, "a:1", json!({"target_group": "g"}));
    let mut jobs = Vec::new();
    for path in ["/discover", "/group?name=g"] {
        for credentials in [
            "authorization:\n  credentials: reader",
            "authorization:\n  type: Bearer\n  credentials: reader",
            "bearer_token: reader",
            "basic_auth:\n  username: prometheus\n  password: reader",
            "basic_auth:\n  username: ''\n  password: reader",
        ] {
            jobs.push(job(&server, &format!("job-{}", jobs.len()), path, credentials, ""));
        }
    }
    let prometheus = Prometheus::start_with_jobs(&jobs);
    eventually(SOON, || prometheus.targets().len() == jobs.len());
    assert!(
        prometheus.targets().iter().all(|target| target.job.starts_with("job-") && target.url == "http://a:1/metrics")
    );
    prometheus.is_content();
}

#[test]
fn a_prometheus_without_the_token_discovers_nothing() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    register(&server, "a:1", json!({}));
    let mut prometheus = Prometheus::start(&server, "/discover", "");
    prometheus.process.line_with(&["level=error", "403"]);
    assert!(prometheus.targets().is_empty());
}

#[test]
fn ipv6_targets_and_a_server_on_ipv6_work() {
    let server = Server::start(&[("LISTEN_ADDR", "::1")]);
    register(&server, "[2001:db8::1]:9100", json!({}));
    let prometheus = Prometheus::start(&server, "/discover", "");
    prometheus.scrapes(&["http://[2001:db8::1]:9100/metrics"]);
}

#[test]
fn modules_become_targets_by_relabelling() {
    let server = Server::start(&[]);
    let labels = json!({"__meta_metrics_path": "/proxy", "__meta_prometheus_job": "exporter-proxy"});
    let modules = json!(["node_exporter", "ipmi_exporter"]);
    register(&server, "host.local:9999", json!({"labels": labels, "modules": modules}));
    let prometheus = Prometheus::start(&server, "/discover", &crate::documents::relabelling());
    let (ipmi, node) =
        ("http://host.local:9999/proxy?module=ipmi_exporter", "http://host.local:9999/proxy?module=node_exporter");
    prometheus.scrapes(&[ipmi, node]);
    let expected = json!({"job": "exporter-proxy", "instance": "host.local:9999", "module": "node_exporter"});
    assert_eq!(prometheus.labels(node), expected);

    register(&server, "host.local:9999", json!({"labels": labels, "modules": ["node_exporter"]}));
    prometheus.scrapes(&[node]);
}

#[test]
fn a_refused_registration_harms_nobody() {
    let server = Server::start(&[]);
    register(&server, "a:1", json!({}));
    let prometheus = Prometheus::start(&server, "/discover", "");
    prometheus.scrapes(&["http://a:1/metrics"]);
    for labels in [json!({"bad-label": "x"}), json!({"": "x"}), json!({"port": 9100}), json!(["x"])] {
        let body = json!({"static_config": {"targets": ["bad:1"], "labels": labels}}).to_string();
        server.put(&body).has_status(400, body);
    }
    register(&server, "good:1", json!({}));
    prometheus.scrapes(&["http://a:1/metrics", "http://good:1/metrics"]);
    prometheus.is_content();
}

#[test]
fn an_address_that_cannot_be_scraped_harms_itself_alone() {
    let server = Server::start(&[]);
    for target in ["https://example.com/x", "with blank:1", "a:1/", "a:1", "[::1]:99999999"] {
        register(&server, target, json!({}));
    }
    let prometheus = Prometheus::start(&server, "/discover", "");
    eventually(SOON, || prometheus.has("http://a:1/metrics"));
    register(&server, "b:1", json!({}));
    eventually(SOON, || prometheus.has("http://b:1/metrics"));
    prometheus.is_content();
}

#[test]
fn urls_are_probed_by_way_of_relabelling() {
    let server = Server::start(&[]);
    register(&server, "https://example.com/x?y=1&z=<2>", json!({"target_group": "blackbox"}));
    let relabelling = "\
metrics_path: /probe
relabel_configs:
  - source_labels: [__address__]
    target_label: __param_target
  - source_labels: [__param_target]
    target_label: instance
  - target_label: __address__
    replacement: 127.0.0.1:9115";
    let prometheus = Prometheus::start(&server, "/group?name=blackbox", relabelling);
    prometheus.scrapes(&["http://127.0.0.1:9115/probe?target=https%3A%2F%2Fexample.com%2Fx%3Fy%3D1%26z%3D%3C2%3E"]);
}

#[test]
fn what_it_drops_is_a_problem() {
    let server = Server::start(&[]);
    let longer = json!({"__scrape_interval__": "10s", "__scrape_timeout__": "1m"});
    let mut dropped = vec![register(&server, "wrong.example", json!({"labels": longer}))];
    for (name, values) in [
        ("__scrape_interval__", &["0", "0s", "15", "1.5s", "-1s", "1m1h", "soon", " 15s"][..]),
        ("__scrape_timeout__", &["0", "10", "never"]),
        ("__scheme__", &["ftp", "HTTP", " http"]),
    ] {
        for value in values {
            let target = format!("wrong-{}.example", dropped.len());
            dropped.push(register(&server, &target, json!({ "labels": { name: value } })));
        }
    }
    for (n, labels) in [
        json!({"__scrape_interval__": "1h30m", "__scrape_timeout__": "1m500ms"}),
        json!({"__scrape_interval__": "", "__scrape_timeout__": "", "__scheme__": "", "__metrics_path__": ""}),
        json!({"__scheme__": "https", "__metrics_path__": "metrics", "__param_x": "?"}),
    ]
    .into_iter()
    .enumerate()
    {
        register(&server, &format!("right-{n}.example"), json!({ "labels": labels }));
    }
    let problems = server.get("/api/v1/problems").json()["problems"].clone();
    let mut told: Vec<&str> =
        problems.as_array().unwrap().iter().map(|problem| problem["id"].as_str().unwrap()).collect();
    told.sort_unstable();
    dropped.sort_unstable();
    assert_eq!(told, dropped);
    let prometheus = Prometheus::start(&server, "/discover", "");
    prometheus.scrapes(&[
        "http://right-0.example:80/metrics",
        "http://right-1.example:80/metrics",
        "https://right-2.example:443/metrics?x=%3F",
    ]);
}

#[test]
fn the_server_itself_is_scraped() {
    let server = Server::start(&[]);
    register(&server, &server.address().to_string(), json!({}));
    let id = register(&server, "gone:1", json!({"target_group": "g"}));
    let prometheus = Prometheus::start(&server, "/discover", "");
    // When it is seen with this many registrations.
    let seen = |count: &str| {
        eventually_some(SOON, || {
            let found = prometheus.query("count(inventor_sd_target_info) + 0 * sum(inventor_registrations)", None);
            let [time, value] = found.first()?["value"].as_array()?.as_slice() else { return None };
            (value == count).then(|| time.as_f64())?
        })
    };
    let before = seen("2");
    delete(&server, &id);
    let after = seen("1");
    // Asked as of a moment that is past, so that the answer does not depend on when it is given.
    let vanished = prometheus.query(&vanished_since(after - before), Some(after));
    let [series] = vanished.as_slice() else { panic!("one target has vanished: {vanished:?}") };
    assert_eq!((&series["metric"]["address"], &series["metric"]["target_group"]), (&json!("gone:1"), &json!("g")));
}

#[test]
fn a_list_that_cannot_be_had_leaves_the_targets_alone() {
    let server = Server::start(&[]);
    register(&server, "a:1", json!({}));
    let mut prometheus = Prometheus::start(&server, "/discover", "");
    prometheus.scrapes(&["http://a:1/metrics"]);
    assert_eq!(server.terminate(), Some(0));
    prometheus.process.line_with(&["level=error", "discover"]);
    prometheus.scrapes(&["http://a:1/metrics"]);
    eventually(SOON, || prometheus.failed_polls() > 0.0);
}

#[test]
fn two_shards_are_everything_and_nothing_twice_while_targets_come_and_go() {
    let server = Server::start(&[]);
    let jobs: Vec<String> =
        [0, 1].map(|n| job(&server, &format!("shard-{n}"), &format!("/sd?group=g&shard={n}&shards=2"), "", "")).into();
    let prometheus = Prometheus::start_with_jobs(&jobs);
    let mut present: Vec<(String, String)> = Vec::new();
    for round in 0..3 {
        for n in 0..10 {
            let target = format!("host-{round}-{n}:1");
            let id = register(&server, &target, json!({"target_group": "g", "labels": {"round": round.to_string()}}));
            present.push((target, id));
        }
        for (_, id) in present.drain(..3) {
            delete(&server, &id);
        }
        register(&server, "stranger:1", json!({"target_group": "other"}));
        let mut expected: Vec<String> = present.iter().map(|(target, _)| format!("http://{target}/metrics")).collect();
        expected.sort();
        // A target of both shards would stand there twice.
        eventually(SOON, || prometheus.targets().iter().map(|target| target.url.clone()).eq(expected.iter().cloned()));
        let jobs: std::collections::BTreeSet<String> =
            prometheus.targets().into_iter().map(|target| target.job).collect();
        assert_eq!(jobs.len(), 2, "each shard has its part");
    }
    assert_eq!(prometheus.labels(&format!("http://{}/metrics", present[0].0))["round"], json!("0"));
}

#[test]
fn servers_with_registries_of_their_own_make_up_one_job() {
    let (west, east) = (Server::start(&[]), Server::start(&[]));
    register(&west, "a:1", json!({}));
    let id = register(&east, "b:1", json!({}));
    for server in [&west, &east] {
        register(server, "both:1", json!({}));
    }
    let sources = [&west, &east].map(|server| source(server, "/discover", ""));
    let mut prometheus = Prometheus::start_with_jobs(&[job_of("all", &sources, "")]);
    prometheus.scrapes(&["http://a:1/metrics", "http://b:1/metrics", "http://both:1/metrics"]);
    prometheus.is_content();

    // While one of them is away, its targets stay, and the other is followed.
    assert_eq!(west.terminate(), Some(0));
    prometheus.process.line_with(&["level=error", "discover"]);
    register(&east, "c:1", json!({}));
    delete(&east, &id);
    prometheus.scrapes(&["http://a:1/metrics", "http://both:1/metrics", "http://c:1/metrics"]);
}

#[test]
fn it_discovers_through_a_proxy_below_a_path() {
    let server = Server::start(&[]);
    server.register(r#"{"static_config":{"targets":["a.invalid:1"],"target_group":"g"}}"#);
    let directory = TempDir::new().unwrap();
    let nginx = Nginx::with_example(directory.path(), "inventor.conf", &server.address().to_string());
    let sources = [source_at(&format!("http://127.0.0.1:{}/inventor/sd?group=g", nginx.port()), "")];
    let prometheus = Prometheus::start_with_jobs(&[job_of("job", &sources, "")]);
    prometheus.scrapes(&["http://a.invalid:1/metrics"]);
    prometheus.is_content();
}

#[test]
fn it_starts_with_its_targets_while_the_server_is_away() {
    let server = Server::start(&[]);
    register(&server, "a.example:1", json!({}));
    let cli = Cli::of(&server);
    let follow = cli.start(&["follow", "--output", "sd.json", "--interval", "100ms"]);
    let sd = format!("file_sd_configs:\n- files: [{}]", cli.path("sd.json").display());
    let job = format!("  - job_name: file\n{}", indented(&sd, 4));
    let before = Prometheus::start_with_jobs(std::slice::from_ref(&job));
    before.scrapes(&["http://a.example:1/metrics"]);
    register(&server, "b.example:1", json!({}));
    before.scrapes(&["http://a.example:1/metrics", "http://b.example:1/metrics"]);
    drop((before, server));
    let after = Prometheus::start_with_jobs(&[job]);
    after.scrapes(&["http://a.example:1/metrics", "http://b.example:1/metrics"]);
    drop(follow);
}
