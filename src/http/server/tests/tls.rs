//! The server over TLS: everything that it does without TLS, and what only TLS has.

use std::io::ErrorKind;
use std::net::Shutdown;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::pem::certificates::{CLIENT, Certificates, SERVER};
use crate::pem::{Authorities, Identity};

/// The first byte of a record with an alert.
const ALERT: u8 = 21;

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Settings for clients that trust `ca`, and show this certificate.
fn client_config(certificates: &Certificates, shown: Option<&str>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.path("ca.crt")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let cert = CertificateDer::from_pem_file(certificates.path(&format!("{name}.crt"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(certificates.path(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    })
}

/// The pair of this name, and the authority for clients.
fn credentials(certificates: &Certificates, name: &str, client_ca: Option<&str>) -> Credentials {
    let read = |name: String| std::fs::read(certificates.path(&name)).unwrap();
    let identity = Identity::new([read(format!("{name}.crt")), read(format!("{name}.key"))]).unwrap();
    let client_ca = client_ca.map(|name| Authorities::new(read(format!("{name}.crt"))).unwrap());
    Credentials::new(identity, client_ca).unwrap()
}

struct TlsFixture {
    server: Fixture,
    tls: Arc<Tls>,
    certificates: Certificates,
    config: Arc<ClientConfig>,
}

impl TlsFixture {
    fn with(
        client_ca: Option<&str>,
        change: impl FnOnce(&mut ServerSettings),
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> TlsFixture {
        let certificates = Certificates::new();
        // The metrics of the fixture belong to its server.
        let tls = Arc::new(Tls::new(credentials(&certificates, "server", client_ca), &Registry::new()));
        let shared = Arc::clone(&tls);
        let change = move |settings: &mut ServerSettings| {
            settings.tls = Some(shared);
            change(settings);
        };
        let config = client_config(&certificates, None);
        TlsFixture { server: Fixture::with(change, handler), tls, certificates, config }
    }

    /// A connection whose handshake begins with the first write.
    fn connect_as(&self, config: &Arc<ClientConfig>) -> Client {
        let tls = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(tls, self.server.connect())
    }

    fn connect(&self) -> Client {
        self.connect_as(&self.config)
    }

    /// A connection whose handshake is done.
    fn connected(&self) -> Client {
        let mut client = self.connect();
        client.conn.complete_io(&mut client.sock).unwrap();
        client
    }

    fn handshakes(&self, outcome: &str) -> u64 {
        self.tls.handshakes.with_label_values(&[outcome]).get()
    }
}

/// Everything up to the end, which TLS must announce.
fn read_all(client: &mut Client) -> Vec<u8> {
    let mut response = Vec::new();
    client.read_to_end(&mut response).unwrap();
    response
}

#[test]
fn requests_and_answers_of_all_sizes_go_through() {
    let part: Arc<[u8]> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    let body = Body::new(vec![part; 20].into());
    let long = body.parts().concat();
    let server = TlsFixture::with(
        None,
        |_| {},
        move |request| match request.path.as_str() {
            "/long" => Response { body: body.clone(), ..text("") },
            _ => text(format!("{} {}", request.path, request.body.len())),
        },
    );
    let mut client = server.connect();
    for length in [0, 1, 4096, 16 * 1024, 60_000] {
        for path in ["/at-once", "/store"] {
            let head = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            client.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat()).unwrap();
            assert_eq!(read_response(&mut client).1, format!("{path} {length}").as_bytes());
        }
    }
    // Several requests in one record, and a head in many.
    client.write_all((get("/1") + &get("/2") + &get("/3")).as_bytes()).unwrap();
    assert_eq!([(); 3].map(|()| read_response(&mut client).1), [b"/1 0", b"/2 0", b"/3 0"]);
    for byte in get("/bytes").as_bytes() {
        client.write_all(&[*byte]).unwrap();
    }
    assert_eq!(read_response(&mut client).1, b"/bytes 0");
    let head = "PUT /store/large HTTP/1.1\r\nHost: a\r\nX-Api-Token: \u{fc}%\r\nContent-Length: 8000000\r\n\r\n";
    let head: Vec<u8> = head.chars().map(|c| c as u8).collect();
    client.write_all(&[head, vec![b'x'; 8_000_000]].concat()).unwrap();
    assert_eq!(read_response(&mut client).1, b"/store/large 8000000");
    client.write_all(last_get("/long").as_bytes()).unwrap();
    assert!(read_response(&mut client).1 == long);
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(client.conn.alpn_protocol(), None, "nobody asked");
    assert_eq!((server.handshakes("full"), server.handshakes("failed")), (1, 0));
}

#[test]
fn a_session_goes_on_by_its_ticket() {
    let server = TlsFixture::with(None, |_| {}, |_| text("ok"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.certificates.path("ca.crt")).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let before = (server.handshakes("full"), server.handshakes("resumed"));
        for _ in 0..2 {
            let mut client = server.connect_as(&config);
            client.write_all(last_get("/").as_bytes()).unwrap();
            assert!(read_all(&mut client).ends_with(b"ok"));
            assert_eq!(client.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
        }
        assert_eq!((server.handshakes("full"), server.handshakes("resumed")), (before.0 + 1, before.1 + 1));
    }
}

#[test]
fn what_is_no_tls_is_told_so_or_closed() {
    let server = TlsFixture::with(None, |_| {}, |_| text("ok"));
    let answer = server.server.exchange(get("/"));
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.ends_with("https://\n"), "{answer}");
    assert_eq!(server.handshakes("failed"), 0);
    for garbage in [
        &b"\0\0\0\0"[..],
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\0\x04\x01\0\0\0",
        b"\x15\x03\x01\0\x02\x02\x28",
        &[0x16; 5000],
    ] {
        let mut client = server.server.connect();
        client.write_all(garbage).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer.first().is_none_or(|first| *first == ALERT), "{answer:?}");
    }
    assert_eq!(server.handshakes("failed"), 5);
    // Garbage after the handshake ends the connection.
    let mut client = server.connected();
    client.sock.write_all(b"\x17\x03\x03\0\x20 this has not been encrypted at all").unwrap();
    assert!(client.read_to_end(&mut Vec::new()).is_err());
    wait_until(|| server.server.metric("inventor_http_connections") == 0.0);
}

#[test]
fn a_handshake_counts_into_the_time_for_a_head() {
    let limits = Limits { head: SECOND, ..Limits::default() };
    let server = TlsFixture::with(None, |settings| settings.limits = limits, |_| text("ok"));
    let begun = Instant::now();
    // Nothing at all, half of a first message, and one that drips.
    let mut half = server.server.connect();
    half.write_all(b"\x16\x03\x01\0\xf0\x01").unwrap();
    let mut drips = server.server.connect();
    drips.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    drips.write_all(b"\x16\x03\x01\x0f\xf0\x01\0\x0f\xec").unwrap();
    let mut byte = [0];
    while drips.write_all(b"a").is_ok() && drips.read(&mut byte).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        assert!(begun.elapsed() < 5 * SECOND, "it may drip for ever");
    }
    for client in [&mut half, &mut server.server.connect()] {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer.first().is_none_or(|first| *first == ALERT), "{answer:?}");
    }
    // A part of a record is a part of a request.
    let mut client = server.connected();
    wait_until(|| server.handshakes("full") == 1);
    client.sock.write_all(b"\x17\x03\x03\x10").unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    let waited = begun.elapsed();
    assert!((Duration::from_millis(1900)..10 * SECOND).contains(&waited), "{waited:?}");
}

