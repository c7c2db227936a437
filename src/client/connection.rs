//! Requests to the server and their answers, over TCP, TLS or a Unix socket. The token goes with each of them and
//! appears nowhere else.

use std::fmt;
use std::path::PathBuf;

use ureq::http::{HeaderName, HeaderValue, Request, Uri, header};
use ureq::{Agent, Body};

use super::answer::{Answer, PROBLEM};
use super::{Failure, tls};
use crate::config::commands::{Access, TokenSource};
use crate::files::{self, WatchedFiles};
use crate::http_client::{self, agent, reason};

pub(super) use ureq::config::Config;
pub(super) use ureq::http::Method;

/// The largest answer that is read: a list of some 500,000 registrations.
pub(super) const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

const IDLE_CONNECTIONS_MAX: usize = 32;

/// What is asked of the server.
#[derive(Debug, Clone)]
pub(super) struct ApiCall<'a> {
    pub(super) method: Method,
    /// The path with its query, below the URL of the server.
    pub(super) path: &'a str,
    pub(super) body: Option<&'a [u8]>,
    pub(super) if_match: Option<&'a str>,
    pub(super) if_none_match: Option<&'a str>,
}

impl<'a> ApiCall<'a> {
    pub(super) fn new(method: Method, path: &'a str) -> ApiCall<'a> {
        ApiCall { method, path, body: None, if_match: None, if_none_match: None }
    }

    pub(super) fn body(self, body: &'a [u8]) -> ApiCall<'a> {
        ApiCall { body: Some(body), ..self }
    }

    /// Whether the token has to be one for writing. The old path needs that for reading too.
    fn writes(&self) -> bool {
        self.method != Method::GET || self.path == "/target"
    }
}

/// No answer, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token as it is sent; it is not shown when it is printed.
pub(super) type Secret = HeaderValue;

/// A server and how to reach it. Connections are kept open between requests.
pub(super) struct Api {
    agent: Agent,
    /// The Unix socket, if it is reached through one.
    socket: Option<PathBuf>,
    /// What comes before a path, without a slash at its end.
    base: String,
    /// The URL as the user wrote it.
    shown: String,
    source: Option<TokenSource>,
    token: Option<Secret>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Api {
    /// Reads what is needed to reach the server; connects to nothing yet.
    pub(super) fn new(access: &Access, token: Option<&TokenSource>) -> Result<Api, Failure> {
        let shown = if access.url.is_empty() { "http://localhost:9101" } else { access.url.trim_end_matches('/') };
        let socket = shown.strip_prefix("unix:").map(|path| PathBuf::from(path.trim_start_matches("//")));
        let base = if socket.is_some() { "http://localhost" } else { shown };
        check_url("--url", base)?;
        if base.contains(['?', '#']) {
            return Err(Failure::Usage("--url: expected the address alone, without ? and #".to_owned()));
        }
        let agent = agent(config(access)?, socket.as_deref());
        let source = token_source(access, token);
        let token = source.as_ref().map(|source| read_token(TOKEN_FILE, source)).transpose()?;
        let headers = access.headers.iter().map(|header| parse_header(header)).collect::<Result<_, _>>()?;
        Ok(Api { agent, socket, base: base.to_owned(), shown: shown.to_owned(), source, token, headers })
    }

    /// One more to the same server, which shares nothing with this one: threads do not wait for each other.
    pub(super) fn another(&self) -> Api {
        Api {
            agent: agent(self.agent.config().clone(), self.socket.as_deref()),
            socket: self.socket.clone(),
            base: self.base.clone(),
            shown: self.shown.clone(),
            source: self.source.clone(),
            token: self.token.clone(),
            headers: self.headers.clone(),
        }
    }

    pub(super) fn token_source(&self) -> Option<TokenSource> {
        self.source.clone()
    }

    /// Sends this token from now on; whether it is another one.
    pub(super) fn set_token(&mut self, token: Secret) -> bool {
        self.token.replace(token.clone()) != Some(token)
    }

    /// Connects by this from now on.
    pub(super) fn set_config(&mut self, config: Config) {
        self.agent = agent(config, self.socket.as_deref());
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The URL of the server as the user wrote it.
    pub(super) fn url(&self) -> &str {
        &self.shown
    }

    /// Asks, and waits for the answer.
    pub(super) fn send(&self, call: &ApiCall<'_>) -> Result<Answer, Unreachable> {
        let unreachable = |e: ureq::Error| Unreachable(format!("{}: {}", self.shown, reason(&e)));
        let mut request = Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            // Not Authorization, which is left to a proxy on the way; the Go program knows these two as well.
            request = request.header(if call.writes() { "x-api-token" } else { "x-sd-token" }, token);
        }
        // Errors on the path of the Go program are otherwise one line of text.
        request = request.header(header::ACCEPT, format!("application/json, {PROBLEM}"));
        if let Some(etag) = call.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(etag) = call.if_none_match {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let sent = match call.body {
            Some(body) => request.body(body).map_err(ureq::Error::Http).and_then(|request| self.agent.run(request)),
            None => request.body(()).map_err(ureq::Error::Http).and_then(|request| self.agent.run(request)),
        };
        sent.and_then(read_answer).map_err(unreachable)
    }

    /// Gets a foreign URL, by the same rules but without the token and the header fields, which are not for others; with
    /// a token of its own, if there is one.
    pub(super) fn get_foreign(&self, url: &str, token: Option<&Secret>) -> Result<Answer, Unreachable> {
        let mut request = self.agent.get(url);
        if let Some(token) = token {
            // The original knows the first alone, and others than both programs the second.
            request = request.header("x-sd-token", token);
            let bearer = [b"Bearer ".as_slice(), token.as_bytes()].concat();
            if let Ok(bearer) = HeaderValue::from_bytes(&bearer) {
                request = request.header(header::AUTHORIZATION, bearer);
            }
        }
        request.call().and_then(read_answer).map_err(|e| Unreachable(format!("{url}: {}", reason(&e))))
    }
}

/// How connections are made. Reads whom to trust, and the certificate to show.
pub(super) fn config(access: &Access) -> Result<Config, Failure> {
    let tls = tls::settings(access, access.url.starts_with("https:"))?;
    Ok(http_client::config(access.request_timeout, IDLE_CONNECTIONS_MAX, tls))
}

/// Where the token comes from: the file wins.
pub(super) fn token_source(access: &Access, token: Option<&TokenSource>) -> Option<TokenSource> {
    access.token_file.clone().map(TokenSource::File).filter(|file| !is_empty(file)).or(token.cloned())
}

/// The files that say how the server is reached, as they are before they are read.
pub(super) fn watch_secrets(access: &Access, token: Option<&TokenSource>) -> WatchedFiles {
    let token_file = match token {
        Some(TokenSource::File(path)) => Some(path.as_path()),
        _ => None,
    };
    WatchedFiles::new(token_file.into_iter().chain(tls::files(access)))
}

fn is_empty(source: &TokenSource) -> bool {
    matches!(source, TokenSource::File(path) if path.as_os_str().is_empty())
}

fn read_answer(mut response: ureq::http::Response<Body>) -> Result<Answer, ureq::Error> {
    let text = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (etag, location) = (text(header::ETAG), text(header::LOCATION));
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), content_type, etag, location, body })
}

/// Refuses what is no URL of an HTTP server. Credentials in it would show in messages and in the list of processes.
pub(super) fn check_url(what: &str, url: &str) -> Result<(), Failure> {
    let wrong = |reason: &str| Err(Failure::Usage(format!("{what}: {reason}")));
    let Ok(uri) = url.parse::<Uri>() else { return wrong("not a URL; expected http://, https:// or unix:/path") };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return wrong("holds a password; use a token file, or --header for a proxy");
    }
    let port = uri.authority().and_then(|authority| authority.as_str().strip_prefix(uri.host()?)?.strip_prefix(':'));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return wrong("its port is no number up to 65535");
    }
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(()),
        _ => wrong("not a URL that can be asked; expected http://, https:// or unix:/path"),
    }
}

/// A header field as `NAME: VALUE`; the message does not repeat it, because it may be a secret.
fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::Usage("--header: expected NAME: VALUE".to_owned());
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    Ok((name.trim().parse().map_err(|_| wrong())?, value.trim().parse().map_err(|_| wrong())?))
}

/// The flag that names the file of the token.
pub(super) const TOKEN_FILE: &str = "--token-file";

/// Reads a token; the flag is what a message calls its file by.
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
