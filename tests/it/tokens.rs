//! Who may write, and who may read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::Request;
use crate::eventually::{SOON, eventually};
use crate::server::{Server, Setup};

const BODY: &str = r#"{"static_config":{"targets":["a:1"]}}"#;

/// The status of a PUT with this header field.
#[track_caller]
fn write_status(server: &Server, name: &str, value: impl AsRef<[u8]>) -> u16 {
    server.send(&Request::new("PUT", "/target").header(name, value).body(BODY)).status
}

/// The status of a GET /discover with this header field.
#[track_caller]
fn read_status(server: &Server, name: &str, value: impl AsRef<[u8]>) -> u16 {
    let status = discover_status(server, name, value.as_ref());
    let group = Request::new("GET", "/group?name=g").header(name, value);
    assert_eq!(server.send(&group).status, status, "/group and /discover are guarded alike");
    status
}

/// For what changes between two questions.
fn discover_status(server: &Server, name: &str, value: impl AsRef<[u8]>) -> u16 {
    server.send(&Request::new("GET", "/discover").header(name, value)).status
}

#[test]
fn writes_need_the_token() {
    let server = Server::start(&[]);
    for value in ["", "wrong", "secre", "secrett", "Secret", "SECRET", "secret, secret", "secret secret", "\"secret\""]
    {
        assert_eq!(write_status(&server, "x-api-token", value), 403, "{value}");
    }
    for name in ["x-sd-token", "x_api_token", "api-token", "Cookie"] {
        assert_eq!(write_status(&server, name, "secret"), 403, "{name}");
    }
    server.send(&Request::new("PUT", "/target?x-api-token=secret").body(BODY)).is(403, "FORBIDDEN");
    server.send(&Request::new("PUT", "/target").body(BODY)).is(403, "FORBIDDEN");
    assert_eq!(server.get("/discover").text(), "[]\n");
}

#[test]
fn the_token_is_asked_for_before_anything_else() {
    let server = Server::start(&[]);
    for method in ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"] {
        let response = server.send(&Request::new(method, "/target").body("not JSON"));
        response.has_status(403, method);
        assert_eq!(response.text(), if method == "HEAD" { "" } else { "FORBIDDEN" });
        assert!(response.header("Content-Type").is_some_and(|value| value.starts_with("text/plain")));
    }
}

#[test]
fn the_token_is_accepted_however_the_field_is_written() {
    let server = Server::start(&[]);
    for name in ["x-api-token", "X-Api-Token", "X-API-TOKEN"] {
        for value in ["secret", "  secret", "secret \t", "\tsecret"] {
            assert_eq!(write_status(&server, name, value), 200, "{name}: {value:?}");
        }
    }
    let twice = Request::new("PUT", "/target").token().token().body(BODY);
    server.send(&twice).has_status(200, "the same token twice");
}

#[test]
fn a_bearer_token_is_accepted_for_writes() {
    let server = Server::start(&[]);
    for value in ["Bearer secret", "bearer secret", "Bearer  secret"] {
        assert_eq!(write_status(&server, "Authorization", value), 200, "{value}");
    }
    for value in ["Bearer wrong", "Bearer", "Bearer ", "Bearersecret", ""] {
        assert_eq!(write_status(&server, "Authorization", value), 403, "{value}");
    }
}

#[test]
fn a_token_is_compared_as_bytes() {
    for token in ["with blanks inside", r#"quo"te's\"#, "a,b;c=d", "x y\tz", "schl\u{fc}ssel \u{1f511}", "a%41"] {
        let server = Server::start(&[("API_TOKEN", token), ("SD_TOKEN", token)]);
        assert_eq!(write_status(&server, "x-api-token", token), 200, "{token}");
        assert_eq!(read_status(&server, "x-sd-token", token), 200, "{token}");
        assert_eq!(
            write_status(&server, "x-api-token", token.replace(' ', "")),
            if token.contains(' ') { 403 } else { 200 }
        );
    }
}

#[test]
fn reads_are_open_without_a_read_token() {
    for environment in [&[][..], &[("SD_TOKEN", "")]] {
        let server = Server::start(environment);
        assert_eq!(server.get("/discover").status, 200);
        for value in ["", "anything"] {
            assert_eq!(read_status(&server, "x-sd-token", value), 200);
            assert_eq!(read_status(&server, "Authorization", value), 200);
        }
    }
}

