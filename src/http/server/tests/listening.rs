//! Where a server can listen.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

#[test]
fn a_port_in_use_is_said_in_a_sentence() {
    let server = Fixture::start(|_| text("ok"));
    let port = server.address.rsplit(':').next().unwrap().parse().unwrap();
    let listen = vec![Listen::Tcp { addr: Some(Ipv4Addr::LOCALHOST.into()), port }];
    let settings = ServerSettings {
        listen,
        workers: 1,
        connections_max: 1,
        proxies: TrustedProxies::default(),
        limits: Limits::default(),
        tls: None,
    };
    let error = Server::bind(settings, &Registry::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port}: another program is listening there"));
}

#[test]
fn all_addresses_are_of_both_families() {
    let all = |settings: &mut ServerSettings| settings.listen = vec![Listen::Tcp { addr: None, port: 0 }];
    let mut server = Fixture::with(all, |request| text(request.client.as_str()));
    let port = server.address.rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "[::1]"] {
        server.address = format!("{host}:{port}");
        assert!(server.exchange(last_get("/")).contains(&format!("\r\n\r\n{host}:")));
    }
}

#[test]
fn a_unix_socket_and_an_inherited_one_serve_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    // A socket that a killed server has left behind.
    drop(UnixListener::bind(&path).unwrap());
    let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = inherited.local_addr().unwrap();
    let listen = vec![Listen::Unix(path.clone()), Listen::Inherited(OwnedFd::from(inherited))];
    let server = Fixture::with(|settings| settings.listen = listen, |request| text(request.client.as_str()));
    assert_eq!(server.address, format!("unix:{}", path.display()));

    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).1, b"unix");
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).1, client.local_addr().unwrap().to_string().as_bytes());

    let again = ServerSettings {
        listen: vec![Listen::Unix(path.clone())],
        workers: 1,
        connections_max: 1,
        proxies: TrustedProxies::default(),
        limits: Limits::default(),
        tls: None,
    };
    assert!(Server::bind(again, &Registry::new()).unwrap_err().to_string().contains("another program is listening"));
    drop(server);
    assert!(!path.exists());
}

#[test]
fn who_else_may_have_the_usual_port_is_said() {
    let taken = |address: &str| {
        let error = std::io::ErrorKind::AddrInUse.into();
        BindError::Listen { address: address.to_owned(), error }.to_string()
    };
    for address in ["port 9101", "127.0.0.1:9101", "[::]:9101"] {
        assert!(taken(address).ends_with("9101 is also the port of the HAProxy exporter and of Bacula"), "{address}");
    }
    assert!(!taken("port 19101").contains("HAProxy"));
}
