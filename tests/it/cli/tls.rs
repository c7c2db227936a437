//! The client through a proxy that speaks TLS: a private CA, certificates of clients, and a password of the proxy's own.

use super::Cli;
use super::agent::{agent, file_sd, lists};
use crate::certificates::Certificates;
use crate::eventually::{SOON, eventually};
use crate::nginx::Nginx;
use crate::server::Server;

/// nginx with TLS before a server.
#[track_caller]
fn proxy_before(server: &Server, certificates: &Certificates, more: &str) -> (Nginx, Cli) {
    let directory = certificates.path("");
    let nginx = Nginx::start(&directory, |address| {
        let (directory, server) = (directory.display(), server.address());
        format!(
            "server {{ listen {address} ssl; {more}\n\
             ssl_certificate {directory}/server.crt; ssl_certificate_key {directory}/server.key;\n\
             location / {{ proxy_pass http://{server}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
        )
    });
    let cli = Cli::at(&format!("https://localhost:{}/", nginx.port()));
    (nginx, cli)
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let server = Server::start(&[]);
    let certificates = Certificates::new();
    let (_proxy, cli) = proxy_before(&server, &certificates, "");
    let [ca, other] = ["ca.crt", "other.crt"].map(|name| certificates.path(name).to_str().unwrap().to_owned());
    cli.write("d/a.json", file_sd("a:1"));
    let _agent = agent(&cli, &["--ca-file", &ca]);
    lists(&server, &["a:1"]);
    cli.ends_with(0, &["register", "--target", "b:1", "--ca-file", &ca]);
    cli.fails_with(3, &["status", "--ca-file", &other], &["TLS", "certificate"]);
    cli.fails_with(3, &["status"], &["TLS", "certificate"]);
    cli.fails_with(2, &["status", "--ca-file", "missing"], &["--ca-file missing"]);
    let empty = cli.write("empty", "");
    cli.fails_with(2, &["status", "--ca-file", empty.to_str().unwrap()], &["holds no PEM certificate"]);
}

#[test]
fn the_proxy_may_want_a_certificate_and_a_password_of_its_own() {
    let server = Server::start(&[]);
    let certificates = Certificates::new();
    let directory = certificates.path("");
    // printf 'user:{PLAIN}pass' is a password file of nginx.
    std::fs::write(certificates.path("passwords"), "user:{PLAIN}pass\n").unwrap();
    let more = format!(
        "ssl_client_certificate {0}/ca.crt; ssl_verify_client on; auth_basic x; auth_basic_user_file {0}/passwords;",
        directory.display()
    );
    let (_proxy, cli) = proxy_before(&server, &certificates, &more);
    let [ca, cert, key, other] = ["ca.crt", "client.crt", "client.key", "server.key"]
        .map(|name| certificates.path(name).to_str().unwrap().to_owned());
    let register = ["register", "--target", "a:1", "--ca-file", &ca];
    let with = |more: &[&'static str], cert: &str, key: &str| {
        let arguments: Vec<&str> = [&register[..], &["--cert", cert, "--key", key], more].concat();
        cli.run(&arguments)
    };
    let password = ["--header", "Authorization: Basic dXNlcjpwYXNz"];
    let reached = || with(&password, &cert, &key).code == Some(0);
    eventually(SOON, reached);
    cli.fails_with(3, &register, &["is not inventor", "400"]);
    assert_eq!(with(&[], &cert, &key).code, Some(3), "without the password");
    let wrong = with(&password, &cert, &other);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("not the key of the certificate") && !wrong.stderr.contains("panicked"), "{wrong:?}");
    cli.fails_with(2, &["status", "--cert", &cert], &["--key"]);
}
