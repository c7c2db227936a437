//! The page at `/` as it is sent: to whom, under which policy, kept for how long. What it does is in `tests/page`.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::client::{Request, Response};
use crate::server::{Server, Setup};

/// What a browser accepts.
pub(crate) const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[track_caller]
fn page(server: &Server) -> Response {
    server.send(&Request::new("GET", "/").header("Accept", BROWSER))
}

/// The paths of the files that the page names, as it is under `/`.
#[track_caller]
pub(crate) fn files(page: &Response) -> Vec<String> {
    let parts = page.text().split('"').filter(|part| part.starts_with("ui/"));
    let paths: Vec<String> = parts.map(|path| format!("/{path}")).collect();
    assert!(paths.len() >= 4, "{paths:?}");
    paths
}

#[test]
fn browsers_get_a_page_under_a_strict_policy() {
    let server = Server::start(&[]);
    let page = page(&server);
    page.has_status(200, "/");
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    let policy = page.header("Content-Security-Policy").expect("there is a policy");
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(page.header("Referrer-Policy"), Some("no-referrer"));
    assert_eq!(page.header("X-Frame-Options"), Some("DENY"));
    assert!(!page.text().contains(" style="), "no style stands in an attribute");
}

#[test]
fn programs_get_an_index() {
    let server = Server::start(&[]);
    for accept in ["*/*", "application/json"] {
        let index = server.send(&Request::new("GET", "/").header("Accept", accept));
        index.has_status(200, accept);
        assert_eq!(index.header("Content-Type"), Some("application/json"));
        assert_eq!(index.json()["links"]["metrics"], "metrics");
    }
    assert_eq!(server.get("/").header("Content-Type"), Some("application/json"), "without Accept");
}

#[test]
fn a_page_that_has_not_changed_is_not_sent_again() {
    let server = Server::start(&[]);
    let first = page(&server);
    let tag = first.header("ETag").expect("the page has a tag");
    let again = Request::new("GET", "/").header("Accept", BROWSER).header("If-None-Match", tag);
    server.send(&again).is(304, "");
    assert_eq!(first.header("Cache-Control"), Some("no-cache"));
}

#[test]
fn its_files_are_kept_for_ever_and_sent_compressed() {
    let server = Server::start(&[]);
    for path in files(&page(&server)) {
        let plain = server.get(&path);
        plain.has_status(200, &path);
        assert_eq!(plain.header("Cache-Control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert_eq!(plain.header("X-Content-Type-Options"), Some("nosniff"), "{path}");
        let gzip = server.send(&Request::new("GET", &path).header("Accept-Encoding", "gzip"));
        assert_eq!(gzip.header("Content-Encoding"), Some("gzip"), "{path}");
        let mut text = String::new();
        GzDecoder::new(&gzip.body[..]).read_to_string(&mut text).expect("it is gzip");
        assert_eq!(text, plain.text(), "{path}");
    }
    for path in ["/ui/", "/ui/app.js", "/ui/0/app.js", "/ui/../page"] {
        server.get(path).has_status(404, path);
    }
}

#[test]
fn the_script_is_joined_from_its_modules() {
    let server = Server::start(&[]);
    let page = page(&server);
    let path = files(&page).into_iter().find(|path| path.ends_with("app.js")).expect("there is a script");
    let script = server.get(&path);
    assert!(script.text().contains("function look("), "the last module is there");
    for line in script.text().lines() {
        assert!(!line.starts_with("import ") && !line.starts_with("export "), "{line}");
    }
}

#[test]
fn it_can_be_turned_off() {
    let server = Server::start(&[]);
    let file = files(&page(&server)).pop().expect("there are files");
    let without = Setup::new().env("UI", "off").start();
    page(&without).has_status(404, "/");
    without.get("/").has_status(404, "/");
    without.get(&file).has_status(404, &file);
}
