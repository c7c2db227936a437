//! Each rule finds fault with made-up sources that break it, in whatever spelling, and with no others.

use super::rules;
use super::sources::{Source, Sources};

/// What a rule on the whole crate says to these files, each a path and a text.
#[track_caller]
fn check(rule: fn(&Sources) -> Vec<String>, files: &[(&str, &str)], expected: &[&str]) {
    let sources = Sources(files.iter().map(|(path, text)| Source::parse(path, text)).collect());
    assert_eq!(rule(&sources), expected, "{files:#?}");
}

#[track_caller]
fn check_file(rule: fn(&Source) -> Vec<String>, text: &str, expected: &[&str]) {
    assert_eq!(rule(&Source::parse("src/example.rs", text)), expected, "{text}");
}

#[test]
fn a_library_is_seen_in_every_spelling() {
    for text in [
        "use redis::Client;",
        "use ::redis::Client;",
        "use redis;",
        "use redis as other;",
        "extern crate redis;",
        "use {std::fmt, ::redis::{self, Client}};",
        "fn f() { redis::cmd(\"PING\"); }",
        "fn f() { ::redis::cmd(\"PING\"); }",
        "fn f() -> ::redis::Client { todo!() }",
        "fn f(client: &dyn Into<redis::Client>) {}",
        "impl From<redis::RedisError> for Fault {}",
        "#[derive(redis::ToRedisArgs)] struct S;",
        "fn f() { println!(\"{}\", redis::cmd(\"PING\")); }",
        "fn f() { assert!(matches!(x, Some(::redis::Value::Nil))); }",
        "fn f() { use redis::Client; }",
        "mod inner { use redis::Client; }",
    ] {
        check(rules::each_library_has_one_place, &[("src/http.rs", text)], &["src/http.rs:1 uses redis"]);
        check(rules::each_library_has_one_place, &[("src/store/redis/link.rs", text)], &[]);
    }
}

#[test]
fn a_part_of_a_library_is_seen_in_every_spelling() {
    for text in [
        "use std::env;",
        "use std::env::var;",
        "use std::{fs, env};",
        "use std::env as surroundings;",
        "use std::*;",
        "fn f() { ::std::env::var(\"X\"); }",
    ] {
        check(rules::each_library_has_one_place, &[("src/http.rs", text)], &["src/http.rs:1 uses std::env"]);
    }
    let renamed = "use std as s;\nfn f() { s::env::var(\"X\"); }";
    check(rules::each_library_has_one_place, &[("src/http.rs", renamed)], &["src/http.rs:2 uses std::env"]);
}

#[test]
fn a_module_of_the_same_name_is_not_the_library() {
    let store = ("src/store/redis.rs", "pub struct Settings;");
    for text in [
        "use crate::store::redis;\nfn f() { redis::Settings; }",
        "use crate::store::redis::{self, Settings};\nfn f() { redis::Settings; }",
        "// redis::Client\nconst TEXT: &str = \"redis::Client\";",
        "use other::redis::Client;",
        "const VERSION: &str = env!(\"X\");",
    ] {
        check(rules::each_library_has_one_place, &[("src/serve.rs", text), store], &[]);
    }
    check(
        rules::each_library_has_one_place,
        &[("src/store.rs", "pub use ::redis::Settings;"), store],
        &["src/store.rs:1 uses redis"],
    );
    check(rules::each_library_has_one_place, &[("src/store.rs", "pub use self::redis::Settings;"), store], &[]);
}

#[test]
fn the_wrong_direction_is_seen_in_every_spelling() {
    for text in [
        "use crate::http::Request;",
        "use crate::{http::Request, store::Change};",
        "use crate::{http, store};",
        "use crate::http as h;",
        "use crate::http::*;",
        "use super::http::Request;",
        "use self::super::http::Request;",
        "fn f(request: crate::http::Request) {}",
        "fn f() { super::http::serve(); }",
        "fn f() { log!(\"{}\", crate::http::PORT); }",
        "mod tests { use super::super::http::Request; }",
        "pub use crate::http::Request;",
    ] {
        let files = [("src/registry.rs", text), ("src/http.rs", ""), ("src/store.rs", "")];
        check(rules::dependencies_have_one_direction, &files, &["src/registry.rs:1 knows http"]);
    }
    let deep =
        [("src/registry/view.rs", "use super::super::http::Request;"), ("src/registry.rs", ""), ("src/http.rs", "")];
    check(rules::dependencies_have_one_direction, &deep, &["src/registry/view.rs:1 knows http"]);
    let through_another = [
        ("src/registry.rs", "use crate::store::Request;"),
        ("src/store.rs", "pub use crate::http::Request;"),
        ("src/http.rs", ""),
    ];
    check(
        rules::dependencies_have_one_direction,
        &through_another,
        &["src/registry.rs:1 knows http", "src/store.rs:1 knows http"],
    );
}

#[test]
fn the_stores_are_known_to_who_builds_them() {
    let stores =
        [("src/store/redis.rs", "pub struct RedisStore;"), ("src/store.rs", "pub mod redis;\npub trait Store {}")];
    let uses = "use crate::store::{Store, redis::RedisStore};";
    check(
        rules::dependencies_have_one_direction,
        &[("src/http.rs", uses), stores[0], stores[1]],
        &["src/http.rs:1 knows store::redis"],
    );
    check(rules::dependencies_have_one_direction, &[("src/serve.rs", uses), stores[0], stores[1]], &[]);
    let main = ("src/main.rs", "use inventor::registry::Registry;");
    check(rules::dependencies_have_one_direction, &[main, ("src/registry.rs", "")], &["src/main.rs:1 knows registry"]);
}

