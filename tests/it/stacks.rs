//! The stack of a connection's thread is enough for the deepest handler that runs in it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use inventor::http::gate::limits::STACK_BYTES;
use serde_json::json;

use crate::client::{Connection, Request};
use crate::eventually::{SOON, eventually};
use crate::server::{Server, Setup};

/// The most of the stack that a handler of these tests may have touched: half is left for what they do not come to.
const TOUCHED_MAX: usize = STACK_BYTES / 2;

const PAGE: usize = 4096;

/// As many registrations as there may be on a page, and more, in three groups with all that a document can have.
const IN_EACH_GROUP: usize = 2_000;

fn declare_all(server: &Server) {
    for group in ["one", "two", "three"] {
        let entry = |at: usize| {
            let targets: Vec<String> = (0..4).map(|port| format!("{group}-{at}.example:{}", 9000 + port)).collect();
            let labels = json!({"env": "prod", "team": format!("team {}", at % 50), "rack": "r\u{fc}ck\"\\", "n": format!("{at}")});
            json!({"targets": targets, "labels": labels, "modules": ["node", "ipmi"]})
        };
        let entries: Vec<_> = (0..IN_EACH_GROUP).map(entry).collect();
        let body = serde_json::to_vec(&entries).unwrap();
        let request = Request::new("PUT", &format!("/api/v1/groups/{group}?ttl_seconds=3600")).token().body(body);
        // So large a write may take longer than a busy machine has for it; it is as good when it is repeated.
        eventually(SOON, || server.send(&request).status == 200);
    }
}

/// Every path that is answered without the store, with all that one can ask of it.
fn questions() -> Vec<Request> {
    let words: Vec<String> = (0..16).map(|n| format!("{n}")).collect();
    let terms: Vec<String> = (0..30).map(|n| format!("absent{n}%21=x")).collect();
    let selectors = format!("selector=env=prod,team,{}", terms.join(","));
    let all = format!("/api/v1/registrations?group=one&group=two&{selectors}&limit=1000&sort=-expires_at");
    let mut paths = vec![
        all,
        format!("/api/v1/registrations?q={}&sort=updated_at", words.join("+")),
        "/api/v1/registrations?q=example+prod&limit=1000&sort=-target_group".to_owned(),
        format!("/sd?group=one&group=two&{selectors}&shard=0&shards=2"),
        "/sd?selector=team+in+(%22team+1%22,%22team+2%22),env%21%3Dtest".to_owned(),
    ];
    let others = [
        "/",
        "/ui/app.js",
        "/discover",
        "/group?name=one",
        "/sd",
        "/metrics",
        "/openapi.json",
        "/healthcheck",
        "/-/ready",
        "/api/v1/registrations?limit=1000",
        "/api/v1/registrations/no-id",
        "/api/v1/groups",
        "/api/v1/groups/two",
        "/api/v1/status",
        "/api/v1/pollers",
        "/api/v1/changes?limit=1000",
        "/api/v1/quarantine",
        "/api/v1/duplicates",
        "/api/v1/problems",
        "/api/v1/none",
        "/none",
        "/sd?selector=%28%28%28",
        "/target",
    ];
    paths.extend(others.map(str::to_owned));
    let mut requests = Vec::new();
    for path in &paths {
        requests.push(Request::new("GET", path));
        requests.push(Request::new("GET", path).header("Accept", "text/html").header("Accept-Encoding", "gzip"));
    }
    requests
}

/// The most that any thread with a stack of this size has touched of it, in bytes. Pages of a stack stay where they are
/// once they have been touched, so that the system knows.
fn touched(process: i32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("the server runs");
    let mut pages = File::open(format!("/proc/{process}/pagemap")).expect("the server runs");
    let mut guard_end = None;
    let mut most = 0;
    for line in maps.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (begin, end) = words[0].split_once('-').expect("a mapping has an extent");
        let [begin, end] = [begin, end].map(|address| u64::from_str_radix(address, 16).expect("an address"));
        // Below a stack is a page that nobody may touch. Larger stacks than these are not touched at their lower end.
        if words[1] == "rw-p" && guard_end == Some(begin) {
            let mut states = vec![0; (STACK_BYTES as u64).min(end - begin) as usize / PAGE * 8];
            pages.seek(SeekFrom::Start(begin / PAGE as u64 * 8)).unwrap();
            pages.read_exact(&mut states).unwrap();
            // The uppermost bit of eight bytes says that the page is there.
            most = most.max(states.chunks(8).filter(|state| state[7] & 0x80 != 0).count() * PAGE);
        }
        guard_end = (words[1] == "---p" && end - begin == PAGE as u64).then_some(end);
    }
    most
}

#[test]
fn the_deepest_handler_leaves_half_of_its_stack() {
    let mut server = Setup::new().env("RUST_LOG", "debug").start();
    declare_all(&server);
    let process = server.process().id().as_raw();
    let mut client: Connection = server.connect();
    let mut deepest = (0, String::new());
    for request in questions() {
        let response = client.send(&request);
        let what = String::from_utf8_lossy(&request.to_bytes()).lines().next().unwrap_or_default().to_owned();
        assert!(response.status < 500, "{what}: {}", response.status);
        let touched = touched(process);
        assert!(touched > 0, "no stack of a connection's thread was found");
        println!("{touched:7} {what}");
        if touched > deepest.0 {
            deepest = (touched, what);
        }
    }
    assert!(deepest.0 <= TOUCHED_MAX, "{} of {STACK_BYTES} bytes were touched by {}", deepest.0, deepest.1);
}
