//! Behind a reverse proxy: who the client is, and what the examples for nginx let through.

use serde_json::{Value, json};

use std::net::SocketAddr;

use crate::cli::Cli;
use crate::client::{Connection, Request, Response};
use crate::nginx::Nginx;
use crate::page::{BROWSER, files};
use crate::prometheus_server::{Prometheus, job_of, source_at};
use crate::server::{Server, Setup};

const BODY: &str = r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#;

/// Polls as Prometheus does, through a proxy that was asked from this address.
fn poll(server: &Server, forwarded_for: &str) -> Response {
    let request = Request::new("GET", "/discover").header("User-Agent", "Prometheus/3.0.0");
    server.send(&request.header("X-Forwarded-For", forwarded_for))
}

fn pollers(server: &Server) -> Vec<Value> {
    let pollers = server.get("/api/v1/pollers").json()["pollers"].as_array().unwrap().clone();
    pollers.into_iter().map(|poller| poller["address"].clone()).collect()
}

#[test]
fn the_client_is_whom_trusted_proxies_name() {
    let setup = Setup::new().env("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8, unix").env("RUST_LOG", "debug");
    let mut server = setup.start();
    let forwarded = |request: Request, address: &str| server.send(&request.header("X-Forwarded-For", address));
    forwarded(Request::new("PUT", "/target").token().body(BODY), "192.0.2.9, 203.0.113.7, 10.0.0.2")
        .has_status(200, "");
    assert_eq!(server.get("/api/v1/changes").json()["changes"][0]["by"], json!("api 203.0.113.7"));
    forwarded(Request::new("PUT", "/target").body(BODY), "203.0.113.8:4711").has_status(403, "no token");
    let entries: Vec<Value> =
        (0..2000).map(|n| json!({"targets": [format!("a-host-with-a-long-name-{n}:9100")]})).collect();
    let group = Request::new("PUT", "/api/v1/groups/h").header("Authorization", "Bearer secret");
    let group = group.body(Value::from(entries).to_string());
    assert!(group.to_bytes().len() > 64 * 1024, "this is a large body");
    forwarded(group, "2001:db8::7").has_status(200, "a group");
    assert_eq!(server.get("/api/v1/changes").json()["changes"][0]["by"], json!("api 2001:db8::7"));
    // What is refused before anybody looks at it is logged with the client as well.
    let too_large = Request::new("PUT", "/target").token().body(vec![b' '; 70_000]);
    forwarded(too_large, "203.0.113.9").has_status(413, "a large body");

    // Two servers of one version are two pollers, and what nobody can read is nobody else.
    for address in ["203.0.113.1", "203.0.113.2", "203.0.113.1", "unknown", &"10.0.0.1,".repeat(1500)] {
        poll(&server, address).has_status(200, address);
    }
    assert_eq!(pollers(&server), ["127.0.0.1", "203.0.113.1", "203.0.113.2"]);
    for words in [
        ["client=203.0.113.7 ", "action=put"],
        ["client=203.0.113.8:4711 ", "token missing or wrong"],
        ["client=2001:db8::7 ", "action=declare"],
        ["client=203.0.113.9 ", "status=413"],
    ] {
        server.process().line_with(&words);
    }
}

#[test]
fn nobody_else_says_who_the_client_is() {
    for trusted in ["", "127.0.0.2", "10.0.0.0/8,unix,::1"] {
        let server = Setup::new().env("TRUSTED_PROXIES", trusted).start();
        poll(&server, "203.0.113.1").has_status(200, "a poll");
        assert_eq!(pollers(&server), ["127.0.0.1"], "{trusted}");
    }
}

/// Spellings of a path that a proxy might take for another one, and a server for the same.
fn spellings(base: &str) -> [String; 7] {
    ["/metrics", "//metrics", "/./metrics", "/x/../metrics", "/%6detrics", "/metrics?a=b", "/metrics/"]
        .map(|path| format!("{base}{path}"))
}

