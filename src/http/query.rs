//! The query string. The old paths take what they know and ignore the rest, as the Go program does.

use super::request::Request;

/// The first query parameter with this name, decoded.
pub(super) fn parameter(request: &Request, name: &str) -> Option<String> {
    form_urlencoded::parse(request.query.as_bytes())
        .find(|(parameter, _)| parameter == name)
        .map(|(_, value)| value.into_owned())
}
