//! The server over TLS, as curl, `openssl s_client`, Prometheus and its own commands see it.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::certificates::{CLIENT, Certificates, SERVER};
use crate::cli::Cli;
use crate::eventually::{SOON, eventually};
use crate::prometheus_server;
use crate::server::{Server, Setup};

/// A server that speaks TLS, with the certificates for it.
pub(crate) struct TlsServer {
    pub(crate) server: Server,
    pub(crate) certificates: Certificates,
    setup: Setup,
}

/// A setup whose server speaks TLS with these.
fn setup(certificates: &Certificates) -> Setup {
    let setup = Setup::new();
    // The files are the server's own, to be changed.
    for name in ["server.crt", "server.key", "ca.crt"] {
        fs::copy(certificates.path(name), setup.path(name)).unwrap();
    }
    setup.env("TLS_CERT", "server.crt").env("TLS_KEY", "server.key")
}

impl TlsServer {
    #[track_caller]
    pub(crate) fn start(more: &[(&str, &str)]) -> TlsServer {
        let certificates = Certificates::new();
        let setup = more.iter().fold(setup(&certificates), |setup, (name, value)| setup.env(name, value));
        TlsServer { server: setup.start(), certificates, setup }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.address().port())
    }

    fn file(&self, name: &str) -> String {
        self.certificates.path(name).to_str().unwrap().to_owned()
    }

    /// What curl says of this path: the status and the body.
    #[track_caller]
    pub(crate) fn curl(&self, path: &str, arguments: &[&str]) -> (String, String) {
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "20", "--cacert", &self.file("ca.crt"), "-w", "\n%{http_code}"]).args(arguments);
        let output = command.arg(self.url(path)).output().expect("curl starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or_default();
        (status.to_owned(), format!("{body}{}", String::from_utf8_lossy(&output.stderr)))
    }

    #[track_caller]
    fn status(&self, path: &str, arguments: &[&str]) -> String {
        self.curl(path, arguments).0
    }

    /// What a new connection of `openssl s_client` sees.
    #[track_caller]
    fn s_client(&self, arguments: &[&str]) -> String {
        let address = format!("localhost:{}", self.server.address().port());
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address, "-CAfile", &self.file("ca.crt")]).args(arguments);
        let output = command.stdin(Stdio::null()).output().expect("openssl starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn healthcheck(&self) -> Setup {
        let port = self.server.address().port().to_string();
        self.setup.clone().env("LISTEN_PORT", &port).argument("healthcheck")
    }

    /// A client that trusts this server.
    fn cli(&self) -> Cli {
        Cli::at(&self.url("")).env("INVENTOR_CA_FILE", &self.file("ca.crt"))
    }
}

#[test]
fn curl_openssl_and_the_own_commands_speak_tls_with_it() {
    let server = TlsServer::start(&[]);
    let body = r#"{"static_config":{"targets":["a:1"]}}"#;
    let put = |token: &str| {
        let header = format!("x-api-token: {token}");
        server.status("/target", &["-X", "PUT", "-H", &header, "-d", body])
    };
    assert_eq!((put("secret").as_str(), put("wrong").as_str()), ("200", "403"));
    for version in ["1.2", "1.3"] {
        let (status, list) = server.curl("/discover", &["--tlsv1.2", "--tls-max", version]);
        assert_eq!((status.as_str(), list.contains("a:1")), ("200", true), "{version}: {list}");
    }
    let seen = server.s_client(&["-alpn", "h2,http/1.1"]);
    assert!(seen.contains("Verification: OK") && seen.contains("ALPN protocol: http/1.1"), "{seen}");
    assert!(server.s_client(&["-tls1_1"]).contains("no peer certificate"));

    assert_eq!(server.healthcheck().run().code, Some(0));
    let plain = server.healthcheck().without("TLS_CERT").without("TLS_KEY").run();
    assert!(plain.code == Some(1) && plain.stderr.contains("this port speaks TLS"), "{plain:?}");
    server.cli().ends_with(0, &["register", "--target", "b:1"]);
    assert!(server.cli().ends_with(0, &["list"]).contains("b:1"));
    let stranger = Cli::at(&server.url(""));
    stranger.fails_with(3, &["list"], &["TLS", "--ca-file"]);
    Cli::at(&server.url("").replace("https", "http")).fails_with(2, &["list"], &["400", "this port speaks TLS"]);
}

