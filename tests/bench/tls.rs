//! TLS: polls, new connections and memory, beside nginx with the same certificate and the same bytes.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::client::Resumption;

use crate::connection::{Connection, poll};
use crate::load::{self, Load, Target};
use crate::nginx::{self, Nginx};
use crate::polls::POLLERS;
use crate::puts;
use crate::registrations::FIXED_GROUP;
use crate::report::{Report, Row, Unit};
use crate::server::{Server, Setup, Store};
use crate::{Bench, ROUNDS};

/// So many that `/discover` is a megabyte.
const REGISTRATIONS: usize = 5_000;

/// As many as a server lets in.
const CONNECTIONS: usize = 1_024;

/// How long each measurement lasts.
const SLICE: Duration = Duration::from_secs(1);

pub(crate) fn measure(report: &mut Report, only: &str) {
    let mut bench = Bench { report, only, store: Store::Embedded, count: REGISTRATIONS };
    if !bench.begins("tls") {
        return;
    }
    let (plain, setup) = (Setup::embedded(), Setup::with_tls());
    let [plain, server] = [&plain, &setup].map(|setup| {
        let server = setup.start();
        puts::register(&server, REGISTRATIONS);
        server.end();
        setup.start()
    });
    // First, while nobody has connected.
    memory(&mut bench, &server, &plain);
    plain.end();
    for (what, path) in [("group of 100", format!("/group?name={FIXED_GROUP}")), ("all", "/discover".to_owned())] {
        let request = poll(&path);
        let polls = |target: &Target, request: &[u8]| load::run(target.clone(), POLLERS, SLICE, || request);
        beside_nginx(&mut bench, &setup, &server.target(), (what, &request), polls);
    }
    let anew = |target: &Target, request: &[u8]| load::run_anew(target, POLLERS, SLICE, request);
    let healthcheck = poll("/healthcheck");
    beside_nginx(&mut bench, &setup, &server.target(), ("new connections", &healthcheck), anew);
    let resumed = |target: &Target, request: &[u8]| anew(&resuming(target.clone()), request);
    beside_nginx(&mut bench, &setup, &server.target(), ("new connections, resumed", &healthcheck), resumed);
    let (_, metrics) = server.target().connect().fetch(&poll("/metrics"));
    let none = "inventor_tls_handshakes_total{outcome=\"resumed\"} 0\n";
    assert!(!String::from_utf8_lossy(&metrics).contains(none), "no connection went on from an earlier one");
    server.end();
}

/// The same for clients whose connections go on from earlier ones by their tickets.
fn resuming(mut target: Target) -> Target {
    if let Some(config) = &mut target.tls {
        Arc::make_mut(config).resumption = Resumption::default();
    }
    target
}

/// Loads both in turns; nginx answers with the same body.
fn beside_nginx(
    bench: &mut Bench<'_>,
    setup: &Setup,
    target: &Target,
    (what, request): (&str, &[u8]),
    load: impl Fn(&Target, &[u8]) -> Load,
) {
    let (status, response) = target.connect().fetch(request);
    assert_eq!(status, 200, "{what}");
    let body = response.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let what = format!("TLS, {what}, {} beside nginx", Unit::Bytes.show((response.len() - body) as f64));
    let Some(nginx) = Nginx::start(&response[body..], setup.certificates()) else {
        return bench.report.note("nginx is not installed: nothing was measured beside it");
    };
    let file = poll(nginx::PATH);
    let (mut rounds, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        limits.push(load(&nginx.target(), &file));
        rounds.push(load(target, request));
    }
    bench.report.add(Row::of_load(bench, what, &rounds).limit_of_load(&rounds, &limits));
}

/// What as many connections cost as there may be, beside as many without TLS: idle, and with a client that has asked for
/// everything and reads no further.
fn memory(bench: &mut Bench<'_>, server: &Server, plain: &Server) {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("it may be raised as far as that");
    let [(idle, stopped), (plain_idle, plain_stopped)] = [server, plain].map(|server| {
        let before = server.memory().now;
        let grown = || server.memory().now.saturating_sub(before) as f64;
        let connect = |_| {
            let mut connection = server.target().connect();
            connection.exchange(&poll("/healthcheck")).expect("it is there");
            connection
        };
        let mut connections: Vec<Connection> = (0..CONNECTIONS).map(connect).collect();
        let idle = grown();
        for connection in &mut connections {
            connection.begin(&poll("/discover"));
        }
        (idle, grown())
    });
    for (what, figure, limit) in [("idle", idle, plain_idle), ("that read no further", stopped, plain_stopped)] {
        let what = format!("memory of {CONNECTIONS} connections {what}, TLS beside none");
        let row = Row::new(bench, what, Unit::Bytes, figure).limit(limit);
        bench.report.add(row);
    }
}