#[test]
fn all_but_metrics_comes_through_the_example_on_a_host_of_its_own_and_below_a_path() {
    let setup = Setup::new().env("TRUSTED_PROXIES", "127.0.0.1");
    let server = setup.start();
    let nginx = Nginx::with_example(&setup.path(""), "inventor.conf", &server.address().to_string());
    let address = SocketAddr::from(([127, 0, 0, 1], nginx.port()));
    let send = |request: &Request| Connection::open(address).send(request);
    for base in ["", "/inventor"] {
        let get = |path: &str| send(&Request::new("GET", &format!("{base}{path}")));
        send(&Request::new("PUT", &format!("{base}/target")).token().body(BODY)).has_status(200, base);
        for path in ["/discover", "/group?name=g", "/sd?group=g", "/api/v1/registrations", "/openapi.json", "/-/ready"]
        {
            get(path).has_status(200, path);
        }
        let page = send(&Request::new("GET", &format!("{base}/")).header("Accept", BROWSER));
        for file in files(&page) {
            get(&file).has_status(200, file);
        }
        // A large body, and a name that a proxy must not decode.
        let targets: Vec<Value> =
            (0..2000).map(|n| json!({"targets": [format!("a-host-with-a-long-name-{n}:9100")]})).collect();
        let group =
            Request::new("PUT", &format!("{base}/api/v1/groups/a%2Fb")).header("Authorization", "Bearer secret");
        send(&group.body(Value::from(targets).to_string())).has_status(200, base);
        let declared = get("/api/v1/groups/a%2Fb");
        assert!(declared.text().contains("a-host-with-a-long-name-7:9100"), "{}", declared.status);
        send(&Request::new("PUT", &format!("{base}/target")).token().body(vec![b' '; 70_000])).has_status(413, base);
        for path in spellings(base) {
            let response = send(&Request::new("GET", &path));
            assert!(!String::from_utf8_lossy(&response.body).contains("inventor_"), "{path}: {}", response.status);
        }
        let cli = Cli::at(&format!("http://{address}{base}"));
        cli.ends_with(0, &["register", "--target", "c:1", "--group", "cli"]);
        cli.ends_with(0, &["status"]);
        let file = cli.write("group.json", r#"[{"targets": ["d:1"]}]"#);
        cli.ends_with(0, &["sync", "--group", "cli", file.to_str().unwrap()]);
        assert!(cli.ends_with(0, &["list", "--group", "cli"]).contains("d:1"));
    }
    let request = Request::new("GET", "/inventor/discover").header("X-Forwarded-For", "203.0.113.7");
    send(&request).has_status(200, "a poll");
    assert!(pollers(&server).contains(&json!("203.0.113.7")));
}

#[test]
fn what_hosts_and_prometheus_need_comes_through_the_strict_example() {
    let setup = Setup::new();
    let socket = format!("unix:{}", setup.path("socket").display());
    let server = setup.clone().env("LISTEN_ADDR", &socket).env("TRUSTED_PROXIES", "unix").start();
    // With what it says of paths.
    let (end, below) =
        ("    # Nothing else is exposed.", "location = /inventor/sd { proxy_pass http://inventor/sd; }\n");
    let to = [below, end].concat();
    let nginx = Nginx::with_changed_example(&setup.path(""), "strict.conf", &server.addresses()[0], end, &to);
    let address = SocketAddr::from(([127, 0, 0, 1], nginx.port()));
    let send = |request: &Request| Connection::open(address).send(request);
    for path in ["/discover", "/group?name=g", "/sd?group=g"] {
        send(&Request::new("GET", path)).is(200, "[]\n");
    }
    send(&Request::new("PUT", "/target").token().body(BODY)).has_status(403, "no certificate of a client");
    for path in ["/", "/api/v1/status", "/api/v1/registrations", "/openapi.json", "/-/ready", "/ui/x"] {
        send(&Request::new("GET", path)).has_status(404, path);
    }
    for path in spellings("") {
        let response = send(&Request::new("GET", &path));
        assert!(!String::from_utf8_lossy(&response.body).contains("inventor_"), "{path}: {}", response.status);
    }
    Cli::at(&socket).ends_with(0, &["register", "--target", "a.invalid:1", "--group", "g"]);
    let job = |path: &str| job_of(path, &[source_at(&format!("http://{address}/{path}?group=g"), "")], "");
    let prometheus = Prometheus::start_with_jobs(&["sd", "inventor/sd"].map(job));
    prometheus.scrapes(&["http://a.invalid:1/metrics"; 2]);
    prometheus.is_content();
}