#[test]
fn reads_need_the_read_token_when_there_is_one() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    for value in ["", "wrong", "reade", "readerr", "Reader"] {
        assert_eq!(read_status(&server, "x-sd-token", value), 403, "{value}");
        assert_eq!(read_status(&server, "Authorization", format!("Bearer {value}")), 403, "{value}");
        assert_eq!(read_status(&server, "Authorization", value), 403, "{value}");
    }
    assert_eq!(read_status(&server, "x-api-token", "reader"), 403);
    for target in ["/discover", "/discover?x-sd-token=reader", "/group?name=g", "/group"] {
        server.get(target).is(403, "FORBIDDEN");
        server.send(&Request::new("POST", target)).is(403, "FORBIDDEN");
    }
    for (name, value) in [("x-sd-token", "secret"), ("Authorization", "Bearer secret"), ("Authorization", "secret")] {
        assert_eq!(read_status(&server, name, value), 200, "who writes may read: {name}");
    }
    assert_eq!(read_status(&server, "x-api-token", "secret"), 403, "not where the Go program does not look");
    assert_eq!(write_status(&server, "x-sd-token", "reader"), 403);
    assert_eq!(write_status(&server, "x-api-token", "reader"), 403);
}

#[test]
fn the_read_token_is_accepted_in_every_form_that_a_scraper_can_send() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    assert_eq!(read_status(&server, "x-sd-token", "reader"), 200);
    assert_eq!(read_status(&server, "X-SD-Token", " reader "), 200);
    assert_eq!(read_status(&server, "Authorization", "Bearer reader"), 200);
    assert_eq!(read_status(&server, "Authorization", "reader"), 200);
    // `prometheus:reader`, `:reader`, and `any:wrong`.
    assert_eq!(read_status(&server, "Authorization", "Basic cHJvbWV0aGV1czpyZWFkZXI="), 200);
    assert_eq!(read_status(&server, "Authorization", "Basic OnJlYWRlcg=="), 200);
    assert_eq!(read_status(&server, "Authorization", "Basic YW55Ondyb25n"), 403);
    assert_eq!(read_status(&server, "Authorization", "Basic cmVhZGVy"), 403);
    assert_eq!(read_status(&server, "Authorization", "Basic !"), 403);
}

#[test]
fn metrics_and_health_are_never_guarded() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    for target in ["/metrics", "/healthcheck", "/-/healthy", "/-/ready"] {
        server.get(target).has_status(200, target);
    }
}

#[test]
fn a_token_file_holds_one_token_a_line_and_sighup_reads_it_again() {
    let setup = Setup::new().without("API_TOKEN");
    let (api, sd) = (setup.write("api", "old\nnew\n"), setup.write("sd", "reader\r\n\n"));
    let setup = setup.env("API_TOKEN_FILE", api.to_str().unwrap()).env("SD_TOKEN_FILE", sd.to_str().unwrap());
    let mut server = setup.start();
    for (token, status) in [("old", 200), ("new", 200), ("next", 403), ("old\nnew", 403), ("", 403)] {
        let token = token.replace('\n', " ");
        assert_eq!(write_status(&server, "x-api-token", &token), status, "{token:?}");
    }
    assert_eq!(read_status(&server, "x-sd-token", "reader"), 200);

    fs::write(&api, "new\nnext").unwrap();
    fs::write(&sd, "other\n").unwrap();
    server.process().signal(Signal::SIGHUP);
    eventually(SOON, || write_status(&server, "x-api-token", "next") == 200);
    eventually(SOON, || discover_status(&server, "x-sd-token", "other") == 200);
    assert_eq!(write_status(&server, "x-api-token", "new"), 200);
    assert_eq!(write_status(&server, "x-api-token", "old"), 403);
    assert_eq!(read_status(&server, "x-sd-token", "reader"), 403);
}

/// One is written in place, the other reached by a link as Kubernetes makes them.
#[test]
fn changed_token_files_are_taken_up_by_themselves() {
    let setup = Setup::new().without("API_TOKEN");
    let api = setup.write("api", "first");
    for (directory, token) in [("1", "reader"), ("2", "other")] {
        fs::create_dir(setup.path(directory)).unwrap();
        fs::write(setup.path(directory).join("sd"), token).unwrap();
    }
    symlink("1", setup.path("..data")).unwrap();
    symlink("..data/sd", setup.path("sd")).unwrap();
    let sd = setup.path("sd");
    let server = setup.clone().env("API_TOKEN_FILE", "api").env("SD_TOKEN_FILE", sd.to_str().unwrap()).start();
    assert_eq!(read_status(&server, "x-sd-token", "reader"), 200);
    fs::write(&api, "second").unwrap();
    symlink("2", setup.path("next")).unwrap();
    fs::rename(setup.path("next"), setup.path("..data")).unwrap();
    eventually(SOON, || discover_status(&server, "x-sd-token", "other") == 200);
    let statuses = ["first", "second"].map(|token| write_status(&server, "x-api-token", token));
    assert_eq!((statuses, read_status(&server, "x-sd-token", "reader")), ([403, 200], 403));

    let complaints = || server.log().iter().filter(|line| line.contains("cannot reread the tokens")).count();
    // It may have been looked at in the midst of what was written in place.
    let before = complaints();
    fs::remove_file(&api).unwrap();
    eventually(SOON, || complaints() == before + 1);
    setup.write("api", "third");
    eventually(SOON, || write_status(&server, "x-api-token", "third") == 200);
    assert_eq!(complaints(), before + 1, "it is said once");
}

