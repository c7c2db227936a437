//! How the server is told what to do: variables, `.env`, flags; and what it says of wrong ones.

use std::net::{Ipv6Addr, TcpListener};

use crate::client::Request;
use crate::server::Setup;

const BODY: &str = r#"{"static_config":{"targets":["a:1"]}}"#;

/// Asserts that the start ends with exit code 2 and a line on standard error that holds all these words.
#[track_caller]
fn check_refused(setup: &Setup, words: &[&str]) {
    let outcome = setup.run();
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let named = outcome.stderr.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(named, "no line names {words:?}: {outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
}

/// The status of a PUT with this token at a server started from this setup.
#[track_caller]
fn status_with(setup: &Setup, token: &str) -> u16 {
    setup.start().send(&Request::new("PUT", "/target").header("x-api-token", token).body(BODY)).status
}

#[test]
fn a_start_without_a_write_token_is_refused() {
    check_refused(&Setup::new().without("API_TOKEN"), &["API_TOKEN"]);
    check_refused(&Setup::new().env("API_TOKEN", ""), &["API_TOKEN"]);
}

#[test]
fn a_token_file_without_a_token_is_refused() {
    let setup = Setup::new().without("API_TOKEN");
    let empty = setup.write("empty", "\n \n");
    check_refused(&setup.clone().env("API_TOKEN_FILE", empty.to_str().unwrap()), &["API_TOKEN_FILE"]);
    check_refused(&setup.clone().env("API_TOKEN_FILE", "missing"), &["API_TOKEN_FILE", "missing"]);
    check_refused(&Setup::new().env("SD_TOKEN_FILE", "missing"), &["SD_TOKEN_FILE", "missing"]);
}

#[test]
fn a_wrong_value_is_named_with_its_variable() {
    for (name, values) in [
        ("LISTEN_PORT", &["none", "65536", "-1", "9101x"][..]),
        ("LISTEN_ADDR", &["nonsense", "300.0.0.1"]),
        ("TRUSTED_PROXIES", &["nginx", "10.0.0.0/33", "10.0.0.1;10.0.0.2"]),
        ("TTL_SECONDS", &["soon", "-1", "9223372037", "1.5"]),
        ("TTL_MIN_SECONDS", &["0", "soon", "-1"]),
        ("TTL_MAX_SECONDS", &["0", "9223372037"]),
        ("LABEL_NAMES", &["utf16", "LEGACY8"]),
        ("TARGET_INFO", &["perhaps"]),
        ("OUTAGE_KEEP_SECONDS", &["long", "-1"]),
        ("WORKERS", &["0", "many"]),
        ("MAX_CONNECTIONS", &["0", "1e3"]),
        ("RUST_LOG", &["inventor=loud"]),
        ("METRICS_AUTH", &["on", "write"]),
        ("LOG_FORMAT", &["text", "JSON"]),
        ("RESTORE", &["yes"]),
        ("REDIS_ADDR", &["localhost:6379", "[::1]:6379"]),
        ("REDIS_PORT", &["none", "65536"]),
        ("REDIS_DBNO", &["first", "-1"]),
        ("REDIS_TLS", &["maybe"]),
    ] {
        for value in values {
            // With Redis, so that its variables count; no start gets so far as to miss it.
            check_refused(&Setup::new().env("REDIS_ADDR", "localhost").env(name, value), &[name, value]);
        }
    }
}

#[test]
fn a_cluster_has_one_database_and_no_other_address_beside_it() {
    let setup = Setup::new().env("REDIS_CLUSTER", "localhost:6379,[::1]:6379");
    check_refused(&setup.clone().env("REDIS_DBNO", "1"), &["REDIS_DBNO", "1", "0 to 0"]);
    check_refused(&setup.env("REDIS_ADDR", "localhost"), &["REDIS_ADDR", "REDIS_CLUSTER"]);
    for wrong in ["localhost", "localhost:6379,", ":6379"] {
        check_refused(&Setup::new().env("REDIS_CLUSTER", wrong), &["REDIS_CLUSTER", wrong]);
    }
}

#[test]
fn a_default_lifetime_outside_of_the_bounds_ends_the_start() {
    for (name, bound, ttl) in [("TTL_MIN_SECONDS", "60", "59"), ("TTL_MAX_SECONDS", "60", "0")] {
        let setup = Setup::new().env(name, bound).env("TTL_SECONDS", ttl);
        check_refused(&setup, &["TTL_SECONDS", ttl, name, bound]);
    }
}

#[test]
fn a_flag_that_is_wrong_or_unknown_is_named() {
    check_refused(&Setup::new().without("LISTEN_PORT").argument("--listen-port=none"), &["none"]);
    check_refused(&Setup::new().argument("--no-such-flag"), &["--no-such-flag"]);
}

#[test]
fn a_refused_start_shows_no_token() {
    for setup in [
        Setup::new().env("LISTEN_PORT", "none"),
        Setup::new().env("SD_TOKEN", "reader").argument("--no-such-flag"),
        Setup::new().env("API_TOKEN", "geheim").env("API_TOKEN_FILE", "missing"),
    ] {
        let outcome = setup.run();
        for token in ["secret", "reader", "geheim"] {
            assert!(!outcome.stderr.contains(token) && !outcome.stdout.contains(token), "{outcome:?}");
        }
    }
}

#[test]
fn a_port_in_use_ends_with_code_1_and_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let outcome = Setup::new().env("LISTEN_PORT", &address.port().to_string()).run();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.lines().any(|line| line.contains(&address.to_string())), "{outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
}

