//! Passwords and certificates for Redis that change while the server runs.

use std::fs;

use ::redis::Connection;
use nix::sys::signal::Signal;

use crate::certificates::{CLIENT, Certificates};
use crate::eventually::{SOON, eventually};
use crate::owners::{by_id, registration};
use crate::redis_server::{RedisServer, command};
use crate::server::{Server, Setup};

/// A server whose secrets for Redis are in files of its setup.
struct Rotation {
    setup: Setup,
    server: Server,
}

impl Rotation {
    #[track_caller]
    fn start(setup: Setup) -> Rotation {
        let server = setup.start();
        eventually(SOON, || server.put(registration("a")).status == 200);
        Rotation { setup, server }
    }

    /// Puts a file into the place of another one.
    #[track_caller]
    fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::rename(self.setup.write("next", content), self.setup.path(name)).unwrap();
    }

    fn has_logged(&self, texts: &[&str]) -> usize {
        self.server.log().iter().filter(|line| texts.iter().all(|text| line.contains(text))).count()
    }

    #[track_caller]
    fn connects(&self) -> f64 {
        self.server.metric("inventor_redis_connects_total")
    }

    /// Has Redis close all connections but this one, and waits until registrations are written and read over others.
    #[track_caller]
    fn connects_anew(&self, redis: &mut Connection) {
        let before = self.connects();
        let _: i64 = command(redis, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        eventually(SOON, || self.connects() > before && self.server.put(registration("a")).status == 200);
        // On a busy machine the first connection for reading may come too late for who asks for it.
        eventually(SOON, || self.server.find(by_id("a")).status == 200);
    }
}

#[test]
fn a_new_password_is_taken_up_and_a_file_that_is_of_no_use_leaves_the_old_one() {
    let redis = RedisServer::start_with(&["--requirepass", "old-one"]);
    let mut connection = redis.connect_with(Some("old-one"));
    let setup = Setup::new().env("REDIS_URL", &redis.url()).env("REDIS_PASSWORD_FILE", "password");
    setup.write("password", "old-one\n");
    let rotation = Rotation::start(setup);

    // By itself, and what is connected stays.
    let _: () = command(&mut connection, &["CONFIG", "SET", "requirepass", "new-one"]);
    rotation.replace("password", "new-one\n");
    eventually(SOON, || rotation.has_logged(&["level=info", "secrets for Redis reread"]) == 1);
    assert_eq!((rotation.server.put(registration("b")).status, rotation.connects()), (200, 1.0));
    rotation.connects_anew(&mut connection);

    // At once, when that is asked for; each of these is of no use.
    let cannot = ["level=error", "cannot reread the secrets for Redis", "REDIS_PASSWORD_FILE"];
    let spoilt: [&dyn Fn(); 2] =
        [&|| rotation.replace("password", "\n"), &|| fs::remove_file(rotation.setup.path("password")).unwrap()];
    for spoil in spoilt {
        let before = rotation.has_logged(&cannot);
        spoil();
        rotation.server.signal(Signal::SIGHUP);
        eventually(SOON, || rotation.has_logged(&cannot) > before);
        rotation.connects_anew(&mut connection);
    }
    let _: () = command(&mut connection, &["CONFIG", "SET", "requirepass", "newest-one"]);
    rotation.replace("password", "newest-one");
    rotation.server.signal(Signal::SIGHUP);
    rotation.connects_anew(&mut connection);
    assert_eq!(["old-one", "new-one", "newest-one"].map(|password| rotation.has_logged(&[password])), [0; 3]);
}

#[test]
fn another_certificate_and_another_authority_are_taken_up() {
    let certificates = Certificates::new();
    certificates.make("next", CLIENT, Some("other"));
    let (redis, port) = certificates.serve("yes");
    let mut connection = redis.connect();
    let files = [("REDIS_TLS_CA", "ca.crt"), ("REDIS_TLS_CERT", "client.crt"), ("REDIS_TLS_KEY", "client.key")];
    let setup = Setup::new().env("REDIS_URL", &format!("rediss://localhost:{port}"));
    let setup = files.iter().fold(setup, |setup, (name, file)| setup.env(name, file));
    let read = |name: &str| fs::read(certificates.path(name)).unwrap();
    for (_, file) in files {
        setup.write(file, read(file));
    }
    let rotation = Rotation::start(setup);

    // From now on Redis lets in whom another authority has signed, and no longer the one before.
    let other = certificates.path("other.crt");
    let _: () = command(&mut connection, &["CONFIG", "SET", "tls-ca-cert-file", other.to_str().unwrap()]);
    rotation.replace("client.key", read("next.key"));
    let cannot = ["cannot reread the secrets for Redis", "REDIS_TLS_KEY", "not the key of the certificate"];
    eventually(SOON, || rotation.has_logged(&cannot) == 1);
    rotation.replace("client.crt", read("next.crt"));
    eventually(SOON, || rotation.has_logged(&["secrets for Redis reread"]) == 1);
    rotation.connects_anew(&mut connection);

    // And the certificate of Redis is another authority's.
    certificates.make("server", crate::certificates::SERVER, Some("other"));
    let [cert, key] = ["server.crt", "server.key"].map(|name| certificates.path(name).to_str().unwrap().to_owned());
    let _: () = command(&mut connection, &["CONFIG", "SET", "tls-cert-file", &cert, "tls-key-file", &key]);
    rotation.replace("ca.crt", read("other.crt"));
    rotation.server.signal(Signal::SIGHUP);
    rotation.connects_anew(&mut connection);
}

#[test]
fn a_new_password_for_the_sentinels_is_taken_up() {
    let (redis, port) = RedisServer::start_on_port("--port", &[]);
    let monitor = format!("requirepass old-one\nsentinel monitor themaster 127.0.0.1 {port} 1\n");
    let (sentinel, sentinel_port) = RedisServer::start_sentinel(&monitor);
    let setup = Setup::new()
        .env("REDIS_SENTINELS", &format!("127.0.0.1:{sentinel_port}"))
        .env("REDIS_SENTINEL_MASTER", "themaster")
        .env("REDIS_SENTINEL_PASSWORD_FILE", "password");
    setup.write("password", "old-one");
    let rotation = Rotation::start(setup);
    let mut connection = sentinel.connect_with(Some("old-one"));
    let _: () = command(&mut connection, &["ACL", "SETUSER", "default", "resetpass", ">new-one"]);
    rotation.replace("password", "new-one");
    rotation.server.signal(Signal::SIGHUP);
    rotation.connects_anew(&mut redis.connect());
}
