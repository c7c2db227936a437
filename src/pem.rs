//! Certificates and keys in PEM, for both sides of TLS: complete and usable, or refused with a reason.

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

/// A chain of certificates, its owner's first, and the private key of that one.
#[derive(Debug)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// The chain and the key as they were read.
    pub pem: [Vec<u8>; 2],
}

/// Which of the two files is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityError {
    Chain(String),
    Key(String),
}

impl Identity {
    /// Parses the chain and its key.
    ///
    /// # Errors
    /// One cannot be used, or they do not belong together.
    pub fn new(pem: [Vec<u8>; 2]) -> Result<Identity, IdentityError> {
        let chain = certificates(&pem[0]).map_err(IdentityError::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(&pem[1])
            .map_err(|_| IdentityError::Key("holds no PEM key, or an encrypted one".to_owned()))?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &default_provider()) {
            Ok(_) => Ok(Identity { chain, key, pem }),
            Err(Error::InconsistentKeys(_)) => Err(IdentityError::Key("is not the key of the certificate".to_owned())),
            Err(e @ Error::InvalidCertificate(_)) => Err(IdentityError::Chain(format!("cannot be used: {e}"))),
            Err(e) => Err(IdentityError::Key(format!("cannot be used: {e}"))),
        }
    }
}

/// Certificates whose signatures are trusted.
#[derive(Debug)]
pub struct Authorities {
    pub certificates: Vec<CertificateDer<'static>>,
    pub roots: RootCertStore,
    /// The file as it was read.
    pub pem: Vec<u8>,
}

impl Authorities {
    /// Parses the file of certificates.
    ///
    /// # Errors
    /// Why the file, or a certificate in it, cannot be used.
    pub fn new(pem: Vec<u8>) -> Result<Authorities, String> {
        let certificates = certificates(&pem)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates.iter().cloned() {
            roots.add(certificate).map_err(|e| format!("cannot be used: {e}"))?;
        }
        Ok(Authorities { certificates, roots, pem })
    }
}

/// Parses a file that must be PEM to its end and hold at least one certificate.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err("holds no PEM certificate".to_owned()),
        Err(_) => Err("is not PEM to its end".to_owned()),
    }
}

#[cfg(test)]
#[path = "../tests/it/certificates.rs"]
pub(crate) mod certificates;

#[cfg(test)]
mod tests {
    use super::certificates::Certificates;
    use super::*;

    const NONSENSE: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn files_that_do_not_fit_are_refused_with_a_sentence() {
        let made = Certificates::new();
        let read = |name: &str| std::fs::read(made.path(name)).unwrap();
        let (cert, key, ca) = (read("server.crt"), read("server.key"), read("ca.crt"));
        assert_eq!(Identity::new([[cert.clone(), ca.clone()].concat(), key.clone()]).unwrap().chain.len(), 2);
        let refused = |cert: &[u8], key: &[u8]| Identity::new([cert.to_vec(), key.to_vec()]).map(drop).unwrap_err();
        let half = |pem: &[u8]| pem[..pem.len() / 2].to_vec();
        for (chain, reason) in [
            (&b""[..], "no PEM certificate"),
            (&half(&cert), "to its end"),
            (&key, "no PEM certificate"),
            (NONSENSE, "used"),
        ] {
            let error = refused(chain, &key);
            assert!(matches!(&error, IdentityError::Chain(text) if text.contains(reason)), "{error:?}");
        }
        for (key, reason) in [
            (&b""[..], "no PEM key"),
            (&half(&key), "no PEM key"),
            (&read("client.key"), "not the key of the certificate"),
        ] {
            let error = refused(&cert, key);
            assert!(matches!(&error, IdentityError::Key(text) if text.contains(reason)), "{error:?}");
        }
        assert_eq!(Authorities::new([cert, ca.clone()].concat()).unwrap().roots.len(), 2);
        for wrong in [b"", NONSENSE, &half(&ca), &[&ca[..], &half(&ca)].concat()] {
            assert!(Authorities::new(wrong.to_vec()).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
