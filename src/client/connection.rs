//! Requests to the server and their answers, over TCP, TLS or a Unix socket. The token goes with each of them and
//! appears nowhere else.

use std::fmt;
use std::path::{Path, PathBuf};

use ureq::http::{HeaderName, HeaderValue, Request, Uri, header};
use ureq::{Agent, Body};

use super::unix::{NoResolver, UnixConnector};
use super::{Failure, tls};
use crate::config::commands::{Access, TokenSource};

pub(super) use ureq::http::Method;

/// The largest answer that is read: a list of some 500,000 registrations.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The most of an answer that is repeated in a message.
const ECHO_CHARS_MAX: usize = 500;

/// Connections that are kept open.
const IDLE_CONNECTIONS_MAX: usize = 32;

/// What is asked of the server.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The path with its query, below the URL of the server.
    pub(super) path: &'a str,
    pub(super) body: Option<&'a [u8]>,
    pub(super) if_match: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, path: &'a str) -> Call<'a> {
        Call { method, path, body: None, if_match: None }
    }

    pub(super) fn body(self, body: &'a [u8]) -> Call<'a> {
        Call { body: Some(body), ..self }
    }

    /// Whether the token has to be one for writing. The old path needs that for reading too.
    fn writes(&self) -> bool {
        self.method != Method::GET || self.path == "/target"
    }
}

/// What the server says.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// What the body says about an error, in one line: the detail of a problem document, or the text itself.
    pub(super) fn reason(&self) -> String {
        let problem = serde_json::from_slice::<Problem>(&self.body).ok().filter(|problem| !problem.is_empty());
        let text = match (problem, &self.location) {
            (Some(problem), _) => problem.to_string(),
            (None, Some(location)) => format!("it redirects to {location}"),
            (None, None) => String::from_utf8_lossy(&self.body).trim().to_owned(),
        };
        let shown = if text.is_empty() { "no reason given" } else { text.as_str() };
        shown.chars().take(ECHO_CHARS_MAX).collect()
    }
}

/// An error as RFC 9457 has it.
#[derive(serde::Deserialize)]
struct Problem {
    detail: Option<String>,
    title: Option<String>,
    #[serde(default)]
    errors: Vec<Fault>,
    errors_total: Option<usize>,
}

#[derive(serde::Deserialize)]
struct Fault {
    #[serde(default)]
    pointer: String,
    detail: String,
}

