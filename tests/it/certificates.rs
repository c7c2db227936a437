//! Certificates for tests: a private authority and what it has signed.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// What a certificate is for: a server on this machine, and a client.
pub(crate) const SERVER: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";
pub(crate) const CLIENT: &str = "extendedKeyUsage=clientAuth";

/// Certificates made for one test.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// A CA with a certificate for a server on this machine and one for a client, and a CA that signed nothing.
    #[track_caller]
    pub(crate) fn new() -> Certificates {
        let certificates = Certificates(TempDir::new().unwrap());
        std::fs::write(certificates.path("openssl.cnf"), "[req]\ndistinguished_name = dn\n[dn]\n").unwrap();
        certificates.make("ca", "basicConstraints=critical,CA:TRUE", None);
        certificates.make("other", "basicConstraints=critical,CA:TRUE", None);
        certificates.make("server", SERVER, Some("ca"));
        certificates.make("client", CLIENT, Some("ca"));
        certificates
    }

    /// One more that is valid for two days, as `NAME.crt` and `NAME.key`.
    #[track_caller]
    pub(crate) fn make(&self, name: &str, extension: &str, signer: Option<&str>) {
        let mut command = Command::new("openssl");
        command.current_dir(self.0.path()).args(["req", "-x509", "-config", "openssl.cnf", "-nodes", "-days", "2"]);
        command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-addext", extension]);
        command.args(["-subj", &format!("/CN={name}"), "-keyout", &format!("{name}.key")]);
        command.args(["-out", &format!("{name}.crt")]);
        if let Some(signer) = signer {
            command.args(["-CA", &format!("{signer}.crt"), "-CAkey", &format!("{signer}.key")]);
        }
        let output = command.output().expect("openssl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
