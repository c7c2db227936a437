//! Asks a server on this machine whether it is alive or ready, through its public port as any client would: for
//! container engines, whose image has no curl, and for the watchdog of systemd.

mod tls;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// The longest wait for a connection, and for each step of the answer.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The largest answer that is looked at: a head and a sentence.
const ANSWER_BYTES_MAX: u64 = 8 * 1024;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// On a TCP port; an unspecified address is reached through the loopback.
    Tcp(SocketAddr),
    /// The same, and it speaks TLS there.
    Tls(SocketAddr),
    /// On a Unix socket at this path, or with this name in the abstract namespace, which has no files, after an `@`.
    Unix(PathBuf),
}

impl Endpoint {
    /// The same place of a server that speaks TLS, as it does on TCP ports alone.
    pub fn with_tls(self) -> Endpoint {
        match self {
            Endpoint::Tcp(address) => Endpoint::Tls(address),
            other => other,
        }
    }
}

impl FromStr for Endpoint {
    type Err = std::net::AddrParseError;

    /// Reads an address as the server logs it: `127.0.0.1:9101`, `[::]:9101`, `unix:/run/inventor.sock`,
    /// `unix:@name`.
    fn from_str(text: &str) -> Result<Endpoint, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Endpoint::Unix(path.into())),
            None => text.parse().map(Endpoint::Tcp),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) | Endpoint::Tls(address) => address.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Are polls and writes expected to succeed?
    Ready,
    /// Does it answer at all?
    Healthy,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Question::Ready => "/-/ready",
            Question::Healthy => "/-/healthy",
        }
    }
}

/// Why the answer is no.
#[derive(Debug)]
pub enum Unhealthy {
    /// The server says so.
    Refused {
        status: u16,
        text: String,
    },
    /// What answers is no HTTP server.
    NoHttp,
    Silent(Endpoint, io::Error),
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unhealthy::Refused { status, text } => write!(f, "{status}: {text}"),
            Unhealthy::NoHttp => f.write_str("the answer is not HTTP"),
            Unhealthy::Silent(endpoint, e) => write!(f, "no answer from {endpoint}: {e}"),
        }
    }
}

impl std::error::Error for Unhealthy {}

/// Asks, and waits for the answer a few seconds at most.
pub fn ask(endpoint: &Endpoint, question: Question) -> Result<(), Unhealthy> {
    let answer = connect(endpoint).and_then(|socket| match endpoint {
        Endpoint::Tls(_) => exchange(tls::begin(socket)?, question),
        Endpoint::Tcp(_) | Endpoint::Unix(_) => exchange(socket, question),
    });
    read(&answer.map_err(|e| Unhealthy::Silent(endpoint.clone(), e))?)
}

fn connect(endpoint: &Endpoint) -> io::Result<Socket> {
    match endpoint {
        Endpoint::Unix(path) => connect_to(Domain::UNIX, &unix_address(path)?),
        Endpoint::Tcp(address) | Endpoint::Tls(address) => {
            let to = |ip: IpAddr| {
                let address = SocketAddr::new(ip, address.port());
                connect_to(Domain::for_address(address), &address.into())
            };
            match address.ip() {
                ip if !ip.is_unspecified() => to(ip),
                IpAddr::V4(_) => to(Ipv4Addr::LOCALHOST.into()),
                // A socket for all addresses of IPv6 takes IPv4 too, unless the machine has only one of them.
                IpAddr::V6(_) => to(Ipv6Addr::LOCALHOST.into()).or_else(|_| to(Ipv4Addr::LOCALHOST.into())),
            }
        }
    }
}

/// The address of a socket at this path, or under this name if it begins with `@`.
fn unix_address(path: &Path) -> io::Result<SockAddr> {
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())),
        None => SockAddr::unix(path),
    }
}

fn connect_to(domain: Domain, address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect_timeout(address, WAIT_MAX)?;
    socket.set_read_timeout(Some(WAIT_MAX))?;
    socket.set_write_timeout(Some(WAIT_MAX))?;
    Ok(socket)
}

fn exchange(mut stream: impl Read + Write, question: Question) -> io::Result<Vec<u8>> {
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: inventor-healthcheck\r\nConnection: close\r\n\r\n",
        question.path()
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn read(answer: &[u8]) -> Result<(), Unhealthy> {
    let answer = String::from_utf8_lossy(answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(200), Some(_)) => Ok(()),
        (Some(status), Some((_, body))) => Err(Unhealthy::Refused { status, text: body.trim().to_owned() }),
        _ => Err(Unhealthy::NoHttp),
    }
}
