//! What the commands say when something else than the server answers: another program, a proxy, or the original.

use super::between::Between;
use super::{Cli, listed};
use crate::server::Server;

#[test]
fn an_answer_of_something_else_is_told_as_such_by_every_command() {
    let server = Server::start(&[]);
    let id = server.register(r#"{"static_config": {"targets": ["a:1"], "target_group": "g"}}"#);
    let between = Between::before(&server);
    let cli = Cli::at(&between.url());
    let file = cli.write("f.json", r#"[{"targets": ["a:1"]}]"#);
    let file = file.to_str().unwrap();
    let commands: [&[&str]; 15] = [
        &["list"],
        &["get", &id],
        &["groups"],
        &["groups", "delete", "g"],
        &["status"],
        &["pollers"],
        &["changes"],
        &["problems"],
        &["export"],
        &["diff", "-g", "g", file],
        &["sync", "-g", "g", file],
        &["import", file],
        &["register", file],
        &["deregister", file],
        &["deregister", "--id", &id],
    ];
    for (status, content_type, text, shown) in [
        ("404 Not Found", "text/html", "<html><head><title>404 Not Found</title></head></html>", "404 Not Found"),
        ("404 Not Found", "text/plain; charset=utf-8", "404 page not found\n", "404 page not found"),
        ("403 Forbidden", "text/html", "<h1>No certificate</h1>", "No certificate"),
        ("200 OK", "text/html", "<title>Welcome</title>", "Welcome"),
        ("404 Not Found", "application/json", "{}", "404"),
        ("400 Bad Request", "text/html", "<center>Bad</center>", "Bad"),
        ("501 Not Implemented", "text/html", "<title>Unsupported method</title>", "Unsupported method"),
        // Programs that know neither registrations nor that they are asked for them answer with JSON as well.
        ("200 OK", "application/json", "{}", "200: {}"),
        ("200 OK", "application/json", "[]", "200: []"),
        ("200 OK", "application/json", r#"{"status":"ok"}"#, r#"{"status":"ok"}"#),
        ("200 OK", "application/json", "null", "200: null"),
        ("204 No Content", "text/plain", "", "204: no reason given"),
    ] {
        between.says(status, content_type, text);
        for command in commands {
            let outcome = cli.run(command);
            assert_eq!(outcome.code, Some(3), "{command:?} {status} {content_type}: {outcome:?}");
            assert!(outcome.stdout.is_empty(), "{command:?}: {outcome:?}");
            assert!(outcome.stderr.contains("is not inventor") && outcome.stderr.contains(shown), "{outcome:?}");
            assert!(!outcome.stderr.contains('<') && !outcome.stderr.contains("token"), "{command:?}: {outcome:?}");
        }
    }
    assert_eq!(listed(&server), ["a:1"]);
}

#[test]
fn what_needs_the_newer_api_says_so_of_the_original() {
    // What it answers to the one question that tells it apart.
    let original = Between::alone(|head| match head {
        "GET /healthcheck HTTP/1.1" => {
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"
        }
        _ => {
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\nConnection: close\r\n\r\n404 page not found\n"
        }
    });
    let cli = Cli::at(&original.url());
    let file = cli.write("f.json", r#"[{"targets": ["a:1"]}]"#);
    for command in
        [&["list"][..], &["status"], &["diff", "-g", "g", file.to_str().unwrap()], &["groups", "delete", "g"]]
    {
        cli.fails_with(3, command, &["is the original inventor, which has no /api/v1", "register, deregister, import"]);
    }
    for command in
        [&["register", "--target", "a:1", "--ttl", "5m"][..], &["import", file.to_str().unwrap(), "--ttl=5m"]]
    {
        cli.fails_with(3, command, &["is the original inventor, which knows one lifetime for all"]);
    }
}
