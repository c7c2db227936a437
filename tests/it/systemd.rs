//! What the server tells systemd, heard on a notification socket of the test.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::eventually::SOON;
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
fn a_watchdog_on_another_process_is_not_fed() {
    let (manager, setup) = Manager::of(Setup::new().env("WATCHDOG_USEC", "4000").env("WATCHDOG_PID", "1"));
    let server = setup.start();
    assert_eq!(manager.next(), ["READY=1"]);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(manager.next(), ["STOPPING=1"]);
}
