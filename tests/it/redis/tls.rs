//! TLS: a private CA, a certificate for the client, and what is said when either is wrong.

use std::path::{Path, PathBuf};

use inventor::store::redis::{Address, Settings, SetupError, Tls};

use super::Replica;
use crate::certificates::Certificates;
use crate::redis_server::RedisServer;
use crate::server::Setup;
use crate::store_contract::{hour, rules};

impl Certificates {
    /// A Redis that speaks TLS, and the port where it does.
    #[track_caller]
    fn serve(&self, clients: &str) -> (RedisServer, u16) {
        let [certificate, key, ca] = ["server.crt", "server.key", "ca.crt"].map(|name| self.path(name));
        let [certificate, key, ca] = [&certificate, &key, &ca].map(|path| path.to_str().unwrap());
        let mut arguments = vec!["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        arguments.extend(["--tls-auth-clients", clients]);
        RedisServer::start_on_port("--tls-port", &arguments)
    }

    fn identity(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")))
    }

    fn settings(&self, host: &str, port: u16, ca: &str, identity: Option<&str>) -> Settings {
        let identity = identity.map(|name| self.identity(name));
        let tls = Some(Tls { ca: Some(self.path(ca)), identity });
        Settings { tls, ..Settings::new(Address::Tcp(host.into(), port)) }
    }
}

#[track_caller]
fn works(settings: Settings) {
    let replica = Replica::launch(settings);
    replica.is_up();
    replica.put("a", "document");
    assert_eq!(replica.shown("a").as_deref(), Some("document"));
}

#[track_caller]
fn fails_with(settings: Settings, reason: &str) {
    Replica::launch(settings).is_unwell_because(&[reason]);
}

#[test]
fn a_certificate_of_a_private_ca_is_trusted_by_name_and_by_address() {
    let certificates = Certificates::new();
    let (_redis, port) = certificates.serve("no");
    works(certificates.settings("localhost", port, "ca.crt", None));
    works(certificates.settings("127.0.0.1", port, "ca.crt", None));
}

#[test]
fn a_client_shows_its_certificate() {
    let certificates = Certificates::new();
    let (_redis, port) = certificates.serve("yes");
    works(certificates.settings("localhost", port, "ca.crt", Some("client")));
    fails_with(certificates.settings("localhost", port, "ca.crt", None), "REDIS_TLS_CERT");
}

#[test]
fn a_certificate_of_another_ca_is_not_trusted() {
    let certificates = Certificates::new();
    let (_redis, port) = certificates.serve("no");
    fails_with(certificates.settings("localhost", port, "other.crt", None), "REDIS_TLS_CA");
}

#[test]
fn a_server_without_tls_is_named_as_such() {
    let certificates = Certificates::new();
    let (_redis, port) = RedisServer::start_on_port("--port", &[]);
    fails_with(certificates.settings("127.0.0.1", port, "ca.crt", None), "does not speak TLS");
}

#[test]
fn a_file_that_cannot_be_read_ends_the_start() {
    let tls = Some(Tls { ca: Some(Path::new("/nowhere/ca.crt").to_owned()), identity: None });
    let settings = Settings { tls, ..Settings::new(Address::Tcp("localhost".into(), 6379)) };
    let error = super::try_launch(rules(hour()), settings).err().expect("there is no such file");
    assert!(matches!(&error, SetupError::File { path, .. } if path.ends_with("ca.crt")), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_a_wrong_setting() {
    for name in ["REDIS_TLS_CA", "REDIS_TLS_CERT"] {
        let setup = Setup::new().env("REDIS_URL", "rediss://localhost:1").env(name, "/nowhere/file");
        let outcome = setup.env("REDIS_TLS_KEY", if name == "REDIS_TLS_CERT" { "/nowhere/file" } else { "" }).run();
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(name) && outcome.stderr.contains("/nowhere/file"), "{outcome:?}");
    }
}
