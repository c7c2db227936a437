//! As many clients as there may be connections, none of which reads what it has asked for; who is cut off comes back.

use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::target::{Settings, Target, Transport, attack_time};
use crate::wire::Wire;

/// How often each client is looked at.
const INTERVAL: Duration = Duration::from_millis(1);

/// How many clients come, or come back, each time.
const NEW_CLIENTS_MAX: usize = 8;

/// What a client takes into its own buffer at most, in bytes: the less, the sooner it holds up the server.
const RECEIVE_BUFFER_BYTES: usize = 4096;

/// How many connections the server lets in, and what its clients ask for.
const CROWDS: [(usize, &[&str]); 3] = [(16, &["/metrics", "/discover"]), (128, &["/discover"]), (1024, &["/discover"])];

pub(crate) fn run(transport: Transport) {
    for (connections_max, paths) in CROWDS {
        // Who makes room is asked here, and not how much it takes to show each target.
        let settings =
            Settings { connections_max, list_bytes: 2_000_000, target_info: false, ..Settings::new(transport) };
        let target = Target::start(settings);
        for path in paths {
            let name = format!("{connections_max} of {connections_max} clients pipeline GET {path} and read nothing");
            target.attack(&name, || do_not_read(&target, path, connections_max));
        }
    }
}

pub(crate) fn do_not_read(target: &Target, path: &str, count: usize) {
    let requests = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(50);
    let mut clients: Vec<Client> = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < attack_time() {
        clients.retain_mut(|client| client.goes_on(requests.as_bytes()));
        let missing = count - clients.len();
        clients.extend((0..missing.min(NEW_CLIENTS_MAX)).filter_map(|_| Client::connect(target).ok()));
        thread::sleep(INTERVAL);
    }
}

struct Client {
    wire: Wire,
    sent: usize,
}

impl Client {
    fn connect(target: &Target) -> std::io::Result<Client> {
        let socket = target.connect_with(|socket| socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES))?;
        let mut wire = Wire::new(socket, target.config());
        // Whatever has to be read before the first request goes out.
        wire.flush()?;
        wire.socket().set_nonblocking(true)?;
        Ok(Client { wire, sent: 0 })
    }

    /// Sends some more if the server takes it; `false` when it has closed the connection.
    fn goes_on(&mut self, requests: &[u8]) -> bool {
        match self.wire.write(&requests[self.sent % requests.len()..]) {
            Ok(sent) => self.sent += sent,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        true
    }
}
