//! `/openapi.json`: it describes each path and method that the server has, and no other.

use std::collections::BTreeSet;

use crate::server::Server;

const METHODS: &[&str] = &["get", "put", "post", "delete", "patch", "options", "head", "trace"];

#[test]
fn the_document_describes_each_route_and_no_other() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    let response = server.get("/openapi.json");
    response.has_status(200, "it is open");
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    let document = response.json();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys().filter(|name| METHODS.contains(&name.as_str()));
            methods.map(move |method| (path.clone(), method.to_uppercase()))
        })
        .collect();
    let routed: BTreeSet<(String, String)> =
        inventor::http::routes().map(|(path, method)| (path.to_owned(), method.to_owned())).collect();
    assert_eq!(described, routed);
}
