//! The public sockets, TCP and Unix, opened here or passed in, and the names of their clients.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::limits::{BACKLOG, SEND_BUFFER_BYTES};
use crate::endpoint::Endpoint;

#[derive(Debug)]
pub enum Listen {
    Tcp {
        /// One address; without it all, IPv6 and IPv4.
        addr: Option<IpAddr>,
        /// The port; 0 lets the system choose.
        port: u16,
    },
    Unix(PathBuf),
    /// A socket that listens already, such as one that systemd passed.
    Inherited(OwnedFd),
}

#[derive(Debug)]
pub enum BindError {
    Listen {
        /// The address as it was configured.
        address: String,
        error: io::Error,
    },
    /// A passed socket does not listen for streams.
    NotAListener,
    /// The private connections to tiny_http, or the threads, could not be made.
    Start(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Listen { address, error } if error.kind() == ErrorKind::AddrInUse => {
                write!(f, "cannot listen on {address}: another program is listening there")?;
                match [" 9101", ":9101"].iter().any(|usual| address.ends_with(usual)) {
                    true => write!(f, "; 9101 is also the port of the HAProxy exporter and of Bacula"),
                    false => Ok(()),
                }
            }
            BindError::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            BindError::NotAListener => write!(f, "a socket passed to the server is not a listening stream socket"),
            BindError::Start(error) => write!(f, "cannot start the HTTP server: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

#[derive(Debug)]
pub(in crate::http) struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    /// The file of a Unix socket that was made here; it is removed at the end.
    file: Option<PathBuf>,
}

impl Listener {
    pub(in crate::http) fn bind(listen: Listen) -> Result<Listener, BindError> {
        let failed = |address: String| |error| BindError::Listen { address, error };
        let mut file = None;
        let socket = match listen {
            Listen::Tcp { addr: Some(addr), port } => {
                let address = SocketAddr::new(addr, port);
                tcp(address).map_err(failed(address.to_string()))?
            }
            // One socket for both families. A machine without IPv6 has only IPv4.
            Listen::Tcp { addr: None, port } => tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))
                .or_else(|error| match error.kind() {
                    ErrorKind::AddrInUse | ErrorKind::PermissionDenied => Err(error),
                    _ => tcp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
                })
                .map_err(failed(format!("port {port}")))?,
            Listen::Unix(path) => {
                let socket = unix(&path).map_err(failed(format!("unix:{}", path.display())))?;
                file = Some(path);
                socket
            }
            Listen::Inherited(fd) => {
                let socket = Socket::from(fd);
                if !socket.is_listener().unwrap_or(false) || socket.r#type().ok() != Some(Type::STREAM) {
                    return Err(BindError::NotAListener);
                }
                socket
            }
        };
        let endpoint = Endpoint::of(&socket.local_addr().map_err(BindError::Start)?);
        set_options(&socket).map_err(failed(endpoint.to_string()))?;
        Ok(Listener { socket, endpoint, file })
    }

    /// The endpoint in use, with the port that the system chose.
    pub(in crate::http) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next connection and the name of its client, without waiting.
    pub(super) fn accept(&self) -> io::Result<(Socket, String)> {
        let (socket, client) = self.socket.accept()?;
        let client = client.as_socket().map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()).to_string());
        Ok((socket, client.unwrap_or_else(|| "unix".to_owned())))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // A file that is left does no harm: the next start replaces it.
            let _ = fs::remove_file(file);
        }
    }
}

fn set_options(socket: &Socket) -> io::Result<()> {
    if socket.domain()? != Domain::UNIX {
        // Accepted sockets inherit both. A response is written at once, so there is nothing to collect.
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    }
    // The accept loop asks all listeners in turn, and must not hang on one whose client has left meanwhile.
    socket.set_nonblocking(true)
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn unix(path: &Path) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_abandoned(path, &address) => {
            fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    // All users may connect, as to a port: tokens decide, and the directory can be closed to others.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Whether a server that was killed has left this socket behind.
fn is_abandoned(path: &Path, address: &SockAddr) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses = || {
        let probe = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|probe| probe.connect(address));
        probe.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    is_socket && refuses()
}