#[test]
fn a_token_file_that_went_bad_leaves_the_tokens_as_they_were() {
    let setup = Setup::new().without("API_TOKEN");
    let file = setup.write("api", "first");
    let mut server = setup.env("API_TOKEN_FILE", file.to_str().unwrap()).start();
    fs::write(&file, "\n\n").unwrap();
    server.process().signal(Signal::SIGHUP);
    server.process().line_with(&["API_TOKEN_FILE"]);
    assert_eq!(write_status(&server, "x-api-token", ""), 403);
    assert_eq!(write_status(&server, "x-api-token", "first"), 200);
    fs::remove_file(&file).unwrap();
    server.process().signal(Signal::SIGHUP);
    eventually(SOON, || server.log().iter().filter(|line| line.contains("API_TOKEN_FILE")).count() >= 2);
    assert_eq!(write_status(&server, "x-api-token", "first"), 200);
}

#[test]
fn a_byte_order_mark_in_a_token_file_is_no_part_of_the_token() {
    let setup = Setup::new().without("API_TOKEN");
    let path = setup.write("tokens", b"\xef\xbb\xbffirst\r\nsecond\r\n");
    let server = setup.env("API_TOKEN_FILE", path.to_str().unwrap()).start();
    for token in ["first", "second"] {
        assert_eq!(write_status(&server, "x-api-token", token), 200, "{token}");
    }
}

/// Whatever stands in the place of the file, or hangs there, the server answers as before and ends when it is told to.
#[test]
fn no_file_of_tokens_holds_up_signals() {
    let setup = Setup::new().without("API_TOKEN");
    let file = setup.write("api", "first\n");
    let place = setup.path("api");
    let setup = setup.env("API_TOKEN_FILE", file.to_str().unwrap());
    let mkfifo = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let silent = setup.path("silent");
    mkfifo(&silent);
    // Somebody has it open and writes nothing.
    let _writer = fs::File::options().read(true).write(true).open(&silent).unwrap();
    let replacements: [&dyn Fn(); 6] = [
        &|| mkfifo(&place),
        &|| symlink(&silent, &place).unwrap(),
        &|| symlink("/dev/zero", &place).unwrap(),
        &|| symlink("api", &place).unwrap(),
        &|| fs::create_dir(&place).unwrap(),
        &|| fs::File::create(&place).unwrap().set_len(1 << 40).unwrap(),
    ];
    for (number, replace) in replacements.iter().enumerate() {
        fs::write(&place, "first\n").unwrap();
        let mut server = setup.start();
        fs::remove_file(&place).unwrap();
        replace();
        server.process().signal(Signal::SIGHUP);
        server.process().signal(Signal::SIGHUP);
        assert_eq!(write_status(&server, "x-api-token", "first"), 200, "{number}");
        if number == 1 {
            let begun = Instant::now();
            assert_eq!(server.terminate(), Some(0));
            assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
        } else {
            server.process().line_with(&["cannot reread the tokens, keeping the old ones", "API_TOKEN_FILE"]);
            assert_eq!(write_status(&server, "x-api-token", "first"), 200, "{number}");
            assert_eq!(server.terminate(), Some(0));
        }
        if place.is_dir() { fs::remove_dir(&place).unwrap() } else { fs::remove_file(&place).unwrap() }
    }
}

#[test]
fn a_token_that_comes_through_a_pipe_is_one() {
    let setup = Setup::new().without("API_TOKEN").env("API_TOKEN_FILE", "/dev/fd/4");
    let setup = setup.after("exec 4<<END\nfrom a pipe\nEND\n:");
    let server = setup.start();
    assert_eq!(write_status(&server, "x-api-token", "from a pipe"), 200);
}

#[test]
fn too_many_tokens_are_refused_at_once() {
    let setup = Setup::new();
    let lines: String = (0..60_000).map(|n| format!("n{n} write * sha256:{n:064x}\n")).collect();
    let file = setup.write("tokens", lines);
    let begun = Instant::now();
    let outcome = setup.env("TOKENS_FILE", file.to_str().unwrap()).run();
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("holds 60000 tokens; at most 10000 are allowed"), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}

#[test]
fn what_a_token_guards_is_not_for_shared_caches() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    let id = server.register(BODY);
    let read = |target: &str| Request::new("GET", target).header("x-sd-token", "reader");
    let find = Request::new("GET", "/target").token().body(format!(r#"{{"id":"{id}"}}"#));
    for request in [read("/discover"), read("/group?name=g"), find] {
        let response = server.send(&request);
        response.has_status(200, &request);
        let control = response.header("Cache-Control").unwrap_or_default();
        assert!(control.contains("private") || control.contains("no-store"), "{request:?}: {control:?}");
    }
}
