//! nginx as Debian sets it up, serving a file of the same bytes: what people compare a server of lists with.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::load::Target;
use crate::wire::trusting;

/// How long nginx may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a port is chosen anew because someone else was faster.
const PORT_TRIES: usize = 20;

/// The name of the file.
pub(crate) const PATH: &str = "/list.json";

/// A running nginx; ended when dropped.
pub(crate) struct Nginx {
    child: Child,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    _directory: TempDir,
}

impl Nginx {
    /// Starts one that serves these bytes, by TLS if there are certificates. `None` when it is not installed.
    pub(crate) fn start(body: &[u8], certificates: Option<&Certificates>) -> Option<Nginx> {
        for _ in 0..PORT_TRIES {
            let directory = TempDir::new().expect("there is room for temporary files");
            fs::write(directory.path().join("list.json"), body).expect("there is room for temporary files");
            let free = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
            let address = free.local_addr().expect("a listener has an address");
            drop(free);
            let path = directory.path().join("nginx.conf");
            fs::write(&path, configuration(&directory, address, certificates))
                .expect("there is room for temporary files");
            let mut command = Command::new("nginx");
            command.arg("-p").arg(directory.path()).arg("-c").arg(&path).arg("-e").arg("error.log");
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
            let mut nginx = Nginx { child, address, tls: certificates.map(trusting), _directory: directory };
            if nginx.comes_up() {
                return Some(nginx);
            }
        }
        panic!("no port is free");
    }

    fn comes_up(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            // It ends at once when the port was taken.
            if self.child.try_wait().expect("a child can be asked for its status").is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            assert!(Instant::now() < end, "nginx has not come up within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Who is to be loaded. Its workers are processes of their own, whose processor time is not counted.
    pub(crate) fn target(&self) -> Target {
        Target { address: self.address, process: self.child.id(), tls: self.tls.clone() }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Debian's settings as far as they concern speed. The log is off, and no connection is closed for its many requests.
fn configuration(directory: &TempDir, address: SocketAddr, certificates: Option<&Certificates>) -> String {
    let root = directory.path().display();
    let tls = certificates.map_or_else(String::new, |certificates| {
        let [cert, key] = ["server.crt", "server.key"].map(|name| certificates.path(name));
        let (cert, key) = (cert.display(), key.display());
        format!(" ssl; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3")
    });
    format!(
        "daemon off; worker_processes auto; pid nginx.pid; error_log error.log;
        events {{ worker_connections 768; }}
        http {{
            sendfile on; tcp_nopush on; types_hash_max_size 2048; default_type application/json;
            access_log off; keepalive_requests 1000000000;
            client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
            server {{ listen {address}{tls}; root {root}; }}
        }}"
    )
}
