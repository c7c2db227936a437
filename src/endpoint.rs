//! Where a server listens, and how its address is written.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};

use socket2::SockAddr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    /// A TCP address at which it speaks TLS.
    Tls(SocketAddr),
    /// A Unix socket: its path, or `@` and its name in the abstract namespace, which has no files.
    Unix(PathBuf),
}

impl Endpoint {
    /// The endpoint of a listening socket with this address.
    pub fn of(address: &SockAddr) -> Endpoint {
        let named = |name: &[u8]| PathBuf::from(OsStr::from_bytes(&[b"@", name].concat()));
        match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => Endpoint::Tcp(address),
            (None, Some(path)) => Endpoint::Unix(path.to_owned()),
            (None, None) => Endpoint::Unix(address.as_abstract_namespace().map(named).unwrap_or_default()),
        }
    }

    /// The same endpoint of a server that speaks TLS. On Unix sockets it never does.
    pub fn with_tls(self) -> Endpoint {
        match self {
            Endpoint::Tcp(address) => Endpoint::Tls(address),
            other => other,
        }
    }

    /// The addresses at which this machine can reach it: the loopback address if the server listens on all addresses.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        let (Endpoint::Tcp(address) | Endpoint::Tls(address)) = self else { return Vec::new() };
        let ips: &[IpAddr] = match address.ip() {
            ip if !ip.is_unspecified() => &[ip],
            IpAddr::V4(_) => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
            // A socket for all IPv6 addresses takes IPv4 too, unless the machine has only one of them.
            IpAddr::V6(_) => &[IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)],
        };
        ips.iter().map(|ip| SocketAddr::new(*ip, address.port())).collect()
    }
}

impl fmt::Display for Endpoint {
    /// As the server logs it: `127.0.0.1:9101`, `[::]:9101`, `unix:/run/inventor.sock`, `unix:@name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) | Endpoint::Tls(address) => address.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The address of a Unix socket with this path, or with `@` and a name in the abstract namespace.
///
/// # Errors
/// The path is too long, or not one that an address can hold.
pub fn unix_address(path: &Path) -> io::Result<net::SocketAddr> {
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => net::SocketAddr::from_abstract_name(name),
        None => net::SocketAddr::from_pathname(path),
    }
}
