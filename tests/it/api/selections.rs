//! `/sd`: the part of the registrations that one Prometheus server asks for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{is_problem, listed, on_both_stores, register};
use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::server::Server;

#[test]
fn entries_have_group_and_id_beside_labels_and_modules() {
    on_both_stores(|server| {
        let labels = json!({"a": "1", "__meta_inventor_group": "mine", "__meta_inventor_id": "mine"});
        let id = register(server, "a:1", "g h", labels);
        let both = json!({"a": "1", "__meta_inventor_group": "g h", "__meta_inventor_id": id});
        assert_eq!(server.get("/sd").json(), json!([{"targets": ["a:1"], "labels": both}]));
        let config = json!({"targets": ["a:1"], "modules": ["m", "n"]});
        server.register(json!({ "static_config": config }).to_string());
        let entry = |module: &str| {
            json!({"targets": ["a:1"], "labels": {"__meta_inventor_group": "inventor-default",
                "__meta_inventor_id": id, "__meta_inventor_sd_module": module}})
        };
        assert_eq!(server.get("/sd").json(), json!([entry("m"), entry("n")]));
        assert_eq!(server.discover()[0]["labels"], json!({"__meta_inventor_sd_module": "m"}), "/discover is as ever");
    });
}

#[test]
fn groups_and_selectors_narrow_it_down_and_changes_show_at_once() {
    on_both_stores(|server| {
        for n in 0..6 {
            let labels = json!({"n": n.to_string(), "parity": if n % 2 == 0 { "even" } else { "odd" }});
            register(server, &format!("host-{n}:1"), if n < 3 { "low" } else { "high" }, labels);
        }
        let select = |query: &str| listed(&server.get(&format!("/sd?{query}")));
        let hosts = |numbers: &[u8]| numbers.iter().map(|n| format!("host-{n}:1")).collect::<Vec<_>>();
        for _ in 0..2 {
            assert_eq!(select("group=low"), hosts(&[0, 1, 2]));
            assert_eq!(select("group=low&group=high"), hosts(&[0, 1, 2, 3, 4, 5]));
            assert_eq!(select("selector=parity%3Deven"), hosts(&[0, 2, 4]));
            assert_eq!(select("selector=parity==odd,n+notin+(1,%205)"), hosts(&[3]));
            assert_eq!(select("selector=parity&selector=n!%3D0&group=low"), hosts(&[1, 2]));
            assert_eq!(select("selector=!n"), hosts(&[]));
            assert_eq!(select("group=none"), hosts(&[]));
        }
        register(server, "host-9:1", "low", json!({"parity": "even"}));
        register(server, "host-0:1", "high", json!({"parity": "odd"}));
        let id = register(server, "host-2:1", "low", json!({"parity": "even"}));
        server.delete(json!({ "id": id }).to_string()).is(200, "true\n");
        assert_eq!(select("selector=parity%3Deven"), hosts(&[4, 9]));
        assert_eq!(select("group=low"), hosts(&[1, 9]));
        assert_eq!(select("selector=!n"), hosts(&[0, 9]));
    });
}

#[test]
fn shards_are_disjoint_and_together_everything() {
    let server = Server::start(&[]);
    let all: BTreeSet<String> = (0..200).map(|n| format!("host-{n}:1")).collect();
    for target in &all {
        register(&server, target, "g", json!({}));
    }
    let shard = |index: usize, count: usize| listed(&server.get(&format!("/sd?shard={index}&shards={count}")));
    for count in [1, 2, 3, 7] {
        let parts: Vec<Vec<String>> = (0..count).map(|index| shard(index, count)).collect();
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), all.len(), "no target is in two of {count}");
        assert_eq!(parts.into_iter().flatten().collect::<BTreeSet<_>>(), all);
    }
    let before = shard(0, 3);
    register(&server, &before[0], "other", json!({"changed": "yes"}));
    assert_eq!(shard(0, 3), before, "a change of labels or group moves nothing");
}

#[test]
fn everything_odd_is_refused() {
    let server = Server::start(&[]);
    for (query, word) in [
        ("gruop=x", "gruop"),
        ("group=", "group"),
        ("group", "group"),
        ("selector=", "selector"),
        ("selector=a+in+()", "selector"),
        ("selector=a-b", "selector"),
        ("selector=,", "selector"),
        ("shard=0", "shard"),
        ("shards=2", "shard"),
        ("shard=2&shards=2", "shard"),
        ("shard=-1&shards=2", "shard"),
        ("shard=0&shards=0", "shards"),
        ("shard=0&shards=1025", "shards"),
        ("shard=0&shard=0&shards=2", "shard"),
        ("shard=x&shards=2", "shard"),
        ("group=%zz", "%zz"),
        ("group=%FF", "%FF"),
        ("name=x", "name"),
        ("limit=1", "limit"),
        ("&", "unknown"),
    ] {
        is_problem(&server.get(&format!("/sd?{query}")), 400, word);
    }
    let response = server.send(&Request::new("PUT", "/sd"));
    is_problem(&response, 405, "method");
    assert_eq!(response.header("Allow"), Some("GET, HEAD"));
    is_problem(&server.get("/api/v1/nothing"), 404, "path");
    is_problem(&server.get("/api/v2"), 404, "path");
    server.get("/sdx").is(404, "404 page not found\n");
}

