//! `/api/v1/groups`: which there are, each as one declares it, and what declaring it does.

use serde_json::{Value, json};

use super::{Stores, authorized, is_problem, listed, on_both_stores, register, start};
use crate::client::{Request, Response};
use crate::eventually::{SOON, eventually_some};
use crate::server::Server;

fn declare(server: &Server, name_and_query: &str, group: &Value) -> Response {
    server.send(&authorized("PUT", &format!("/api/v1/groups/{name_and_query}")).body(group.to_string()))
}

fn counts(created: usize, updated: usize, unchanged: usize, deleted: usize) -> Value {
    json!({"created": created, "updated": updated, "unchanged": unchanged, "deleted": deleted})
}

fn entry(target: &str) -> Value {
    json!({"targets": [target], "labels": {"t": target}})
}

#[test]
fn groups_are_listed_by_name_with_their_numbers() {
    on_both_stores(|server| {
        assert_eq!(server.get("/api/v1/groups").json(), json!({"groups": []}));
        server.register(r#"{"static_config":{"targets":["a:1","b:1"],"target_group":"z","ttl_seconds":0}}"#);
        register(server, "c:1", "a b/c", json!({}));
        register(server, "d:1", "z", json!({}));
        let groups = server.get("/api/v1/groups").json()["groups"].take();
        let names: Vec<&str> = groups.as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a b/c", "z"]);
        assert_eq!((&groups[1]["registrations"], &groups[1]["targets"]), (&json!(2), &json!(3)));
        assert!(groups[1]["last_updated_at"].is_string() && groups[1]["next_expiry_at"].is_string(), "{groups}");
        let found = server.get("/api/v1/groups/a%20b%2Fc");
        assert_eq!(found.json(), json!([{"targets": ["c:1"], "labels": {}}]), "the name is one segment, decoded once");
        is_problem(&server.get("/api/v1/groups/none"), 404, "no registration");
        is_problem(&server.get("/api/v1/groups/%zz"), 400, "percent");
        is_problem(&server.get("/api/v1/groups/a/b"), 404, "path");
    });
}

#[test]
fn a_group_becomes_exactly_what_is_declared() {
    on_both_stores(|server| {
        let first =
            json!([entry("a:1"), {"targets": ["b:1", "b:2"], "modules": ["m"]}, {"targets": ["c:1"], "labels": null}]);
        let answer = declare(server, "g", &first);
        answer.has_status(200, "a new group");
        assert_eq!(answer.json(), counts(3, 0, 0, 0));
        let found = server.get("/api/v1/groups/g");
        assert_eq!(found.header("ETag"), answer.header("ETag"));
        let mut shown = found.json().as_array().unwrap().clone();
        shown.sort_by_key(|entry| entry["targets"][0].to_string());
        let expected = [
            entry("a:1"),
            json!({"targets": ["b:1", "b:2"], "labels": {}, "modules": ["m"]}),
            json!({"targets": ["c:1"], "labels": {}}),
        ];
        assert_eq!(shown, expected);
        assert_eq!(declare(server, "g", &found.json()).json(), counts(0, 0, 3, 0), "the answer can be declared again");
        assert_eq!(server.get("/api/v1/groups/g").header("ETag"), found.header("ETag"));

        let second = json!([entry("a:1"), {"targets": ["c:1"], "labels": {"new": "yes"}}, entry("d:1")]);
        let dry = declare(server, "g?dry_run=true", &second);
        assert_eq!(dry.json(), counts(1, 1, 1, 1));
        assert_eq!(server.get("/api/v1/groups/g").header("ETag"), found.header("ETag"), "nothing was done");
        let done = declare(server, "g", &second);
        assert_eq!((done.json(), done.header("ETag")), (dry.json(), dry.header("ETag")));
        assert_eq!(listed(&server.get("/group?name=g")), ["a:1", "c:1", "d:1"]);
        assert_eq!(server.send(&authorized("DELETE", "/api/v1/groups/g")).json(), json!({"deleted": 3}));
        is_problem(&server.send(&authorized("DELETE", "/api/v1/groups/g")), 404, "no registration");
        assert_eq!(server.get("/discover").text(), "[]\n");
    });
}

#[test]
fn what_is_declared_stays_unless_it_gets_a_lifetime() {
    Stores::new().each(|setup| {
        let server = start(&setup.clone().env("TTL_SECONDS", "1"));
        declare(&server, "forever", &json!([entry("a:1")])).has_status(200, "for ever");
        declare(&server, "mortal?ttl_seconds=1", &json!([entry("b:1")])).has_status(200, "for a second");
        crate::eventually::eventually(crate::eventually::SOON, || server.discover().len() == 1);
        assert_eq!(listed(&server.get("/discover")), ["a:1"]);
        // The same again begins its lifetime anew, with the new one.
        assert_eq!(declare(&server, "forever?ttl_seconds=1", &json!([entry("a:1")])).json(), counts(0, 0, 1, 0));
        crate::eventually::eventually(crate::eventually::SOON, || server.discover().is_empty());
    });
    let server = Server::start(&[("TTL_MAX_SECONDS", "30000")]);
    is_problem(&declare(&server, "g", &json!([entry("a:1")])), 400, "name one");
    is_problem(&declare(&server, "g?ttl_seconds=30001", &json!([entry("a:1")])), 400, "TTL_MAX_SECONDS");
    declare(&server, "g?ttl_seconds=30000", &json!([entry("a:1")])).has_status(200, "within the bounds");
}

#[test]
fn all_faults_come_at_once_and_nothing_is_done() {
    let server = Server::start(&[]);
    declare(&server, "g", &json!([entry("a:1")])).has_status(200, "a group");
    let response = declare(
        &server,
        "g",
        &json!([entry("b:1"), {"targets": []}, {"targets": ["c:1"], "lables": {}}, {"targets": ["d:1"], "labels": {"bad-label": "x"}}, entry("b:1")]),
    );
    is_problem(&response, 400, "body");
    let problem = response.json();
    let pointers: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/1/targets", "/2/lables", "/3/labels/bad-label", "/4/targets"]);
    assert_eq!(problem["errors_total"], json!(4));
    let many = declare(&server, "g", &json!(vec![5; 250]));
    assert_eq!(many.json()["errors"].as_array().unwrap().len(), 100);
    assert_eq!(many.json()["errors_total"], json!(250));
    is_problem(&declare(&server, "g", &json!([])), 400, "allow_empty");
    is_problem(&declare(&server, "g", &json!({})), 400, "body");
    let entries: Vec<Value> = (0..10_001).map(|n| json!({"targets": [n.to_string()]})).collect();
    is_problem(&declare(&server, "g", &json!(entries)), 400, "body");
    for query in ["dry_run=yes", "adopt=1", "allow_empty", "ttl_seconds=x", "ttl_seconds=-1", "dry-run=true"] {
        is_problem(&declare(&server, &format!("g?{query}"), &json!([entry("b:1")])), 400, "");
    }
    assert_eq!(listed(&server.get("/discover")), ["a:1"]);
    assert_eq!(declare(&server, "g?allow_empty=true", &json!([])).json(), counts(0, 0, 0, 1));
}

#[test]
fn what_stands_in_another_group_is_taken_only_when_that_is_said() {
    on_both_stores(|server| {
        register(server, "a:1", "other", json!({"t": "a:1"}));
        let group = json!([entry("a:1"), entry("b:1")]);
        let conflict = declare(server, "g", &group);
        is_problem(&conflict, 409, "adopt");
        assert_eq!(conflict.json()["errors"][0]["pointer"], json!("/0/targets"));
        assert_eq!(listed(&server.get("/group?name=other")), ["a:1"]);
        assert_eq!(declare(server, "g?adopt=true", &group).json(), counts(1, 1, 0, 0));
        assert_eq!(server.get("/group?name=other").text(), "[]\n");
        assert_eq!(listed(&server.get("/group?name=g")), ["a:1", "b:1"]);
    });
}

#[test]
fn if_match_keeps_two_from_overwriting_each_other() {
    let server = Server::start(&[]);
    let put = |tag: &str, group: &Value| {
        server.send(&authorized("PUT", "/api/v1/groups/g").header("If-Match", tag).body(group.to_string()))
    };
    is_problem(&put("*", &json!([entry("a:1")])), 412, "If-Match");
    let create = || {
        let body = json!([entry("a:1")]).to_string();
        server.send(&authorized("PUT", "/api/v1/groups/g").header("If-None-Match", "*").body(body))
    };
    let created = create();
    created.has_status(200, "a new group");
    is_problem(&create(), 412, "If-None-Match");
    let tag = created.header("ETag").unwrap().to_owned();
    let next = put(&tag, &json!([entry("b:1")]));
    next.has_status(200, "the tag of the group");
    is_problem(&put(&tag, &json!([entry("c:1")])), 412, "If-Match");
    let weak = format!("W/{}", next.header("ETag").unwrap());
    is_problem(&put(&weak, &json!([entry("c:1")])), 412, "If-Match");
    put("*", &json!([entry("b:1")])).has_status(200, "any tag");
    is_problem(&server.send(&authorized("DELETE", "/api/v1/groups/g").header("If-Match", &tag)), 412, "If-Match");
    let newest = server.get("/api/v1/groups/g").header("ETag").unwrap().to_owned();
    server.send(&authorized("DELETE", "/api/v1/groups/g").header("If-Match", &newest)).has_status(200, "the tag");
}

#[test]
fn a_group_of_thousands_is_declared_at_once() {
    on_both_stores(|server| {
        let group = |last: &str| {
            let mut entries: Vec<Value> = (0..3_999)
                .map(|n| json!({"targets": [format!("host-{n}.example.com:9100")], "labels": {"n": n.to_string(), "padding": "x".repeat(900)}}))
                .collect();
            entries.push(json!({"targets": ["last:1"], "labels": {"v": last}}));
            json!(entries)
        };
        let (first, second) = (group("1"), group("2"));
        assert!(first.to_string().len() > 3_000_000);
        // On a busy machine so large a write may take longer than a client waits for it: it is repeated.
        let declared = |group: &Value| {
            let answer =
                eventually_some(SOON, || Some(declare(server, "g", group)).filter(|answer| answer.status != 503));
            answer.has_status(200, "a large group");
            let counts = answer.json();
            let sum: u64 = ["created", "updated", "unchanged"].iter().map(|name| counts[name].as_u64().unwrap()).sum();
            assert_eq!((sum, &counts["deleted"]), (4_000, &json!(0)), "{counts}");
        };
        declared(&first);
        declared(&first);
        declared(&second);
        assert_eq!(server.discover().len(), 4_000);
    });
}

#[test]
fn a_large_body_is_for_those_with_the_right() {
    let setup = super::scopes::teams();
    let server = start(&setup);
    let large = json!([{"targets": ["a:1"], "labels": {"padding": "x".repeat(100_000)}}]).to_string();
    let put = |token: &str, body: &str| {
        server.send(&Request::new("PUT", "/api/v1/groups/a").header("x-api-token", token).body(body))
    };
    put("wa", &large).has_status(200, "the right token");
    is_problem(&put("wrong", &large), 401, "token");
    is_problem(&put("wb", &large), 403, "may not change");
    let too_large = format!("[{}]", "1,".repeat(5_000_000));
    is_problem(&put("wa", &too_large), 413, "8388608");
    is_problem(&put("wb", &too_large), 403, "may not change");
    // What is odd in the parameters is said before the body is looked at.
    for body in [&large, &too_large] {
        let odd = Request::new("PUT", "/api/v1/groups/a?dry_run=maybe").header("x-api-token", "wa");
        is_problem(&server.send(&odd.body(body)), 400, "dry_run");
    }
    let deletion = Request::new("DELETE", "/api/v1/groups/a").header("x-api-token", "wa");
    is_problem(&server.send(&deletion.body(&large)), 413, "65536");
    assert_eq!(server.discover_as("secret").len(), 1);
    let single = server.send(&authorized("PUT", "/target").body(large.as_bytes()));
    single.has_status(413, "one registration is no large body");
}

#[test]
fn two_teams_declare_their_groups_and_take_nothing_from_each_other() {
    let server = start(&super::scopes::teams());
    let put = |token: &str, name: &str, targets: &[&str]| {
        let group: Vec<Value> = targets.iter().map(|target| entry(target)).collect();
        let request = Request::new("PUT", &format!("/api/v1/groups/{name}")).header("x-api-token", token);
        server.send(&request.body(json!(group).to_string()))
    };
    put("wa", "a", &["a:1"]).has_status(200, "its own group");
    put("wb", "b", &["b:1"]).has_status(200, "its own group");
    is_problem(&put("wa", "b", &["x:1"]), 403, "may not change");
    let stolen = put("wa", "a?adopt=true", &["a:1", "b:1"]);
    is_problem(&stolen, 403, "may not change");
    assert_eq!(stolen.json()["errors"][0]["pointer"], json!("/1/targets"));
    assert!(!stolen.text().contains("\"b\""), "whose group that is is nobody's business");
    let delete = |token: &str| server.send(&Request::new("DELETE", "/api/v1/groups/b").header("x-api-token", token));
    is_problem(&delete("wa"), 403, "may not change");
    is_problem(&delete("ra"), 401, "token");
    assert_eq!(server.discover_as("secret").len(), 2);
    assert_eq!(delete("wb").json(), json!({"deleted": 1}));
}