/// It does not matter what came with it: the end of the handshake, or a complete request.
#[test]
fn a_part_of_a_record_is_a_part_of_a_request_whatever_it_comes_with() {
    let limits = Limits { head: SECOND, ..Limits::default() };
    let server = TlsFixture::with(None, |settings| settings.limits = limits, |_| text("ok"));
    let send_all_but_the_end = |client: &mut Client| {
        let mut records = Vec::new();
        while client.conn.wants_write() {
            client.conn.write_tls(&mut records).unwrap();
        }
        client.sock.write_all(&records[..records.len() - 1]).unwrap();
    };
    let is_told = |client: &mut Client| {
        let answer = read_all(client);
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    };
    let mut with_handshake = server.connect();
    while with_handshake.conn.is_handshaking() {
        // Its last message waits for what comes with it.
        if with_handshake.conn.wants_read() {
            with_handshake.conn.read_tls(&mut with_handshake.sock).unwrap();
            with_handshake.conn.process_new_packets().unwrap();
        } else {
            with_handshake.conn.write_tls(&mut with_handshake.sock).unwrap();
        }
    }
    with_handshake.conn.writer().write_all(get("/").as_bytes()).unwrap();
    send_all_but_the_end(&mut with_handshake);
    is_told(&mut with_handshake);

    let mut with_request = server.connected();
    for path in ["/1", "/2"] {
        with_request.conn.writer().write_all(get(path).as_bytes()).unwrap();
    }
    send_all_but_the_end(&mut with_request);
    assert_eq!(read_response(&mut with_request).1, b"ok");
    is_told(&mut with_request);
}

