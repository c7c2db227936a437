//! What a client accepts and what it has already: content codings and entity tags (RFC 9110).

use super::request::Request;

/// Whether the client asks for gzip by name. Prometheus does when it scrapes, and not when it polls; vmagent always does.
pub(super) fn accepts_gzip(request: &Request) -> bool {
    let accepted = request.header("accept-encoding").unwrap_or_default();
    accepted.split(|byte| *byte == b',').any(|coding| {
        let mut words = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        words.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip")) && !words.any(is_zero_weight)
    })
}

/// Whether a parameter of a coding is a weight of zero, which means "not this one" (RFC 9110, 12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    let weight = parameter.split_at_checked(2).filter(|(name, _)| name.eq_ignore_ascii_case(b"q="));
    weight.is_some_and(|(_, value)| value.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

/// Whether a list of tags, as in `If-None-Match`, has this one, strong or weak, or any.
pub(super) fn lists_tag(listed: &[u8], tag: &str) -> bool {
    listed
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|listed| listed == b"*" || listed.strip_prefix(b"W/").unwrap_or(listed) == tag.as_bytes())
}
