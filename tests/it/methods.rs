//! Which paths there are, and which methods each of them takes.

use crate::client::Request;
use crate::server::Server;

#[track_caller]
fn allowed(server: &Server, method: &str, target: &str) -> Vec<String> {
    let response = server.send(&Request::new(method, target).token());
    response.has_status(405, (method, target));
    assert_eq!(response.text(), "METHOD NOT ALLOWED");
    assert!(response.header("Content-Type").is_some_and(|value| value.starts_with("text/plain")));
    let allow = response.header("Allow").expect("405 says what is allowed");
    allow.split(',').map(|method| method.trim().to_owned()).collect()
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    let server = Server::start(&[]);
    for method in ["POST", "PATCH", "FOO"] {
        let allowed = allowed(&server, method, "/target");
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            assert!(allowed.iter().any(|allowed| allowed == method), "{method} is missing in {allowed:?}");
        }
        assert!(!allowed.iter().any(|allowed| allowed == "POST"));
    }
    for target in ["/discover", "/group?name=g", "/group"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            assert_eq!(allowed(&server, method, target), ["GET", "HEAD"], "{method} {target}");
        }
    }
}

#[test]
fn methods_match_in_any_case() {
    let server = Server::start(&[]);
    let put =
        Request::new("put", "/target").token().body(r#"{"static_config":{"targets":["a:1"],"target_group":"g"}}"#);
    server.send(&put).has_status(200, "put");
    for target in ["/discover", "/group?name=g"] {
        server.send(&Request::new("Get", target)).is(200, "[{\"targets\":[\"a:1\"],\"labels\":{}}]\n");
    }
    let body = r#"{"id":"7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"}"#;
    server.send(&Request::new("gEt", "/target").token().body(body)).has_status(200, "gEt");
    server.send(&Request::new("delete", "/target").token().body(body)).is(200, "true\n");
}

#[test]
fn health_is_ok_for_every_method() {
    let server = Server::start(&[]);
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FOO"] {
        for target in ["/healthcheck", "/healthcheck?x=%zz"] {
            let response = server.send(&Request::new(method, target));
            response.is(200, "OK");
            assert!(response.header("Content-Type").is_some_and(|value| value.starts_with("text/plain")));
        }
    }
    server.send(&Request::new("HEAD", "/healthcheck")).is(200, "");
    for target in ["/-/healthy", "/-/ready"] {
        for method in ["GET", "HEAD"] {
            server.send(&Request::new(method, target)).has_status(200, (method, target));
        }
    }
}

#[test]
fn an_unknown_path_is_not_found() {
    let server = Server::start(&[]);
    for target in ["/nope", "/targets", "/discover/x", "/group/g", "/-/", "/favicon.ico", "/metrics/x", "/nope?name=x"]
    {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            server.send(&Request::new(method, target).token()).has_status(404, (method, target));
        }
        server.send(&Request::new("HEAD", target)).has_status(404, target);
    }
}

#[test]
fn the_query_of_target_does_not_matter_and_a_full_url_is_served() {
    let server = Server::start(&[]);
    let body = r#"{"static_config":{"targets":["a:1"]}}"#;
    for target in ["/target?x=1", "/target?", "/target?foo=%zz", "http://inventor.example:9101/target"] {
        server.send(&Request::new("PUT", target).token().body(body)).has_status(200, target);
    }
    let list = server.get("/discover").body;
    assert_eq!(server.get("http://inventor.example:9101/discover").body, list);
    assert_eq!(server.get(&format!("http://{}/group?name=inventor-default", server.address())).body, list);
}