#[test]
fn clients_show_certificates_but_probes_need_none() {
    let server = TlsServer::start(&[("TLS_CLIENT_CA", "ca.crt")]);
    let [cert, key] = ["client.crt", "client.key"].map(|name| server.file(name));
    let known = ["--cert", &cert, "--key", &key];
    for path in ["/healthcheck", "/-/healthy", "/-/ready"] {
        assert_eq!(server.status(path, &[]), "200", "{path}");
    }
    for path in ["/", "/discover", "/metrics", "/api/v1/status", "/openapi.json", "/nowhere", "/target"] {
        assert_eq!(server.status(path, &[]), "403", "{path}");
        assert_ne!(server.status(path, &[&known[..], &["-H", "x-api-token: secret"]].concat()), "403", "{path}");
    }
    assert_eq!(server.healthcheck().run().code, Some(0));
    server.cli().fails_with(2, &["register", "--target", "a:1"], &["certificate"]);
    let cli = server.cli().env("INVENTOR_CERT", &cert).env("INVENTOR_KEY", &key);
    cli.ends_with(0, &["register", "--target", "a:1"]);
    let tls = [("ca_file", "ca.crt"), ("cert_file", "client.crt"), ("key_file", "client.key")];
    let tls: String = tls.map(|(key, file)| format!("  {key}: {}\n", server.file(file))).concat();
    prometheus_server::finds(&server.url("/discover"), &format!("tls_config:\n{tls}"), "http://a:1/metrics");
}

#[test]
fn wrong_files_end_the_start_and_are_named() {
    let certificates = Certificates::new();
    let good = setup(&certificates);
    fs::copy(certificates.path("client.key"), good.path("other.key")).unwrap();
    good.write("empty", "");
    for (name, value, words) in [
        ("TLS_CERT", "missing", &["TLS_CERT", "missing"][..]),
        ("TLS_CERT", "empty", &["TLS_CERT", "empty", "no PEM certificate"]),
        ("TLS_CERT", "", &["TLS_CERT", "TLS_KEY"]),
        ("TLS_KEY", "", &["TLS_KEY", "TLS_CERT"]),
        ("TLS_KEY", "server.crt", &["TLS_KEY", "no PEM key"]),
        ("TLS_KEY", "other.key", &["TLS_KEY", "other.key", "not the key of the certificate"]),
        ("TLS_CLIENT_CA", "empty", &["TLS_CLIENT_CA", "empty"]),
        ("LISTEN_ADDR", "unix:/nowhere/socket", &["LISTEN_ADDR", "TLS"]),
    ] {
        let outcome = good.clone().env(name, value).run();
        assert_eq!(outcome.code, Some(2), "{name}={value}: {outcome:?}");
        assert!(words.iter().all(|word| outcome.stderr.contains(word)), "{name}={value}: {outcome:?}");
    }
}

#[test]
fn changed_files_are_taken_up_by_themselves_and_what_does_not_fit_is_not() {
    let TlsServer { mut server, certificates, setup } = TlsServer::start(&[("TLS_CLIENT_CA", "ca.crt")]);
    // The certificates of tests live for two days.
    server.process().line_with(&["level=warn", "the certificate expires soon", " expires_at="]);
    certificates.make("next", SERVER, Some("ca"));
    certificates.make("stranger", CLIENT, Some("other"));
    let place = |from: &str, to: &str| fs::copy(certificates.path(from), setup.path(to)).map(drop).unwrap();
    place("next.key", "server.key");
    server.process().line_with(&["cannot reread the certificate, keeping the old one", "not the key"]);
    let mut server = TlsServer { server, certificates, setup };
    let subject =
        |server: &TlsServer| server.s_client(&[]).lines().find(|line| line.starts_with("subject=")).map(str::to_owned);
    assert_eq!(subject(&server).as_deref(), Some("subject=CN = server"));
    // A new one beside it, and then in its place.
    fs::copy(server.certificates.path("next.crt"), server.setup.path("new.crt")).unwrap();
    fs::rename(server.setup.path("new.crt"), server.setup.path("server.crt")).unwrap();
    eventually(SOON, || subject(&server).as_deref() == Some("subject=CN = next"));

    let [cert, key] = ["stranger.crt", "stranger.key"].map(|name| server.file(name));
    let status = |server: &TlsServer| server.status("/discover", &["--cert", &cert, "--key", &key]);
    assert_eq!(status(&server), "000");
    fs::copy(server.certificates.path("other.crt"), server.setup.path("ca.crt")).unwrap();
    server.server.process().signal(Signal::SIGHUP);
    eventually(SOON, || status(&server) == "200");
    let metrics = server.curl("/metrics", &["--cert", &cert, "--key", &key]).1;
    let expiry =
        metrics.lines().find_map(|line| line.strip_prefix("inventor_tls_certificate_expiry_timestamp_seconds "));
    let left = expiry.unwrap().parse::<i64>().unwrap() - jiff::Timestamp::now().as_second();
    assert!((86_400..=2 * 86_400).contains(&left), "{left} s");
}

#[test]
fn the_agent_takes_up_another_authority_by_itself() {
    let server = TlsServer::start(&[]);
    let cli = server.cli();
    let ca = cli.write("ca.crt", fs::read(server.certificates.path("other.crt")).unwrap());
    cli.write("d/a.json", r#"[{"targets": ["a:1"]}]"#);
    let mut agent = cli.env("INVENTOR_CA_FILE", ca.to_str().unwrap()).start(&["agent", "--dir", "d"]);
    agent.line_with(&["TLS", "--ca-file"]);
    cli.write("ca.crt", fs::read(server.certificates.path("ca.crt")).unwrap());
    eventually(SOON, || server.curl("/discover", &[]).1.contains("a:1"));
}
