//! The recipes for modules as they stand in the documents: what is registered by their commands is scraped by a real
//! Prometheus with their configurations, through an exporter that answers like theirs.

use std::collections::BTreeSet;

use serde_json::json;

use crate::documents;
use crate::eventually::{SOON, eventually};
use crate::prometheus_server::Prometheus;
use crate::server::Server;
use crate::stand_in::StandIn;

const PATH: &str = "docs/recipes.md";

/// The jobs of the document, one under the other, with their exporters at one address and every second.
fn jobs(server: &Server, exporter: &StandIn) -> Vec<String> {
    let jobs = documents::blocks_of(PATH, "yaml").into_iter().map(|block| {
        let job = block.strip_prefix("scrape_configs:\n").expect("a block is a configuration").to_owned() + "\n";
        let job = job.replace("localhost:9101", &server.address().to_string());
        let job = job.replace("refresh_interval: 30s", "refresh_interval: 1s");
        // They may take as long as they say; here nothing does.
        let job = job
            .replace("scrape_interval: 60s", "scrape_interval: 1s")
            .replace("scrape_timeout: 50s", "scrape_timeout: 1s");
        let port = job.rsplit_once("replacement: localhost:").and_then(|(_, rest)| rest.split('\n').next());
        let exporter_of_it = format!("localhost:{}", port.expect("it names its exporter"));
        job.replace(&exporter_of_it, &exporter.address().to_string())
    });
    jobs.collect()
}

#[test]
fn modules_are_scraped_as_the_documents_say() {
    let exporter = StandIn::start(|_| Some(("text/plain; version=0.0.4", "probe_success 1\n")));
    let server = Server::start(&[]);
    documents::try_examples(PATH, &server);
    let prometheus = Prometheus::start_with_jobs(&jobs(&server, &exporter));
    let expected = [
        "/ipmi?module=default&target=bmc-1.example",
        "/probe?module=http_2xx&target=https%3A%2F%2Fexample.org%2F",
        "/probe?module=icmp&target=router.example%3A22",
        "/probe?module=tcp_connect&target=router.example%3A22",
        "/snmp?auth=public_v2&module=if_mib&target=switch-1.example",
        "/snmp?auth=public_v2&module=system&target=switch-1.example",
    ];
    // The board has an interval of its own, and may be asked for the first time only when that is over.
    let scraped = &expected[1..];
    eventually(SOON, || {
        let heard = exporter.heard();
        scraped.iter().all(|path| heard.iter().any(|one| one == path))
    });
    let urls: Vec<String> = expected.iter().map(|path| format!("http://{}{path}", exporter.address())).collect();
    prometheus.scrapes(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    eventually(SOON, || prometheus.query("probe_success", None).len() >= scraped.len());
    let found = prometheus.query("probe_success{job!=\"ipmi\"}", None);
    let labels: BTreeSet<String> = found
        .iter()
        .map(|series| ["job", "instance", "module"].map(|name| series["metric"][name].as_str().unwrap()).join(" "))
        .collect();
    let expected = [
        "blackbox https://example.org/ http_2xx",
        "blackbox router.example:22 icmp",
        "blackbox router.example:22 tcp_connect",
        "snmp switch-1.example if_mib",
        "snmp switch-1.example system",
    ];
    assert_eq!(labels, expected.map(str::to_owned).into());
    let web = prometheus.query("probe_success{team=\"web\"}", None);
    assert_eq!(web[0]["metric"]["instance"], json!("https://example.org/"));
    assert_eq!(server.get("/api/v1/problems").json()["total"], json!(0));
}
