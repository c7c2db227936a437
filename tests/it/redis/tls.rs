//! TLS: a private CA, a certificate for the client, and what is said when either is wrong.

use std::fs;

use inventor::pem::{Authorities, Identity};
use inventor::store::redis::{Address, Settings, Tls};

use super::Replica;
use crate::certificates::Certificates;
use crate::redis_server::RedisServer;
use crate::server::Setup;

impl Certificates {
    /// A Redis that speaks TLS, and the port where it does.
    #[track_caller]
    pub(super) fn serve(&self, clients: &str) -> (RedisServer, u16) {
        let [certificate, key, ca] = ["server.crt", "server.key", "ca.crt"].map(|name| self.path(name));
        let [certificate, key, ca] = [&certificate, &key, &ca].map(|path| path.to_str().unwrap());
        let mut arguments = vec!["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        arguments.extend(["--tls-auth-clients", clients]);
        RedisServer::start_on_port("--tls-port", &arguments)
    }

    fn settings(&self, host: &str, port: u16, ca: &str, identity: Option<&str>) -> Settings {
        let read = |name: String| fs::read(self.path(&name)).unwrap();
        let identity = identity.map(|name| [read(format!("{name}.crt")), read(format!("{name}.key"))]);
        let identity = identity.map(|pem| Identity::new(pem).unwrap());
        let tls = Some(Tls::new(Some(Authorities::new(read(ca.to_owned())).unwrap()), identity));
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
fn files_that_are_of_no_use_are_wrong_settings() {
    let certificates = Certificates::new();
    let [ca, cert, key] = ["ca.crt", "client.crt", "server.key"].map(|name| certificates.path(name));
    let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
    let good = Setup::new().env("REDIS_URL", "rediss://localhost:1");
    for (files, named) in [
        (&[("REDIS_TLS_CA", "/nowhere/file")][..], ["REDIS_TLS_CA", "/nowhere/file"]),
        (&[("REDIS_TLS_CA", key)], ["REDIS_TLS_CA", "no PEM certificate"]),
        (
            &[("REDIS_TLS_CA", ca), ("REDIS_TLS_CERT", "/nowhere/file"), ("REDIS_TLS_KEY", key)],
            ["_CERT", "/nowhere/file"],
        ),
        (&[("REDIS_TLS_CERT", cert), ("REDIS_TLS_KEY", key)], ["REDIS_TLS_KEY", "not the key of the certificate"]),
        (&[("REDIS_TLS_CERT", cert)], ["REDIS_TLS_KEY", "REDIS_TLS_CERT"]),
        (&[("REDIS_PASSWORD_FILE", "/dev/null")], ["REDIS_PASSWORD_FILE", "/dev/null"]),
    ] {
        let outcome = files.iter().fold(good.clone(), |setup, (name, file)| setup.env(name, file)).run();
        assert_eq!(outcome.code, Some(2), "{files:?}: {outcome:?}");
        assert!(named.iter().all(|text| outcome.stderr.contains(text)), "{files:?}: {outcome:?}");
    }
}