#[test]
fn a_module_without_a_rule_is_a_fault() {
    check(
        rules::dependencies_have_one_direction,
        &[("src/util.rs", "")],
        &["src/util.rs belongs to no module of which it is said whom it may know"],
    );
}

#[test]
fn two_files_that_know_each_other_are_a_circle() {
    check(
        rules::nothing_goes_in_circles,
        &[("src/gate/a.rs", "use super::b::B;"), ("src/gate/b.rs", "fn f() { super::a::g(); }")],
        &[
            "src/gate: a, b know each other\n    src/gate/a.rs:1 knows src/gate/b.rs\n    src/gate/b.rs:1 knows src/gate/a.rs",
        ],
    );
}

#[test]
fn a_longer_way_back_is_a_circle() {
    check(
        rules::nothing_goes_in_circles,
        &[
            ("src/a.rs", "use crate::b;"),
            ("src/b.rs", "use crate::{c};"),
            ("src/c.rs", "use super::a::A;"),
            ("src/d.rs", "use crate::a::A;"),
        ],
        &["src/: a, b, c know each other\n    src/a.rs:1 knows src/b.rs\n    src/b.rs:1 knows src/c.rs\n    \
           src/c.rs:1 knows src/a.rs"],
    );
}

#[test]
fn folders_make_a_circle_where_no_two_files_do() {
    check(
        rules::nothing_goes_in_circles,
        &[
            ("src/gate/one.rs", "use crate::server::one::A;"),
            ("src/gate/two.rs", "pub struct B;"),
            ("src/server/one.rs", "pub struct A;"),
            ("src/server/two.rs", "use crate::gate::two::B;"),
        ],
        &["src/: gate, server know each other\n    src/gate/one.rs:1 knows src/server/one.rs\n    \
           src/server/two.rs:1 knows src/gate/two.rs"],
    );
}

#[test]
fn a_file_and_what_is_below_it_make_a_circle() {
    check(
        rules::nothing_goes_in_circles,
        &[
            ("src/http.rs", "mod gate;\nuse gate::Limits;"),
            ("src/http/gate.rs", "use super::Response;\npub struct Limits;"),
        ],
        &["src/http: gate, http.rs know each other\n    src/http/gate.rs:1 knows src/http.rs\n    \
           src/http.rs:2 knows src/http/gate.rs"],
    );
}

#[test]
fn passing_a_name_on_is_no_circle() {
    let below = ("src/http/response.rs", "pub struct Response;");
    for text in [
        "mod gate;\nmod response;\npub use response::Response;",
        "mod gate;\nmod response;\npub use self::response::Response;\npub use gate::Gate;",
    ] {
        check(
            rules::nothing_goes_in_circles,
            &[("src/http.rs", text), ("src/http/gate.rs", "use crate::http::Response;\npub struct Gate;"), below],
            &[],
        );
    }
    // But what is passed on and used is known.
    check(
        rules::nothing_goes_in_circles,
        &[
            ("src/http.rs", "mod gate;\npub use gate::Gate;\nfn f(gate: Gate) {}"),
            ("src/http/gate.rs", "pub struct Gate(super::Other);"),
        ],
        &["src/http: gate, http.rs know each other\n    src/http/gate.rs:1 knows src/http.rs\n    \
           src/http.rs:3 knows src/http/gate.rs"],
    );
}

#[test]
fn a_long_file_and_one_without_an_opening_are_faults() {
    let long = format!("//! It is long.\n{}", "\n".repeat(450));
    check_file(rules::files_are_short_and_say_what_they_hold, &long, &["src/example.rs has 451 lines"]);
    let silent = "use std::fmt;";
    let fault = "src/example.rs does not open with what it holds";
    check_file(rules::files_are_short_and_say_what_they_hold, silent, &[fault]);
}

#[test]
fn a_comment_that_only_restates_the_name_is_a_fault() {
    for (text, name) in [
        ("/// The file.\nstruct File;", "File"),
        ("/// Spawns.\nfn spawn() {}", "spawn"),
        ("struct S {\n    /// Its path.\n    path: u8 }", "path"),
        ("struct ServerSettings {\n    /// The limits of the server.\n    limits: u8 }", "limits"),
        ("enum E {\n    /// It is idle.\n    Idle }", "Idle"),
        ("/// For the tests.\ntrait T {\n/// Next.\nfn next(&self); }", "next"),
        ("struct S;\nimpl S {\n    /// The ids.\n    fn ids(&self) {} }", "ids"),
    ] {
        let line = text.lines().count();
        let fault = format!("src/example.rs:{line} only restates {name}");
        check_file(rules::comments_say_more_than_names, text, &[&fault]);
    }
    for text in ["/// Milliseconds.\nconst WAIT: u64 = 1;", "fn f() {}", "enum E {\n    /// Nobody asks.\n    Idle }"] {
        check_file(rules::comments_say_more_than_names, text, &[]);
    }
}

#[test]
fn a_test_that_is_left_out_is_a_fault() {
    for text in
        ["#[test]\n#[ignore]\nfn f() {}", "#[ignore = \"slow\"]\nfn f() {}", "facts! { #[test] #[ignore] fn f() {} }"]
    {
        check_file(rules::no_test_is_left_out, text, &["src/example.rs leaves a test out"]);
    }
    check_file(rules::no_test_is_left_out, "fn f() { ignore(\"#[ignore]\"); }", &[]);
}
