//! `/api/v1/registrations`: search, sort and page; look at one, remove one.

use std::collections::BTreeSet;

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{authorized, is_problem, on_both_stores, register};
use crate::client::Request;
use crate::server::Server;

/// The first targets of all pages of this query, in their order, and the totals.
#[track_caller]
fn pages(server: &Server, query: &str, limit: usize) -> Vec<String> {
    let query = if query.is_empty() { String::new() } else { format!("&{query}") };
    let (mut targets, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/registrations?limit={limit}{query}{token}"));
        page.has_status(200, &query);
        let page = page.json();
        let registrations = page["registrations"].as_array().expect("there is a page");
        assert!(registrations.len() <= limit);
        targets.extend(registrations.iter().map(|found| found["targets"][0].as_str().unwrap().to_owned()));
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => {
                assert_eq!(page["total"], json!(targets.len()), "{query}");
                return targets;
            }
        }
    }
}

fn seconds(time: &Value) -> Option<jiff::Timestamp> {
    time.as_str().map(|text| text.parse().expect("times are RFC 3339"))
}

#[test]
fn a_registration_is_shown_with_its_times() {
    on_both_stores(|server| {
        let config = json!({"targets": ["a:1", "b:1"], "target_group": "g", "labels": {"x": "<1>"}, "modules": ["m"],
            "ttl_seconds": 600});
        let id = server.register(json!({ "static_config": config }).to_string());
        let list = server.get("/api/v1/registrations");
        assert_eq!(list.header("Content-Type"), Some("application/json"));
        let found = list.json()["registrations"][0].clone();
        for (name, value) in [
            ("id", json!(id)),
            ("targets", json!(["a:1", "b:1"])),
            ("labels", json!({"x": "<1>"})),
            ("target_group", json!("g")),
            ("modules", json!(["m"])),
            ("ttl_seconds", json!(600)),
        ] {
            assert_eq!(found[name], value, "{name}");
        }
        let (updated, expires) = (seconds(&found["updated_at"]).unwrap(), seconds(&found["expires_at"]).unwrap());
        let lifetime = expires.as_second() - updated.as_second();
        assert!((598..=602).contains(&lifetime), "{lifetime} s");
        assert_eq!(found.as_object().unwrap().len(), 8);

        let one = server.get(&format!("/api/v1/registrations/{id}"));
        assert_eq!(one.json()["renewal_interval_seconds"], Value::Null);
        assert_eq!(one.json()["id"], json!(id));
        let forever = server.register(r#"{"static_config":{"targets":["c:1"],"ttl_seconds":0}}"#);
        let forever = server.get(&format!("/api/v1/registrations/{forever}")).json();
        assert_eq!((&forever["expires_at"], &forever["ttl_seconds"]), (&Value::Null, &json!(0)));
        assert_eq!((&forever["labels"], &forever["modules"]), (&json!({}), &json!([])));
    });
}

#[test]
fn a_renewal_changes_the_tag_of_a_registration() {
    let server = Server::start(&[]);
    let id = register(&server, "a:1", "g", json!({}));
    let path = format!("/api/v1/registrations/{id}");
    let tag = server.get(&path).header("ETag").expect("there is a tag").to_owned();
    assert_eq!(server.get(&path).header("ETag"), Some(tag.as_str()));
    server.send(&Request::new("GET", &path).header("If-None-Match", &tag)).has_status(304, "a known one");
    register(&server, "a:1", "g", json!({}));
    let new = server.get(&path).header("ETag").expect("there is a tag").to_owned();
    assert_ne!(new, tag);
    is_problem(&server.send(&authorized("DELETE", &path).header("If-Match", &tag)), 412, "If-Match");
    server.send(&authorized("DELETE", &path).header("If-Match", &new)).has_status(204, "the right tag");
    is_problem(&server.get(&path), 404, "no such");
    is_problem(&server.send(&authorized("DELETE", &path)), 404, "no such");
    is_problem(&server.send(&authorized("DELETE", "/api/v1/registrations/nonsense")), 400, "UUID");
    is_problem(&server.send(&Request::new("DELETE", &path)), 401, "token");
}

#[test]
fn a_rhythm_of_renewals_is_two_alike_that_changed_nothing() {
    let server = Server::start(&[]);
    let id = register(&server, "a:1", "g", json!({}));
    let path = format!("/api/v1/registrations/{id}");
    let interval = || server.get(&path).json()["renewal_interval_seconds"].as_u64();
    // Each write is in another second than the one before.
    let second = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let write = |labels: Value| {
        let before = second();
        crate::eventually::eventually(crate::eventually::SOON, || second() > before);
        register(&server, "a:1", "g", labels);
    };
    write(json!({}));
    assert_eq!(interval(), None, "one gap is no rhythm");
    for n in 0..3 {
        write(json!({"n": n.to_string()}));
    }
    assert_eq!(interval(), None, "changes are no renewals");
    for _ in 0..2 {
        write(json!({"n": "2"}));
    }
    assert!(interval().is_some_and(|seconds| seconds < 5), "{:?}", interval());
}

#[test]
fn pages_have_everything_once_in_every_order() {
    on_both_stores(|server| {
        let mut all = BTreeSet::new();
        for n in 0..23 {
            let ttl = if n % 5 == 0 { 0 } else { 1000 + 7 * (n * 11 % 23) };
            let target = format!("host-{n}:1");
            let config = json!({"targets": [target], "target_group": format!("g{}", n % 3), "ttl_seconds": ttl});
            server.register(json!({ "static_config": config }).to_string());
            all.insert(target);
        }
        let by = |sort: &str, limit| pages(server, &format!("sort={sort}"), limit);
        let plain = pages(server, "", 1000);
        assert_eq!(by("id", 4), plain);
        assert_eq!(by("-id", 4), plain.iter().rev().cloned().collect::<Vec<_>>());
        for sort in ["id", "target_group", "expires_at", "updated_at", "-target_group", "-expires_at", "-updated_at"] {
            let whole = by(sort, 1000);
            assert_eq!(whole.iter().cloned().collect::<BTreeSet<_>>(), all, "{sort}");
            for limit in [1, 2, 7, 23] {
                assert_eq!(by(sort, limit), whole, "{sort} by {limit}");
            }
        }
        let expiries = |sort: &str| {
            let page = server.get(&format!("/api/v1/registrations?sort={sort}")).json();
            let times = page["registrations"].as_array().unwrap().iter().map(|found| seconds(&found["expires_at"]));
            times.collect::<Vec<_>>()
        };
        let first = expiries("expires_at");
        let (mortal, forever): (Vec<&Option<_>>, Vec<&Option<_>>) = first.iter().partition(|time| time.is_some());
        assert!(mortal.is_sorted() && first[mortal.len()..].iter().all(Option::is_none), "{first:?}");
        assert!(expiries("-expires_at")[..forever.len()].iter().all(Option::is_none));
    });
}

#[test]
fn a_search_finds_what_has_all_words_in_any_case() {
    let server = Server::start(&[]);
    register(&server, "Alpha-1:9100", "Web", json!({"env": "prod"}));
    register(&server, "zürich:1", "db", json!({"env": "staging", "Owner": "me"}));
    let id = server.register(r#"{"static_config":{"targets":["c:1"],"modules":["if_mib"],"target_group":"Web"}}"#);
    let found = |query: &str| {
        let mut found = pages(&server, query, 100);
        found.sort();
        found
    };
    assert_eq!(found("q=alpha"), ["Alpha-1:9100"]);
    assert_eq!(found("q=WEB"), ["Alpha-1:9100", "c:1"]);
    assert_eq!(found("q=web+env"), ["Alpha-1:9100"]);
    assert_eq!(found("q=Z%C3%9CRICH"), ["zürich:1"]);
    assert_eq!(found("q=owner+staging"), ["zürich:1"]);
    assert_eq!(found("q=if_MIB"), ["c:1"]);
    assert_eq!(found(&format!("q={}", &id[..13])), ["c:1"]);
    assert_eq!(found("q=targets"), [""; 0]);
    assert_eq!(found("q=env&selector=env%3Dprod"), ["Alpha-1:9100"]);
    assert_eq!(found("group=Web&group=db&selector=env"), ["Alpha-1:9100", "zürich:1"]);
    assert_eq!(found("group=Web&q=c:1"), ["c:1"]);
}

#[test]
fn what_changes_meanwhile_is_neither_skipped_nor_repeated() {
    let server = Server::start(&[]);
    for n in 0..30 {
        register(&server, &format!("host-{n}:1"), "g", json!({}));
    }
    let page = |token: &str| server.get(&format!("/api/v1/registrations?limit=10{token}")).json();
    let targets = |page: &Value| {
        let found = page["registrations"].as_array().unwrap().iter();
        found.map(|found| found["targets"][0].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = page("");
    let id = first["registrations"][3]["id"].as_str().unwrap();
    server.send(&authorized("DELETE", &format!("/api/v1/registrations/{id}"))).has_status(204, id);
    let second = page(&format!("&page_token={}", first["next_page_token"].as_str().unwrap()));
    for target in targets(&second) {
        register(&server, &target, "g", json!({"changed": "yes"}));
    }
    // The limit may change from page to page.
    let token = second["next_page_token"].as_str().unwrap();
    let third = server.get(&format!("/api/v1/registrations?limit=500&page_token={token}")).json();
    let seen = [targets(&first), targets(&second), targets(&third)].concat();
    assert_eq!(seen.len(), 30);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 30);
    assert_eq!(third["total"], json!(29));
}

#[test]
fn a_page_of_large_registrations_ends_early_and_the_next_one_goes_on() {
    let server = Server::start(&[]);
    // Each takes 360 KB, since six characters stand for each of these.
    let large = "<".repeat(60_000);
    for n in 0..15 {
        register(&server, &format!("host-{n}:1"), "g", json!({ "large": large }));
    }
    for query in ["", "sort=-targets", "sort=expires_at", "group=g&q=host-1"] {
        let first = server.get(&format!("/api/v1/registrations?limit=1000&{query}"));
        assert!(first.body.len() <= 4 * 1024 * 1024 + 10_000, "{query}: {}", first.body.len());
        let seen = pages(&server, query, 1000);
        assert_eq!(seen.len(), if query.contains("host-1") { 6 } else { 15 });
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "{query}");
    }
    let last = server.get("/api/v1/registrations?limit=1000&skip=13").json();
    assert_eq!((last["registrations"].as_array().map(Vec::len), &last["next_page_token"]), (Some(2), &Value::Null));
    let changes = server.get("/api/v1/changes?limit=1000").json();
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(11), "they hold what they show");
}

#[test]
fn everything_odd_is_refused() {
    let server = Server::start(&[]);
    for n in 0..3 {
        register(&server, &format!("host-{n}:1"), "g", json!({}));
    }
    let page = server.get("/api/v1/registrations?limit=1").json();
    let token = page["next_page_token"].as_str().unwrap().to_owned();
    for (query, word) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("sort=group", "sort"),
        ("sort=--id", "sort"),
        ("q=", "q"),
        ("q=a&q=b", "q"),
        ("page_token=x", "page_token"),
        ("page_token=", "page_token"),
        (&format!("page_token={token}&sort=-id"), "page_token"),
        (&format!("page_token={token}&q=host"), "page_token"),
        ("gruop=g", "gruop"),
        ("shard=0&shards=1", "shard"),
    ] {
        is_problem(&server.get(&format!("/api/v1/registrations?{query}")), 400, word);
    }
    for path in ["groups", "status", "pollers", "quarantine", "duplicates", "problems", "groups/g"] {
        is_problem(&server.get(&format!("/api/v1/{path}?x=1")), 400, "x");
    }
    for query in ["limit=0", "limit=1001", "id=x", "target_group=", "x=1"] {
        is_problem(&server.get(&format!("/api/v1/changes?{query}")), 400, "");
    }
    let response = server.send(&authorized("POST", "/api/v1/registrations"));
    is_problem(&response, 405, "method");
    assert_eq!(response.header("Allow"), Some("GET, HEAD"));
    let head = server.send(&Request::new("HEAD", "/api/v1/registrations"));
    let get = server.get("/api/v1/registrations");
    assert_eq!(head.header("Content-Length"), Some(get.body.len().to_string().as_str()));
    let gzip = server.send(&Request::new("GET", "/api/v1/registrations").header("Accept-Encoding", "gzip"));
    assert_eq!(gzip.header("Content-Encoding"), None, "an ETag is one thing");
}