#[test]
fn who_is_silent_after_the_handshake_is_idle() {
    let limits = Limits { head: SECOND, idle: 3 * SECOND, ..Limits::default() };
    let server = TlsFixture::with(None, |settings| settings.limits = limits, |_| text("ok"));
    let mut client = server.connected();
    let begun = Instant::now();
    assert_eq!(read_all(&mut client), b"", "the end is said");
    let idle = begun.elapsed();
    assert!((2 * SECOND..8 * SECOND).contains(&idle), "closed after {idle:?}");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_a_slow_one_is_not() {
    let limits = Limits { stalled: 2 * SECOND, ..Limits::default() };
    let part: Arc<[u8]> = vec![0; 1 << 20].into();
    let body = Body::new(vec![part; 20].into());
    let server = TlsFixture::with(
        None,
        |settings| settings.limits = limits,
        move |_| Response { body: body.clone(), ..text("") },
    );
    let (mut steady, mut stalled) = (server.connected(), server.connected());
    stalled.write_all(get("/").as_bytes()).unwrap();
    assert!(read_steadily(&mut steady).len() < 1000, "only the head has made it longer");
    wait_until(|| server.server.metric("inventor_http_connections") == 0.0);
    assert!(stalled.read_to_end(&mut Vec::new()).is_err(), "it got all of its answer");
}

#[test]
fn half_a_handshake_makes_room_before_those_that_are_idle() {
    let server = TlsFixture::with(None, |settings| settings.connections_max = CONNECTIONS_MIN, |_| text("ok"));
    let mut idle = server.connect();
    idle.write_all(get("/").as_bytes()).unwrap();
    read_response(&mut idle);
    let half: Vec<TcpStream> = (1..CONNECTIONS_MIN).map(|_| server.server.connect()).collect();
    wait_until(|| server.server.metric("inventor_http_connections") == CONNECTIONS_MIN as f64);
    std::thread::sleep(YOUNG);
    for _ in 1..CONNECTIONS_MIN {
        let mut client = server.connect();
        client.write_all(get("/").as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).1, b"ok");
        std::mem::forget(client);
    }
    let closed = |mut client: &TcpStream| {
        client.set_nonblocking(true).unwrap();
        client.read(&mut [0]).is_ok()
    };
    wait_until(|| half.iter().all(closed));
    idle.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_response(&mut idle).1, b"ok", "it had to go");
}

/// Longer than the time for which a handshake is spared.
const YOUNG: Duration = Duration::from_millis(1100);