impl Problem {
    fn is_empty(&self) -> bool {
        self.detail.is_none() && self.title.is_none() && self.errors.is_empty()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().or(self.title.as_deref()).unwrap_or("refused"))?;
        for Fault { pointer, detail } in &self.errors {
            write!(f, "\n  {pointer}: {detail}")?;
        }
        match self.errors_total.map(|total| total.saturating_sub(self.errors.len())) {
            Some(more @ 1..) => write!(f, "\n  and {more} more"),
            _ => Ok(()),
        }
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

/// A server and how to reach it. Connections are kept open between requests.
pub(super) struct Connection {
    agent: Agent,
    /// What comes before a path, without a slash at its end.
    base: String,
    /// The URL as the user wrote it.
    shown: String,
    source: Option<TokenSource>,
    token: Option<HeaderValue>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Connection {
    /// Reads what is needed to reach the server; connects to nothing yet.
    pub(super) fn new(access: &Access, token: Option<&TokenSource>) -> Result<Connection, Failure> {
        let shown = if access.url.is_empty() { "http://localhost:9101" } else { access.url.trim_end_matches('/') };
        let socket = shown.strip_prefix("unix:").map(|path| PathBuf::from(path.trim_start_matches("//")));
        let base = if socket.is_some() { "http://localhost" } else { shown };
        check_url("--url", base)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(access.request_timeout))
            .max_idle_connections(IDLE_CONNECTIONS_MAX)
            .max_idle_connections_per_host(IDLE_CONNECTIONS_MAX)
            .user_agent(concat!("inventor/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls::settings(access, base.starts_with("https:"))?)
            .build();
        let agent = match socket {
            Some(path) => Agent::with_parts(config, UnixConnector(path), NoResolver),
            None => Agent::new_with_config(config),
        };
        let source = access.token_file.clone().map(TokenSource::File).filter(|file| !is_empty(file)).or(token.cloned());
        let token = source.as_ref().map(read_token).transpose()?;
        let headers = access.headers.iter().map(|header| parse_header(header)).collect::<Result<_, _>>()?;
        Ok(Connection { agent, base: base.to_owned(), shown: shown.to_owned(), source, token, headers })
    }

    /// Reads the token again, if it is in a file.
    pub(super) fn read_token_again(&mut self) -> Result<(), Failure> {
        if let Some(source) = &self.source {
            self.token = Some(read_token(source)?);
        }
        Ok(())
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The URL of the server as the user wrote it.
    pub(super) fn url(&self) -> &str {
        &self.shown
    }

    /// Asks, and waits for the answer.
    pub(super) fn send(&self, call: &Call<'_>) -> Result<Answer, Unreachable> {
        let unreachable = |e: ureq::Error| Unreachable(format!("{}: {}", self.shown, reason(&e)));
        let mut request = Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            // Not Authorization, which is left to a proxy on the way; the Go program knows these two as well.
            request = request.header(if call.writes() { "x-api-token" } else { "x-sd-token" }, token);
        }
        if let Some(etag) = call.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        let sent = match call.body {
            Some(body) => request.body(body).map_err(ureq::Error::Http).and_then(|request| self.agent.run(request)),
            None => request.body(()).map_err(ureq::Error::Http).and_then(|request| self.agent.run(request)),
        };
        sent.and_then(read_answer).map_err(unreachable)
    }

    /// Gets a foreign URL, by the same rules but without the token and the header fields, which are not for others.
    pub(super) fn get_foreign(&self, url: &str) -> Result<Answer, Unreachable> {
        self.agent.get(url).call().and_then(read_answer).map_err(|e| Unreachable(format!("{url}: {}", reason(&e))))
    }
}

fn is_empty(source: &TokenSource) -> bool {
    matches!(source, TokenSource::File(path) if path.as_os_str().is_empty())
}

fn read_answer(mut response: ureq::http::Response<Body>) -> Result<Answer, ureq::Error> {
    let text = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (etag, location) = (text(header::ETAG), text(header::LOCATION));
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), etag, location, body })
}

/// The error in words for whoever has to mend it.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "no such host".to_owned(),
        ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(e) => tls_reason(e),
            None => e.to_string(),
        },
        ureq::Error::Rustls(e) => tls_reason(e),
        e => e.to_string(),
    }
}

fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => format!("TLS: {error}; --ca-file names whom to trust"),
        e => format!("TLS: {e}"),
    }
}

/// Refuses what is no URL of an HTTP server. Credentials in it would show in messages and in the list of processes.
pub(super) fn check_url(what: &str, url: &str) -> Result<(), Failure> {
    let wrong = |reason: &str| Err(Failure::Usage(format!("{what}: {reason}")));
    let Ok(uri) = url.parse::<Uri>() else { return wrong("not a URL; expected http://, https:// or unix:/path") };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return wrong("holds a password; use a token file, or --header for a proxy");
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

fn read_token(source: &TokenSource) -> Result<HeaderValue, Failure> {
    let (name, text) = match source {
        TokenSource::Value(token) => ("INVENTOR_TOKEN".to_owned(), token.clone()),
        TokenSource::File(path) => (format!("--token-file {}", path.display()), read_token_file(path)?),
    };
    let token = HeaderValue::from_bytes(text.trim().as_bytes()).ok().filter(|token| !token.is_empty());
    let mut token = token.ok_or_else(|| Failure::Usage(format!("{name}: holds no token that can be sent")))?;
    token.set_sensitive(true);
    Ok(token)
}

fn read_token_file(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|e| Failure::Usage(format!("--token-file {}: cannot be read: {e}", path.display())))?;
    Ok(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned())
}
