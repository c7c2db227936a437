//! Requests to the server and their answers, over TCP, TLS or a Unix socket; the authorities that the client trusts,
//! and the certificate that it shows. The token goes with each request and appears nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use ureq::http::{HeaderName, HeaderValue, Request, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::Failure;
use super::answer::{Answer, PROBLEM};
use crate::config::commands::{Access, TokenSource};
use crate::files::{self, WatchedFiles};
use crate::http_client::{self, agent, crypto, reason};
use crate::pem::{Authorities, Identity, IdentityError};

pub(super) use ureq::http::{Method, header};

/// The largest answer that is read: a list of some 500,000 registrations.
pub(super) const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

const IDLE_CONNECTIONS_MAX: usize = 32;

pub(super) struct ApiCall {
    method: Method,
    /// The path with its query, below the URL of the server.
    pub(super) path: String,
    body: Option<Vec<u8>>,
    /// An ETag, and the condition on it.
    condition: Option<(HeaderName, String)>,
}

impl ApiCall {
    pub(super) fn new(method: Method, path: impl Into<String>) -> ApiCall {
        ApiCall { method, path: path.into(), body: None, condition: None }
    }

    pub(super) fn get(path: impl Into<String>) -> ApiCall {
        ApiCall::new(Method::GET, path)
    }

    pub(super) fn body(self, body: Vec<u8>) -> ApiCall {
        ApiCall { body: Some(body), ..self }
    }

    /// Makes the request conditional on this ETag.
    pub(super) fn only(self, condition: HeaderName, etag: Option<&str>) -> ApiCall {
        ApiCall { condition: etag.map(|etag| (condition, etag.to_owned())), ..self }
    }

    /// Whether the request needs a token for writing. The old path needs one for reading, too.
    fn writes(&self) -> bool {
        self.method != Method::GET || self.path == "/target"
    }
}

/// A token as it is sent. It is not shown when printed.
pub(super) type Secret = HeaderValue;

/// A server and how to reach it. Connections are kept open between requests.
#[derive(Clone)]
pub(super) struct Api {
    agent: Agent,
    /// The Unix socket, if it is reached through one.
    socket: Option<PathBuf>,
    /// The URL before a path, without a slash at its end.
    base: String,
    /// The URL as the user wrote it.
    pub(super) url: String,
    pub(super) token: Option<Secret>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Api {
    /// Reads the files that it takes to reach the server. Does not connect yet.
    pub(super) fn new(access: &Access) -> Result<Api, Failure> {
        let shown = access.url.trim_end_matches('/');
        let socket = shown.strip_prefix("unix:").map(|path| PathBuf::from(path.trim_start_matches("//")));
        let base = if socket.is_some() { "http://localhost" } else { shown };
        check_url("--url", base)?;
        if base.contains(['?', '#']) {
            return Err(Failure::Usage("--url: expected the address alone, without ? and #".to_owned()));
        }
        let tls = tls(access, base.starts_with("https:"))?;
        let config = http_client::config(access.request_timeout, IDLE_CONNECTIONS_MAX, tls);
        let agent = agent(config, socket.as_deref());
        let token = access.token.as_ref().map(|source| read_token("--token-file", source)).transpose()?;
        let headers = access.headers.iter().map(|header| parse_header(header)).collect::<Result<_, _>>()?;
        Ok(Api { agent, socket, base: base.to_owned(), url: shown.to_owned(), token, headers })
    }

    /// Another client of the same server. It shares nothing with this one, so that threads do not wait for each other.
    pub(super) fn another(&self) -> Api {
        Api { agent: agent(self.agent.config().clone(), self.socket.as_deref()), ..self.clone() }
    }

    /// Sends a request and waits for the answer, or returns why there is none.
    pub(super) fn send(&self, call: &ApiCall) -> Result<Answer, String> {
        let mut request = Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            // Not in Authorization, which is left to a proxy. The Go program knows these two as well.
            request = request.header(if call.writes() { "x-api-token" } else { "x-sd-token" }, token);
        }
        // Without this, errors on the old path are one line of text.
        request = request.header(header::ACCEPT, format!("application/json, {PROBLEM}"));
        if let Some((condition, etag)) = &call.condition {
            request = request.header(condition, etag);
        }
        let sent = match &call.body {
            Some(body) => {
                request.body(body.as_slice()).map_err(ureq::Error::Http).and_then(|request| self.agent.run(request))
            }
            None => request.body(()).map_err(ureq::Error::Http).and_then(|request| self.agent.run(request)),
        };
        sent.and_then(read_answer).map_err(|e| format!("{}: {}", self.url, reason(&e)))
    }

    /// Gets a foreign URL by the same rules, but without the server's token and header fields, which are not for
    /// others. It may have a token of its own.
    pub(super) fn get_foreign(&self, url: &str, token: Option<&Secret>) -> Result<Answer, String> {
        let mut request = self.agent.get(url);
        if let Some(token) = token {
            // The original knows only the first, programs other than both only the second.
            request = request.header("x-sd-token", token);
            let bearer = [b"Bearer ".as_slice(), token.as_bytes()].concat();
            if let Ok(bearer) = HeaderValue::from_bytes(&bearer) {
                request = request.header(header::AUTHORIZATION, bearer);
            }
        }
        request.call().and_then(read_answer).map_err(|e| format!("{url}: {}", reason(&e)))
    }
}