#[test]
fn others_are_shown_from_the_next_connection_on() {
    let server = TlsFixture::with(None, |_| {}, |_| text("ok"));
    let mut before = server.connected();
    server.certificates.make("next", SERVER, Some("ca"));
    server.tls.replace(credentials(&server.certificates, "next", None));
    let shown = |client: &Client| client.conn.peer_certificates().unwrap()[0].to_vec();
    let expected = |name: &str| CertificateDer::from_pem_file(server.certificates.path(name)).unwrap().to_vec();
    let after = server.connected();
    assert!(shown(&before) == expected("server.crt") && shown(&after) == expected("next.crt"));
    before.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_response(&mut before).1, b"ok");
}

#[test]
fn a_certificate_of_the_client_is_wanted_of_everybody_but_probes_and_at_every_request() {
    let server = TlsFixture::with(Some("ca"), |_| {}, |_| text("ok"));
    let status = |client: &mut Client, path: &str| {
        client.write_all(get(path).as_bytes()).unwrap();
        read_response(client).0[9..12].to_owned()
    };
    let mut nobody = server.connect();
    let asked = ["/probe", "/", "/store", "/question", "/nowhere", "/probe"].map(|path| status(&mut nobody, path));
    assert_eq!(asked, ["200", "403", "403", "403", "403", "200"]);
    // A large body is refused before it is sent.
    let head = b"PUT /store/large HTTP/1.1\r\nHost: a\r\nX-Api-Token: \xfc%\r\nContent-Length: 8000000\r\n\r\n";
    nobody.write_all(head).unwrap();
    assert!(read_response(&mut nobody).0.starts_with("HTTP/1.1 403 "));

    server.certificates.make("stranger", CLIENT, Some("other"));
    let mut stranger = server.connect_as(&client_config(&server.certificates, Some("stranger")));
    let refused = stranger.write_all(get("/probe").as_bytes()).and_then(|()| stranger.read_to_end(&mut Vec::new()));
    assert!(refused.unwrap_err().to_string().contains("UnknownCA"), "it is told why");

    let config = client_config(&server.certificates, Some("client"));
    let mut known = server.connect_as(&config);
    assert_eq!(["/", "/store", "/question"].map(|path| status(&mut known, path)), ["200"; 3]);
    let mut resumed = server.connect_as(&config);
    assert_eq!(status(&mut resumed, "/"), "200");
    assert_eq!(server.handshakes("resumed"), 1);
    // With other authorities, the same certificate is no longer trusted.
    server.tls.replace(credentials(&server.certificates, "server", Some("other")));
    assert_eq!([status(&mut known, "/"), status(&mut resumed, "/")], ["403", "403"]);
    server.tls.replace(credentials(&server.certificates, "server", Some("ca")));
    assert_eq!(status(&mut known, "/"), "200");
}

#[test]
fn the_asker_has_left_when_it_has_said_so() {
    let (entered, in_handler) = mpsc::sync_channel(1);
    let (left, noticed) = mpsc::sync_channel(1);
    let server = TlsFixture::with(
        None,
        |_| {},
        move |request| {
            entered.send(()).unwrap();
            let begun = Instant::now();
            while crate::registry::Asker::is_waiting(request) && begun.elapsed() < 10 * SECOND {
                std::thread::sleep(Duration::from_millis(5));
            }
            left.send(begun.elapsed()).unwrap();
            text("ok")
        },
    );
    let mut client = server.connect();
    client.write_all(get("/a/question").as_bytes()).unwrap();
    in_handler.recv().unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    drop(client);
    assert!(noticed.recv().unwrap() < 5 * SECOND, "it was still thought to be there");
}

#[test]
fn a_certificate_expires_with_the_first_of_its_chain() {
    let certificates = Certificates::new();
    let read = |name: &str| std::fs::read(certificates.path(name)).unwrap();
    let chain = [read("server.crt"), read("ca.crt")].concat();
    let credentials = Credentials::new(Identity::new([chain, read("server.key")]).unwrap(), None).unwrap();
    let days = 24 * 3600;
    let left = credentials.expires_at() - jiff::Timestamp::now().as_second();
    assert!((days..=2 * days).contains(&left), "{left} s");
}
