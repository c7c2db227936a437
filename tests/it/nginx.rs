//! A real nginx before a server, on a port of its own.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::process::Process;

/// A running nginx; ended when dropped.
pub(crate) struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    /// Starts one whose files are in this directory, with what belongs into its `http` block; that gets the address to
    /// listen on.
    #[track_caller]
    pub(crate) fn start(directory: &Path, http: impl FnOnce(&str) -> String) -> Nginx {
        // The listening socket is passed, as nginx passes it to itself when it is upgraded.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (file, directory) = (directory.join("nginx.conf"), directory.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {directory}/{name};\n"))
            .concat();
        let configuration = format!(
            "daemon off; user root; worker_processes 1; error_log stderr; pid {directory}/pid; events {{}}\n\
             http {{ access_log off; {temporary}\n{} }}",
            http(&format!("127.0.0.1:{port}"))
        );
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec 3<&0 </dev/null; NGINX="3;" exec nginx -e stderr -c "$0""#]).arg(file);
        Nginx { process: Process::start_reading(Stdio::from(OwnedFd::from(listener)), &mut command), port }
    }

    /// Starts one with an example of `deploy/nginx` before the server at this address, without TLS.
    #[track_caller]
    pub(crate) fn with_example(directory: &Path, name: &str, server: &str) -> Nginx {
        Nginx::with_changed_example(directory, name, server, "", "")
    }

    /// The same with another text in the place of one.
    #[track_caller]
    pub(crate) fn with_changed_example(directory: &Path, name: &str, server: &str, from: &str, to: &str) -> Nginx {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx").join(name);
        let example = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Nginx::start(directory, |address| {
            let lines = example.lines().filter(|line| !line.trim_start().starts_with("ssl_"));
            let text = lines.filter(|line| !line.contains("listen [::]:443")).collect::<Vec<_>>().join("\n");
            for part in ["server 127.0.0.1:9101;", "listen 443 ssl;", from] {
                assert!(text.contains(part), "{name} has no {part}");
            }
            let text = if from.is_empty() { text } else { text.replacen(from, to, 1) };
            let text = text.replace("server 127.0.0.1:9101;", &format!("server {server};"));
            text.replace("listen 443 ssl;", &format!("listen {address};"))
        })
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its worker behind.
        self.process.signal(Signal::SIGTERM);
        self.process.wait();
    }
}
