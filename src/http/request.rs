//! A request as the handlers see it: complete, and without any trace of its transport; which encodings its client
//! accepts, and which version it has already (RFC 9110).

use std::fmt;
use std::sync::Arc;

use crate::registry::Asker;

/// The header fields that are used, in lower case. The gate lets no others through.
pub(super) const FIELDS: [&str; 10] = [
    "accept",
    "accept-encoding",
    "authorization",
    "if-match",
    "if-none-match",
    "user-agent",
    "x-api-token",
    "x-forwarded-for",
    "x-prometheus-refresh-interval-seconds",
    "x-sd-token",
];

/// A complete request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The query after `?`, still percent-encoded; empty if there is none.
    pub query: String,
    /// The header fields in [`FIELDS`], in the order sent. A value may have any bytes, without blanks around it.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The body; the server limits its size.
    pub body: Vec<u8>,
    /// The address of the client for the log, with its port if that is known; `unix` if it has none.
    pub client: String,
    /// The connection for the answer.
    pub way_back: WayBack,
}

/// The connection for an answer. All are equal: a request means the same wherever it comes from.
#[derive(Clone, Default)]
pub struct WayBack(pub Option<Arc<dyn Asker + Send + Sync>>);

impl PartialEq for WayBack {
    fn eq(&self, _: &WayBack) -> bool {
        true
    }
}

impl Eq for WayBack {}

impl fmt::Debug for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WayBack")
    }
}

impl Asker for Request {
    fn is_waiting(&self) -> bool {
        self.way_back.0.as_ref().is_none_or(|client| client.is_waiting())
    }
}

impl Request {
    /// The address of the client without its port.
    pub fn address(&self) -> &str {
        match self.client.rsplit_once(':') {
            // An IPv6 address has colons of its own, and is in brackets if a port follows.
            Some((address, _port)) if !address.contains(':') || address.ends_with(']') => {
                address.trim_matches(['[', ']'])
            }
            _ => &self.client,
        }
    }

    /// The value of the first header field with this name, which is one of [`FIELDS`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        debug_assert!(FIELDS.contains(&name), "the gate does not let {name} through");
        self.headers.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_slice())
    }

    /// Whether the client asks for gzip by name. Prometheus does when it scrapes but not when it polls; vmagent always
    /// does.
    pub(super) fn accepts_gzip(&self) -> bool {
        let accepted = self.header("accept-encoding").unwrap_or_default();
        accepted.split(|byte| *byte == b',').any(|coding| {
            let mut words = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            words.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip")) && !words.any(is_zero_weight)
        })
    }

    /// Whether `If-None-Match` lists this tag, strong or weak, or any.
    pub(super) fn has_already(&self, tag: &str) -> bool {
        let mut listed =
            self.header("if-none-match").unwrap_or_default().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        listed.any(|listed| listed == b"*" || listed.strip_prefix(b"W/").unwrap_or(listed) == tag.as_bytes())
    }
}

/// Whether a parameter of a coding is a weight of zero, which means "not this one" (RFC 9110, 12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    let weight = parameter.split_at_checked(2).filter(|(name, _)| name.eq_ignore_ascii_case(b"q="));
    weight.is_some_and(|(_, value)| value.iter().all(|byte| matches!(byte, b'0' | b'.')))
}