/// How to reach a server, with files that may change.
pub(super) struct WatchedAccess {
    access: Access,
    files: WatchedFiles,
}

impl WatchedAccess {
    /// Call it before the files are read for the first time.
    pub(super) fn new(access: &Access) -> WatchedAccess {
        WatchedAccess { access: access.clone(), files: WatchedFiles::new(access.files()) }
    }

    /// The server by the present files, if that is asked for or they have changed.
    pub(super) fn look(&mut self, is_asked_for: bool) -> Option<Result<Api, Failure>> {
        self.files.look(is_asked_for, || Api::new(&self.access))
    }
}

fn read_answer(mut response: ureq::http::Response<Body>) -> Result<Answer, ureq::Error> {
    let text = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (etag, location) = (text(header::ETAG), text(header::LOCATION));
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), content_type, etag, location, body })
}

/// Refuses everything but URLs of HTTP servers. Credentials in a URL would show in messages and in the list of
/// processes.
pub(super) fn check_url(what: &str, url: &str) -> Result<(), Failure> {
    let wrong = |reason: &str| Err(Failure::Usage(format!("{what}: {reason}")));
    let Ok(uri) = url.parse::<Uri>() else { return wrong("not a URL; expected http://, https:// or unix:/path") };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return wrong("holds a password; use a token file, or --header for a proxy");
    }
    let port = uri.authority().and_then(|authority| authority.as_str().strip_prefix(uri.host()?)?.strip_prefix(':'));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return wrong("its port is not a number up to 65535");
    }
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(()),
        _ => wrong("not a URL that can be asked; expected http://, https:// or unix:/path"),
    }
}

/// Parses a header field as `NAME: VALUE`. The error does not repeat it, because it may be a secret.
fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::Usage("--header: expected NAME: VALUE".to_owned());
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    Ok((name.trim().parse().map_err(|_| wrong())?, value.trim().parse().map_err(|_| wrong())?))
}

/// Reads a token. `flag` names its file in messages.
pub(super) fn read_token(flag: &str, source: &TokenSource) -> Result<Secret, Failure> {
    let (name, secret) = match source {
        TokenSource::Value(token) => ("INVENTOR_TOKEN".to_owned(), Ok(token.trim().as_bytes().to_vec())),
        TokenSource::File(path) => (format!("{flag} {}", path.display()), files::secret(path)),
    };
    let secret = secret.map_err(|reason| Failure::Usage(format!("{name}: {reason}")))?;
    let token = HeaderValue::from_bytes(&secret).ok().filter(|token| !token.is_empty());
    let mut token = token.ok_or_else(|| Failure::Usage(format!("{name}: holds no token that can be sent")))?;
    token.set_sensitive(true);
    Ok(token)
}

/// The authorities that the client trusts, and the certificate that it shows. Reads the system's certificates only if
/// they are needed.
fn tls(access: &Access, needed: bool) -> Result<TlsConfig, Failure> {
    let roots = match &access.ca_file {
        Some(path) => authorities(path)?,
        None if needed => certificates(&rustls_native_certs::load_native_certs().certs),
        None => Vec::new(),
    };
    let identity = match (&access.cert, &access.key) {
        (Some(cert), Some(key)) => Some(identity(cert, key)?),
        (None, None) => None,
        (Some(_), None) => return Err(Failure::Usage("--cert needs --key, the key of that certificate".to_owned())),
        (None, Some(_)) => return Err(Failure::Usage("--key needs --cert, the certificate for it".to_owned())),
    };
    let builder = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(identity);
    Ok(builder.unversioned_rustls_crypto_provider(crypto()).build())
}

const CA_FILE: &str = "--ca-file";
const CERT: &str = "--cert";
const KEY: &str = "--key";

fn wrong(flag: &str, path: &Path, reason: &str) -> Failure {
    Failure::Usage(format!("{flag} {}: {reason}", path.display()))
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    files::secrets(path).map_err(|reason| wrong(flag, path, &reason))
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let authorities = Authorities::new(read(CA_FILE, path)?).map_err(|reason| wrong(CA_FILE, path, &reason))?;
    Ok(certificates(&authorities.certificates))
}

fn identity(cert: &Path, key: &Path) -> Result<ClientCert, Failure> {
    let identity = Identity::new([read(CERT, cert)?, read(KEY, key)?]).map_err(|error| match error {
        IdentityError::Chain(reason) => wrong(CERT, cert, &reason),
        IdentityError::Key(reason) => wrong(KEY, key, &reason),
    })?;
    let key = PrivateKey::from_pem(&identity.pem[1]).map_err(|e| wrong(KEY, key, &e.to_string()))?;
    Ok(ClientCert::new_with_certs(&certificates(&identity.chain), key))
}

fn certificates(der: &[CertificateDer<'_>]) -> Vec<Certificate<'static>> {
    der.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}