#[test]
fn what_one_question_may_ask_is_bounded() {
    let server = Server::start(&[]);
    let many = |count: usize, one: fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>();
    let list = |count: usize| format!("a+in+({})", many(count, |n| n.to_string()).join(","));
    let names = |count: usize| many(count, |n| format!("!n{n}")).join(",");
    let groups = |count: usize| many(count, |n| format!("group={n}")).join("&");
    for path in ["/sd", "/api/v1/registrations"] {
        for most in [
            groups(256),
            format!("selector={}", list(256)),
            format!("selector={}&selector={}", names(32), names(30)),
            format!("selector={}", vec![list(200); 3].join(",")),
        ] {
            server.get(&format!("{path}?{most}")).has_status(200, &most);
        }
        for (more, word) in [
            (groups(257), "256"),
            (vec!["group=a"; 257].join("&"), "256"),
            (format!("selector={}", list(257)), "256 values"),
            (format!("selector={}&selector=b!%3D1", list(256)), "256 values"),
            (format!("selector={}", names(33)), "32 requirements"),
            (format!("selector={}&selector=x", names(32)), "32 requirements"),
        ] {
            is_problem(&server.get(&format!("{path}?{more}")), 400, word);
        }
    }
    let ask = |q: String| server.get(&format!("/api/v1/registrations?q={q}"));
    ask(many(16, |n| n.to_string()).join("+")).has_status(200, "16 words");
    ask(vec!["word"; 50].join("+")).has_status(200, "one word, again and again");
    ask("x".repeat(256)).has_status(200, "256 bytes");
    is_problem(&ask(many(17, |n| n.to_string()).join("+")), 400, "16");
    is_problem(&ask("x".repeat(257)), 400, "256");
    is_problem(&ask("%C3%BC".repeat(129)), 400, "256");
    is_problem(&server.get("/api/v1/registrations?limit=1001"), 400, "1000");
}

#[test]
fn a_list_has_a_tag_and_is_compressed_for_who_asks() {
    let server = Server::start(&[]);
    register(&server, "a:1", "g", json!({}));
    let plain = server.get("/sd?group=g");
    assert_eq!(plain.header("Cache-Control"), Some("private, no-cache"));
    let tag = plain.header("ETag").expect("a list has a tag").to_owned();
    let known = server.send(&Request::new("GET", "/sd?group=g").header("If-None-Match", &tag));
    known.has_status(304, "a list that is known");
    let gzip = server.send(&Request::new("GET", "/sd?group=g").header("Accept-Encoding", "gzip"));
    assert_eq!(gzip.header("Content-Encoding"), Some("gzip"));
    let head = server.send(&Request::new("HEAD", "/sd?group=g"));
    assert_eq!(head.header("Content-Length"), Some(plain.body.len().to_string().as_str()));
    // A renewal changes nothing, another lifetime neither.
    server.register(r#"{"static_config":{"targets":["a:1"],"target_group":"g","labels":{},"ttl_seconds":60}}"#);
    assert_eq!(server.get("/sd?group=g").header("ETag"), Some(tag.as_str()));
}

#[test]
fn many_different_selections_leave_those_that_are_polled() {
    let server = Server::start(&[]);
    register(&server, "a:1", "g", json!({}));
    let metric = |name: &str| crate::metrics::value(&server, name).expect("there is such a metric");
    for _ in 0..3 {
        assert_eq!(listed(&server.get("/sd?group=g")), ["a:1"]);
    }
    // Each takes some 10 KB to be remembered, and all together 32 MB.
    let long = |n: usize| format!("x+in+({n},{})", "y".repeat(10_000));
    for n in 0..4000 {
        assert_eq!(listed(&server.get(&format!("/sd?selector={}", long(n)))), [""; 0]);
    }
    let (count, bytes) = (metric("inventor_selections"), metric("inventor_selection_bytes"));
    assert!((2000.0..3400.0).contains(&count) && bytes < f64::from(32 << 20), "{count} selections of {bytes} bytes");
    let builds = metric("inventor_selection_builds_total");
    assert_eq!(builds, 4001.0);
    server.get("/sd?group=g").has_status(200, "a selection that is polled");
    assert_eq!(metric("inventor_selection_builds_total"), builds, "it was kept");
    assert!(metric("inventor_selection_hits_total") >= 3.0);
}

#[test]
fn a_selection_is_right_whatever_changes_while_it_is_built() {
    let server = Server::start(&[]);
    for n in 0..2000 {
        register(&server, &format!("host-{n}:1"), "g", json!({"n": (n % 7).to_string()}));
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..600 {
                register(&server, &format!("host-{n}:1"), "g", json!({"n": ((n + 1) % 7).to_string()}));
            }
        });
        for n in 0..7 {
            server.get(&format!("/sd?selector=n%3D{n}")).has_status(200, n);
        }
        writer.join().unwrap();
    });
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); 7];
    for n in 0..2000_usize {
        expected[if n < 600 { (n + 1) % 7 } else { n % 7 }].push(format!("host-{n}:1"));
    }
    for (n, expected) in expected.iter_mut().enumerate() {
        expected.sort();
        eventually(SOON, || listed(&server.get(&format!("/sd?selector=n%3D{n}"))) == *expected);
    }
    let _: Value = server.get("/sd").json();
}