#[test]
fn it_listens_on_all_addresses_by_default() {
    let server = Setup::new().without("LISTEN_ADDR").start();
    let port = server.addresses().iter().find_map(|address| address.rsplit_once(':')?.1.parse().ok());
    let port: u16 = port.unwrap_or_else(|| panic!("no port in {:?}", server.addresses()));
    crate::client::Connection::open(([127, 0, 0, 1], port).into())
        .send(&Request::new("GET", "/discover"))
        .is(200, "[]\n");
    let v6 = (Ipv6Addr::LOCALHOST, port).into();
    crate::client::Connection::open(v6).send(&Request::new("GET", "/discover")).is(200, "[]\n");
}

#[test]
fn it_listens_on_one_address_when_told() {
    let server = Setup::new().env("LISTEN_ADDR", "::1").start();
    assert!(server.address().ip().is_loopback() && server.address().is_ipv6(), "{}", server.address());
    server.get("/discover").is(200, "[]\n");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let setup = ["SD_TOKEN", "TTL_SECONDS", "LABEL_NAMES", "TARGET_INFO", "API_TOKEN_FILE", "REDIS_ADDR"]
        .iter()
        .fold(Setup::new(), |setup, name| setup.env(name, ""));
    setup.start().get("/discover").is(200, "[]\n");
}

#[test]
fn flags_are_the_variables_in_lower_case_and_win_over_them() {
    let setup = Setup::new().env("SD_TOKEN", "reader").argument("--sd-token=other").argument("--api-token=flag");
    let server = setup.start();
    server.send(&Request::new("GET", "/discover").header("x-sd-token", "other")).has_status(200, "the flag");
    server.send(&Request::new("GET", "/discover").header("x-sd-token", "reader")).has_status(403, "the variable");
    assert_eq!(status_with(&Setup::new().argument("--api-token=flag"), "flag"), 200);
}

#[test]
fn dot_env_is_read_when_app_env_is_not_set() {
    for (line, token) in [
        ("API_TOKEN=plain", "plain"),
        ("API_TOKEN=\"in quotes\"", "in quotes"),
        ("API_TOKEN='in quotes'", "in quotes"),
        ("export API_TOKEN=exported", "exported"),
        ("API_TOKEN = spaced", "spaced"),
        ("# a comment\n\n  \nAPI_TOKEN=commented # why\n", "commented"),
    ] {
        let setup = Setup::new().without("APP_ENV").without("API_TOKEN");
        setup.write(".env", line);
        assert_eq!(status_with(&setup, token), 200, "{line}");
    }
}

#[test]
fn real_variables_win_over_dot_env() {
    let setup = Setup::new().without("APP_ENV").env("API_TOKEN", "real");
    setup.write(".env", "API_TOKEN=file\nSD_TOKEN=reader\n");
    assert_eq!(status_with(&setup, "real"), 200);
    assert_eq!(status_with(&setup, "file"), 403);
    setup.start().get("/discover").is(403, "FORBIDDEN");
}

#[test]
fn dot_env_is_not_read_when_app_env_is_set() {
    for app_env in ["", "production"] {
        let setup = Setup::new().env("APP_ENV", app_env).without("API_TOKEN");
        setup.write(".env", "API_TOKEN=file\n");
        check_refused(&setup, &["API_TOKEN"]);
    }
}

#[test]
fn dot_env_may_be_missing_but_not_broken() {
    assert_eq!(status_with(&Setup::new().without("APP_ENV"), "secret"), 200);
    let setup = Setup::new().without("APP_ENV");
    setup.write(".env", "this is no assignment\n");
    check_refused(&setup, &[".env"]);
    for line in ["API_TOKEN=pa$$word", "export API_TOKEN = x$y", "API_TOKEN=\"x$HOME\"", "API_TOKEN='x'$y"] {
        setup.write(".env", format!("# first\nOTHER=$HOME\n{line}\n"));
        let outcome = setup.run();
        assert_eq!(outcome.code, Some(2), "{line}: {outcome:?}");
        assert!(outcome.stderr.contains("line 3") && outcome.stderr.contains("single quotes"), "{line}: {outcome:?}");
    }
}

#[test]
fn help_explains_each_variable_and_version_is_the_version() {
    let help = Setup::new().argument("serve").argument("--help").run();
    assert_eq!(help.code, Some(0), "{help:?}");
    for name in ["API_TOKEN", "SD_TOKEN", "LISTEN_PORT", "TTL_SECONDS", "DATA_DIR", "REDIS_ADDR", "LABEL_NAMES"] {
        let flag = format!("--{} <", name.to_lowercase().replace('_', "-"));
        for text in [flag, format!("[env: {name}]")] {
            assert!(help.stdout.contains(&text), "{text} is missing in:\n{}", help.stdout);
        }
    }
    assert!(!help.stdout.contains("secret"), "help shows no token");
    for default in ["9101", "21600", "./data", "legacy"] {
        assert!(help.stdout.contains(&format!("[default: {default}]")), "{default} is missing in:\n{}", help.stdout);
    }
    let version = Setup::new().argument("--version").run();
    assert_eq!(version.code, Some(0), "{version:?}");
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
}
