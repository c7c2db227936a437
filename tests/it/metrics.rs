//! GET /metrics: what the server says of its registrations, of its work and of itself.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::server::Server;

/// The value of the series spelt exactly like this, or `None`.
#[track_caller]
pub(crate) fn value(server: &Server, series: &str) -> Option<f64> {
    let text = server.get("/metrics");
    text.has_status(200, "/metrics");
    let mut lines = text.text().lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = lines.next().map(|value| value.parse().expect("a value is a number"));
    assert!(lines.next().is_none(), "{series} comes twice");
    value
}

#[track_caller]
fn check(server: &Server, series: &str, expected: f64) {
    assert_eq!(value(server, series), Some(expected), "{series}");
}

/// The series of a metric, sorted, with their values.
#[track_caller]
fn series(server: &Server, metric: &str) -> Vec<String> {
    let response = server.get("/metrics");
    response.has_status(200, "/metrics");
    let mut lines: Vec<String> =
        response.text().lines().filter(|line| line.starts_with(&format!("{metric}{{"))).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn each_address_of_a_registration_is_a_series() {
    let server = Server::start(&[]);
    assert!(!server.get("/metrics").text().contains("inventor_sd_target_info"));
    server.register(r#"{"static_config":{"targets":["10.0.10.2:9100"],"modules":["a"],"target_group":"g \"1\""}}"#);
    server.register(r#"{"static_config":{"targets":["a:1","b:1"]}}"#);
    assert_eq!(
        series(&server, "inventor_sd_target_info"),
        [
            r#"inventor_sd_target_info{address="10.0.10.2:9100",id="3ebd7d3f-feb7-5a81-aa0d-89c9d0a516ed",target_group="g \"1\""} 1"#,
            r#"inventor_sd_target_info{address="a:1",id="ea9cdeed-4a13-5f04-99db-4487b775ede0",target_group="inventor-default"} 1"#,
            r#"inventor_sd_target_info{address="b:1",id="ea9cdeed-4a13-5f04-99db-4487b775ede0",target_group="inventor-default"} 1"#,
        ]
    );
    let text = server.get("/metrics");
    let lines: Vec<&str> = text.text().lines().collect();
    assert!(lines.contains(&"# HELP inventor_sd_target_info count of registered sd targets"));
    assert!(lines.contains(&"# TYPE inventor_sd_target_info gauge"));
    assert!(text.header("Content-Type").is_some_and(|value| value.starts_with("text/plain; version=0.0.4")));
}

#[test]
fn an_address_twice_in_a_registration_is_one_series() {
    let server = Server::start(&[]);
    server.register(r#"{"static_config":{"targets":["a:1","a:1"]}}"#);
    server.register(r#"{"static_config":{"targets":["a:1"]}}"#);
    assert_eq!(
        series(&server, "inventor_sd_target_info"),
        [
            r#"inventor_sd_target_info{address="a:1",id="7214ebb0-ab3e-513a-bafe-fb6b460c2cfa",target_group="inventor-default"} 1"#,
            r#"inventor_sd_target_info{address="a:1",id="d9e1c7dc-f19a-5f69-a5a1-f8038ad7c8fa",target_group="inventor-default"} 1"#,
        ]
    );
}

#[test]
fn addresses_are_escaped() {
    let server = Server::start(&[]);
    let id = server.register(r#"{"static_config":{"targets":["q\"b\\n\nü"]}}"#);
    let expected =
        format!(r#"inventor_sd_target_info{{address="q\"b\\n\nü",id="{id}",target_group="inventor-default"}} 1"#);
    assert_eq!(series(&server, "inventor_sd_target_info"), [expected]);
    promtool_accepts(&server);
}

#[test]
fn each_group_is_a_series_as_long_as_it_is_there() {
    let server = Server::start(&[]);
    let groups = || series(&server, "inventor_group_registrations");
    assert_eq!(groups(), [""; 0]);
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g \"1\""}}"#);
    server.register(r#"{"static_config":{"targets":["b:1"],"target_group":"h"}}"#);
    let id = server.register(r#"{"static_config":{"targets":["c:1"],"target_group":"h"}}"#);
    let first = r#"inventor_group_registrations{group="g \"1\""} 1"#;
    assert_eq!(groups(), [first, r#"inventor_group_registrations{group="h"} 2"#]);
    server.delete(format!("{{\"id\":\"{id}\"}}")).has_status(200, "a known id");
    assert_eq!(groups(), [first, r#"inventor_group_registrations{group="h"} 1"#]);
    promtool_accepts(&server);
    let server = Server::start(&[("GROUP_INFO", "off")]);
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#);
    assert_eq!(series(&server, "inventor_group_registrations"), [""; 0]);
}

#[test]
fn every_operation_of_the_store_is_a_series_before_its_first_use() {
    let server = Server::start(&[]);
    for operation in ["put", "get", "delete", "declare"] {
        for outcome in ["ok", "error"] {
            let labels = format!("operation=\"{operation}\",outcome=\"{outcome}\"");
            check(&server, &format!("inventor_store_operations_total{{{labels}}}"), 0.0);
        }
        check(&server, &format!("inventor_store_operation_duration_seconds_count{{operation=\"{operation}\"}}"), 0.0);
    }
}

#[test]
fn only_the_largest_thousand_groups_are_series() {
    let server = Server::start(&[]);
    for n in 0..1010 {
        server.register(format!(r#"{{"static_config":{{"targets":["a:{n}"],"target_group":"g{n:04}"}}}}"#));
    }
    server.register(r#"{"static_config":{"targets":["large:1"],"target_group":"g1009"}}"#);
    let long = "x".repeat(257);
    for n in 0..3 {
        server.register(format!(r#"{{"static_config":{{"targets":["long:{n}"],"target_group":"{long}"}}}}"#));
    }
    let groups = series(&server, "inventor_group_registrations");
    assert_eq!(groups.len(), 1000);
    assert!(!groups.iter().any(|group| group.contains(&long)), "its name is too long");
    assert!(groups.contains(&r#"inventor_group_registrations{group="g1009"} 2"#.to_owned()));
}

#[test]
fn target_info_can_be_switched_off() {
    let server = Server::start(&[("TARGET_INFO", "off")]);
    server.register(r#"{"static_config":{"targets":["a:1"]}}"#);
    assert!(!server.get("/metrics").text().contains("inventor_sd_target_info"));
    check(&server, "inventor_registrations", 1.0);
}

/// The memory that the server has in use, in bytes.
fn resident_bytes(server: &mut Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process().id())).expect("it is running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    1024 * line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number")
}

#[test]
fn clients_that_do_not_read_the_metrics_share_them() {
    let mut server = Server::start(&[]);
    // Some 10 MB of series.
    for n in 0..100 {
        let targets: Vec<String> = (0..500).map(|target| format!("{}-{n}-{target}:9100", "x".repeat(100))).collect();
        server.register(serde_json::json!({"static_config": {"targets": targets}}).to_string());
    }
    let size = server.get("/metrics").body.len();
    assert!(size > 8_000_000, "{size} bytes");
    let before = resident_bytes(&mut server);
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut connection = server.connect();
            connection.write(Request::new("GET", "/metrics").to_bytes());
            connection
        })
        .collect();
    let sent = || value(&server, "inventor_http_requests_total{method=\"GET\",route=\"metrics\",status=\"200\"}");
    eventually(SOON, || sent().is_some_and(|count| count >= 41.0));
    let after = resident_bytes(&mut server);
    assert!(after < before + 2 * size, "40 answers of {size} bytes took {} bytes more", after - before);
    drop(deaf);
}

#[test]
fn the_series_of_the_targets_follow_each_change() {
    let server = Server::start(&[]);
    let targets = || series(&server, "inventor_sd_target_info").len();
    let ids: Vec<String> =
        (0..600).map(|n| server.register(format!(r#"{{"static_config":{{"targets":["host-{n}:1"]}}}}"#))).collect();
    assert_eq!(targets(), 600);
    server.delete(format!("{{\"id\":\"{}\"}}", ids[17])).is(200, "true\n");
    assert_eq!(targets(), 599);
    server.register(r#"{"static_config":{"targets":["one:1","more:1"]}}"#);
    assert_eq!(targets(), 601);
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let server = Server::start(&[]);
    promtool_accepts(&server);
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#);
    server.get("/discover").has_status(200, "/discover");
    server.put("{}").has_status(400, "{}");
    promtool_accepts(&server);
}

/// Has `promtool check metrics` read the exposition; it complains of names, help texts and types as well.
#[track_caller]
fn promtool_accepts(server: &Server) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    let exposition = server.get("/metrics").body;
    promtool.stdin.take().expect("standard input is piped").write_all(&exposition).expect("promtool reads it all");
    let output = promtool.wait_with_output().expect("promtool ends");
    let complaints = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && complaints.is_empty(), "{}", String::from_utf8_lossy(&complaints));
}

#[test]
fn requests_are_counted_by_route_method_and_status() {
    let server = Server::start(&[]);
    server.register(r#"{"static_config":{"targets":["a:1"]}}"#);
    server.put("{}").has_status(400, "{}");
    server.get("/discover").has_status(200, "/discover");
    server.get("/discover?x=1").has_status(200, "/discover");
    server.get("/group?name=g").has_status(200, "/group");
    server.send(&Request::new("PUT", "/target")).has_status(403, "/target");
    server.send(&Request::new("POST", "/discover")).has_status(405, "/discover");
    for (labels, count) in [
        (r#"method="PUT",route="target",status="200""#, 1.0),
        (r#"method="PUT",route="target",status="400""#, 1.0),
        (r#"method="PUT",route="target",status="403""#, 1.0),
        (r#"method="GET",route="discover",status="200""#, 2.0),
        (r#"method="GET",route="group",status="200""#, 1.0),
        (r#"method="POST",route="discover",status="405""#, 1.0),
    ] {
        let series = format!("inventor_http_requests_total{{{labels}}}");
        // A response can be read before it has been counted.
        eventually(SOON, || value(&server, &series) == Some(count));
    }
    eventually(SOON, || {
        value(&server, r#"inventor_http_request_duration_seconds_count{route="discover"}"#) == Some(3.0)
    });
    let sum = value(&server, r#"inventor_http_request_duration_seconds_sum{route="discover"}"#);
    assert!(sum.is_some_and(|seconds| seconds > 0.0 && seconds < 60.0), "three requests took {sum:?} seconds");
}

#[test]
fn made_up_paths_and_methods_make_no_series() {
    let server = Server::start(&[]);
    for n in 0..100 {
        server.get(&format!("/made-up-{n}")).has_status(404, n);
        server.send(&Request::new(&format!("METHOD{n}"), "/discover")).has_status(405, n);
    }
    let expected = [
        r#"inventor_http_requests_total{method="GET",route="other",status="404"} 100"#,
        r#"inventor_http_requests_total{method="other",route="discover",status="405"} 100"#,
    ];
    eventually(SOON, || {
        let mut counted = series(&server, "inventor_http_requests_total");
        // How often this test has looked.
        counted.retain(|line| !line.contains("route=\"metrics\""));
        counted == expected
    });
}

#[test]
fn registrations_groups_and_the_list_are_counted() {
    let server = Server::start(&[]);
    for (series, count) in [("inventor_registrations", 0.0), ("inventor_groups", 0.0), ("inventor_list_bytes", 3.0)] {
        check(&server, series, count);
    }
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#);
    server.register(r#"{"static_config":{"targets":["b:1"],"target_group":"g"}}"#);
    server.register(r#"{"static_config":{"targets":["c:1"]}}"#);
    check(&server, "inventor_registrations", 3.0);
    check(&server, "inventor_groups", 2.0);
    check(&server, "inventor_registrations_quarantined", 0.0);
    check(&server, "inventor_store_up", 1.0);
    check(&server, "inventor_list_bytes", server.get("/discover").body.len() as f64);
    server.delete(r#"{"id":"7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"}"#).is(200, "true\n");
    check(&server, "inventor_registrations", 2.0);
}

#[test]
fn refused_registrations_are_counted_by_reason() {
    let server = Server::start(&[]);
    let refused =
        |reason: &str| value(&server, &format!("inventor_registrations_refused_total{{reason=\"{reason}\"}}"));
    for reason in ["json", "targets", "label_name", "size", "ttl"] {
        assert_eq!(refused(reason), Some(0.0), "{reason} starts at zero");
    }
    server.put("nonsense").has_status(400, "json");
    server.put(r#"{"static_config":{"targets":[5]}}"#).has_status(400, "json");
    server.put(r#"{"static_config":{"targets":[]}}"#).has_status(400, "targets");
    server.put(r#"{"static_config":{"targets":["a:1"],"labels":{"bad-label":"x"}}}"#).has_status(400, "label_name");
    assert_eq!(["json", "targets", "label_name"].map(refused), [Some(2.0), Some(1.0), Some(1.0)]);
}

#[test]
fn store_operations_are_counted_and_timed() {
    let server = Server::start(&[]);
    let id = server.register(r#"{"static_config":{"targets":["a:1"]}}"#);
    server.find(format!("{{\"id\":\"{id}\"}}")).has_status(200, "a known id");
    server.delete(format!("{{\"id\":\"{id}\"}}")).has_status(200, "a known id");
    for operation in ["put", "get", "delete"] {
        let counts: Vec<String> = series(&server, "inventor_store_operations_total")
            .into_iter()
            .filter(|line| line.contains(&format!("operation=\"{operation}\"")) && line.ends_with(" 1"))
            .collect();
        assert_eq!(counts.len(), 1, "{operation}: {counts:?}");
        let timed = format!("inventor_store_operation_duration_seconds_count{{operation=\"{operation}\"}}");
        check(&server, &timed, 1.0);
    }
}

#[test]
fn expiries_are_counted() {
    let server = Server::start(&[("TTL_SECONDS", "1")]);
    let of = |name: &str, group: &str| format!("inventor_registrations_{name}_total{{group=\"{group}\"}}");
    check(&server, &of("expired", "(others)"), 0.0);
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#);
    check(&server, &of("deleted", "g"), 0.0);
    eventually(SOON, || value(&server, &of("expired", "g")) == Some(1.0));
    check(&server, "inventor_registrations", 0.0);
}

#[test]
fn deletions_are_counted_apart_and_groups_named_only_if_they_may_be() {
    let body = r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#;
    for (group_info, group) in [("on", "g"), ("off", "(others)")] {
        let server = Server::start(&[("GROUP_INFO", group_info)]);
        let id = server.register(body);
        server.delete(format!(r#"{{"id":"{id}"}}"#)).has_status(200, "it is there");
        check(&server, &format!("inventor_registrations_deleted_total{{group=\"{group}\"}}"), 1.0);
        check(&server, &format!("inventor_registrations_expired_total{{group=\"{group}\"}}"), 0.0);
        server.register(body);
        let names = server.get("/metrics").text().contains("\"g\"");
        assert_eq!(names, group_info == "on", "{group_info}");
    }
}

#[test]
fn polls_are_counted_by_client() {
    let server = Server::start(&[]);
    let polls = || series(&server, "inventor_polls_total");
    server.send(&Request::new("GET", "/discover").header("User-Agent", "Prometheus/2.42.0")).has_status(200, "a poll");
    let vmagent = [
        &[("User-Agent", "vm_promscrape/discovery")][..],
        &[("User-Agent", "Go-http-client/1.1"), ("X-Prometheus-Refresh-Interval-Seconds", "30")],
    ];
    let others = [&[("User-Agent", "Go-http-client/1.1")][..], &[("User-Agent", "curl/8.0")], &[]];
    for headers in vmagent.into_iter().chain(others) {
        let poll =
            headers.iter().fold(Request::new("GET", "/discover"), |poll, (name, value)| poll.header(name, value));
        server.send(&poll).has_status(200, headers);
    }
    let counts = [("other", 3), ("prometheus", 1), ("vmagent", 2)];
    assert_eq!(polls(), counts.map(|(client, count)| format!("inventor_polls_total{{client=\"{client}\"}} {count}")));
    for n in 0..100 {
        server
            .send(&Request::new("GET", "/discover").header("User-Agent", format!("made-up-{n}/1.0")))
            .has_status(200, n);
    }
    assert_eq!(polls().len(), 3);
}

#[test]
fn build_and_process_are_described() {
    let server = Server::start(&[]);
    let build = series(&server, "inventor_build_info");
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    assert!(build.len() == 1 && build[0].contains(version) && build[0].contains("revision=\""), "{build:?}");
    let text = server.get("/metrics");
    for (metric, kind) in [
        ("process_cpu_seconds_total", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_start_time_seconds", "gauge"),
        ("process_open_fds", "gauge"),
    ] {
        assert!(text.text().contains(&format!("# TYPE {metric} {kind}\n")), "{metric} is missing");
        assert!(value(&server, metric).is_some_and(|value| value >= 0.0), "{metric} has a value");
    }
}
