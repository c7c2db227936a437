//! What passes between the server and systemd: what it tells, heard on a notification socket of the test, and the
//! listening sockets that it is handed.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::certificates::Certificates;
use crate::client::{Connection, Request};
use crate::eventually::{SOON, eventually};
use crate::server::Setup;

/// The other end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// Listens in the directory of the setup.
    fn of(setup: Setup) -> (Manager, Setup) {
        let path = setup.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        (Manager { socket }, setup.env("NOTIFY_SOCKET", path.to_str().unwrap()))
    }

    /// The next message, line by line.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let len = self.socket.recv(&mut message).expect("the server tells something");
        String::from_utf8_lossy(&message[..len]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn systemd_is_told_of_start_reload_and_end() {
    let (manager, setup) = Manager::of(Setup::new());
    let mut server = setup.start();
    assert_eq!(manager.next(), ["READY=1"]);

    server.process().signal(Signal::SIGHUP);
    let reloading = manager.next();
    assert_eq!(reloading[0], "RELOADING=1");
    let at = reloading[1].strip_prefix("MONOTONIC_USEC=").expect("systemd wants to know when the reload began");
    assert!(at.parse::<u64>().is_ok_and(|at| at > 0), "{at}");
    assert_eq!(manager.next(), ["READY=1"]);

    assert_eq!(server.terminate(), Some(0));
    assert_eq!(manager.next(), ["STOPPING=1"]);
}

#[test]
fn in_the_abstract_namespace_everything_works_as_with_files() {
    let name = |what: &str| format!("inventor-test-{}-{what}", std::process::id());
    let bind = |what: &str| SocketAddr::from_abstract_name(name(what)).unwrap();
    let socket = UnixDatagram::bind_addr(&bind("notify")).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let manager = Manager { socket };
    let listener = UnixListener::bind_addr(&bind("listen")).unwrap();
    let setup = Setup::new().env("NOTIFY_SOCKET", &format!("@{}", name("notify"))).env("WATCHDOG_USEC", "400000");
    let mut server = setup.start_with(listener);
    assert_eq!(server.addresses(), [format!("unix:@{}", name("listen"))]);
    assert_eq!(manager.next(), ["READY=1"]);
    for _ in 0..3 {
        assert_eq!(manager.next(), ["WATCHDOG=1"]);
    }
    let cli = crate::cli::Cli::at(&format!("unix:@{}", name("listen")));
    cli.ends_with(0, &["register", "--target", "a:1"]);
    server.process().signal(Signal::SIGTERM);
    eventually(SOON, || manager.next() == ["STOPPING=1"]);
    assert_eq!(server.process().wait().code(), Some(0));
}

#[test]
fn systemd_is_told_nothing_when_the_start_fails() {
    let (manager, setup) = Manager::of(Setup::new().env("LISTEN_PORT", "none"));
    assert_eq!(setup.run().code, Some(2));
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0]).is_err());
}

#[test]
fn the_watchdog_is_fed_while_requests_are_answered() {
    let period = Duration::from_millis(800);
    let (manager, setup) = Manager::of(Setup::new().env("WATCHDOG_USEC", &period.as_micros().to_string()));
    let server = setup.start();
    assert_eq!(manager.next(), ["READY=1"]);
    let start = Instant::now();
    for _ in 0..8 {
        assert_eq!(manager.next(), ["WATCHDOG=1"]);
    }
    assert!(start.elapsed() >= period, "it is fed for no reason");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn the_watchdog_is_fed_over_tls() {
    let certificates = Certificates::new();
    let file = |name: &str| certificates.path(name).to_str().unwrap().to_owned();
    let setup = Setup::new().env("TLS_CERT", &file("server.crt")).env("TLS_KEY", &file("server.key"));
    let (manager, setup) = Manager::of(setup.env("TLS_CLIENT_CA", &file("ca.crt")).env("WATCHDOG_USEC", "400000"));
    let _server = setup.start();
    assert_eq!(manager.next(), ["READY=1"]);
    assert_eq!(manager.next(), ["WATCHDOG=1"]);
}

#[test]
fn a_watchdog_on_another_process_is_not_fed() {
    let (manager, setup) = Manager::of(Setup::new().env("WATCHDOG_USEC", "4000").env("WATCHDOG_PID", "1"));
    let server = setup.start();
    assert_eq!(manager.next(), ["READY=1"]);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(manager.next(), ["STOPPING=1"]);
}

#[test]
fn the_watchdog_is_not_fed_when_the_port_cannot_be_reached() {
    let setup = Setup::new();
    let path = setup.path("socket");
    let setup = setup.env("LISTEN_ADDR", &format!("unix:{}", path.display()));
    let (manager, setup) = Manager::of(setup.env("WATCHDOG_USEC", "400000"));
    let mut server = setup.start();
    assert_eq!(manager.next(), ["READY=1"]);
    assert_eq!(manager.next(), ["WATCHDOG=1"]);
    // The process is as well as before, and no client gets to it.
    std::fs::remove_file(path).unwrap();
    server.process().line_with(&["not feeding the systemd watchdog: the server does not answer"]);
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    server.process().signal(Signal::SIGHUP);
    manager.socket.set_nonblocking(false).unwrap();
    let after: Vec<_> = (0..2).map(|_| manager.next()[0].clone()).collect();
    assert_eq!(after, ["RELOADING=1", "READY=1"], "it is fed although nobody is answered");
}

#[test]
fn a_passed_socket_is_used_instead_of_the_configured_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Setup::new().env("LISTEN_PORT", "1").start_with(listener);
    assert_eq!(server.address(), address);
    server.get("/discover").is(200, "[]\n");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_passed_unix_socket_is_used_and_left_for_the_next_server() {
    let setup = Setup::new();
    let path = setup.path("passed");
    let listener = UnixListener::bind(&path).unwrap();
    for _ in 0..2 {
        let server = setup.start_with(listener.try_clone().unwrap());
        assert_eq!(server.addresses(), [format!("unix:{}", path.display())]);
        UnixStream::connect(&path).expect("it can be reached");
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn a_passed_socket_that_is_no_listener_is_refused() {
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let outcome = Setup::new().run_with(datagrams);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("socket passed by systemd"), "{outcome:?}");
}

#[test]
fn no_request_fails_while_servers_take_turns_on_a_passed_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let setup = Setup::new();
    let done = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let client = |target: &str| {
        let body = format!(r#"{{"static_config":{{"targets":["{target}"]}}}}"#);
        let request = Request::new("PUT", "/target").token().header("Connection", "close").body(body);
        while !done.load(Ordering::Relaxed) {
            Connection::open(address).send(&request).has_status(200, target);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let clients = ["a:1", "b:1", "c:1", "d:1"].map(|target| scope.spawn(|| client(target)));
        for turn in 1..5 {
            let server = setup.start_with(listener.try_clone().unwrap());
            eventually(SOON, || answered.load(Ordering::Relaxed) >= turn * 20);
            assert_eq!(server.terminate(), Some(0));
        }
        done.store(true, Ordering::Relaxed);
        // Somebody has to answer what was sent last.
        let _last = setup.start_with(listener.try_clone().unwrap());
        for client in clients {
            client.join().expect("every request was answered");
        }
    });
}
