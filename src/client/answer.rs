//! Answers of a server, and whether it is a server of registrations at all. This is the only code that distinguishes an
//! answer of inventor, or of the Go program that it replaces, from that of a proxy, a portal or a wrong address.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::registration::BodyFault;

/// The longest part of an answer that a message repeats.
const ECHO_CHARS_MAX: usize = 500;

pub(super) const PROBLEM: &str = "application/problem+json";

#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) etag: Option<String>,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// An error by RFC 9457.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ProblemBody {
    detail: Option<String>,
    title: Option<String>,
    #[serde(default)]
    pub(super) errors: Vec<BodyFault>,
    pub(super) errors_total: Option<usize>,
}

impl Answer {
    /// Whether a server of registrations gave this answer to a request below `/api/v1`, or on `/target`.
    ///
    /// Below `/api/v1` an answer is JSON, whose members the caller checks, or a problem. On `/target` both programs
    /// report an error in one line of plain text; texts that a proxy may send as well must match exactly.
    pub(super) fn is_ours(&self, path: &str) -> bool {
        let is_new = path.starts_with("/api/");
        match self.status {
            200 => self.is("application/json") && (is_new || self.is_of_target()),
            _ if self.is(PROBLEM) => self.problem().is_some(),
            _ if !self.is("text/plain") => false,
            // The server's answer before it looks at the path, such as `413 Content Too Large: ...`.
            status if self.text().starts_with(&format!("{status} ")) && self.text().contains(": ") => {
                self.is_sentence()
            }
            _ if is_new => false,
            403 => self.text() == "FORBIDDEN",
            404 => self.text() == "Id not found",
            405 => self.text() == "METHOD NOT ALLOWED",
            400 | 413 | 415 | 422 => self.is_sentence(),
            _ => false,
        }
    }

    /// Whether both programs answer like this when a registration is made, requested or deleted.
    fn is_of_target(&self) -> bool {
        match self.json() {
            Value::Object(members) => ["id", "static_config"].iter().any(|name| members.contains_key(*name)),
            value => value == true,
        }
    }

    /// The body as JSON; null if it is not JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether this is the Go program's answer for an unknown path.
    pub(super) fn is_unknown_path(&self) -> bool {
        self.status == 404 && self.is("text/plain") && self.text() == "404 page not found"
    }

    /// Whether this is the answer of both programs when they are healthy.
    pub(super) fn is_well(&self) -> bool {
        self.status == 200 && self.is("text/plain") && self.body == b"OK"
    }

    /// The error in the body: the detail of a problem, or its first line as plain text.
    pub(super) fn reason(&self) -> String {
        let text = match (self.problem(), &self.location) {
            (Some(problem), _) => problem.to_string(),
            (None, Some(location)) => format!("it redirects to {location}"),
            (None, None) => self.first_line(),
        };
        let shown = if text.is_empty() { "no reason given" } else { text.as_str() };
        shown.chars().take(ECHO_CHARS_MAX).collect()
    }

    /// The error, if the body is one by RFC 9457.
    pub(super) fn problem(&self) -> Option<ProblemBody> {
        let problem = serde_json::from_slice::<ProblemBody>(&self.body).ok()?;
        let is_empty = problem.detail.is_none() && problem.title.is_none() && problem.errors.is_empty();
        (!is_empty).then_some(problem)
    }

    pub(super) fn is(&self, media_type: &str) -> bool {
        let given = self.content_type.split(';').next().unwrap_or_default().trim();
        given.eq_ignore_ascii_case(media_type)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    /// Whether the body is one line of text and not a page.
    fn is_sentence(&self) -> bool {
        let text = self.text();
        !text.is_empty() && !text.starts_with('<') && !text.contains('\n')
    }

    /// Whether it is for browsers.
    pub(super) fn is_page(&self) -> bool {
        self.is("text/html") || self.text().starts_with('<')
    }

    /// The first line of the text, or the title or first line of a page.
    fn first_line(&self) -> String {
        let text = self.text();
        let plain = if text.starts_with('<') { without_tags(title(&text).unwrap_or(&text)) } else { text };
        let mut lines = plain.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.find(|line| !line.is_empty()).unwrap_or_default()
    }
}

impl ProblemBody {
    /// Its summary of all errors.
    pub(super) fn sentence(&self) -> String {
        self.detail.as_deref().or(self.title.as_deref()).unwrap_or("refused").to_owned()
    }
}

impl fmt::Display for ProblemBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())?;
        for BodyFault { pointer, detail } in &self.errors {
            // For people: a body has one object, and its members have names.
            let place = pointer.trim_start_matches("/static_config").trim_start_matches('/').replace('/', " ");
            write!(f, "\n  {place}{}{detail}", if place.is_empty() { "" } else { ": " })?;
        }
        match self.errors_total.map(|total| total.saturating_sub(self.errors.len())) {
            Some(more @ 1..) => write!(f, "\n  and {more} more"),
            _ => Ok(()),
        }
    }
}

fn title(page: &str) -> Option<&str> {
    // Names of elements are ASCII, of which lower case has the same length.
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower[start..].find("</title>")?;
    page.get(start..end)
}

fn without_tags(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut is_tag = false;
    for c in page.chars() {
        match c {
            '<' => is_tag = true,
            '>' if is_tag => {
                is_tag = false;
                text.push('\n');
            }
            c if !is_tag => text.push(c),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, body: &str) -> Answer {
        let body = body.as_bytes().to_vec();
        Answer { status, content_type: content_type.to_owned(), etag: None, location: None, body }
    }

    #[test]
    fn answers_of_both_servers_are_told_from_those_of_others() {
        let html = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>";
        let problem = r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no such group"}"#;
        for (status, content_type, body, path, expected) in [
            (404, PROBLEM, problem, "/api/v1/groups/g", true),
            (200, "application/json", "{}", "/api/v1/status", true),
            (200, "application/json; charset=utf-8", "true", "/target", true),
            (200, "application/json", r#"{"id":"x"}"#, "/target", true),
            (200, "application/json", "{}", "/target", false),
            (200, "application/json", "[]", "/target", false),
            (200, "application/json", "false", "/target", false),
            (204, "", "", "/api/v1/status", false),
            (404, "text/plain; charset=utf-8", "Id not found\n", "/target", true),
            (403, "text/plain", "FORBIDDEN", "/target", true),
            (400, "text/plain; charset=utf-8", "static_config: missing\n", "/target", true),
            (404, "text/plain; charset=utf-8", "404 page not found\n", "/api/v1/groups/g", false),
            (404, "text/plain; charset=utf-8", "404 page not found\n", "/target", false),
            (404, "text/html", html, "/target", false),
            (403, "text/html", html, "/target", false),
            (403, "text/plain", "Access denied", "/target", false),
            (400, "text/html", html, "/target", false),
            (400, "text/plain", "", "/target", false),
            (400, "", "x", "/target", false),
            (400, "text/plain; charset=utf-8", "400 Bad Request", "/api/v1/groups/g", false),
            (413, "text/plain; charset=utf-8", "413 Content Too Large: 9 bytes\n", "/api/v1/groups/g", true),
            (200, "text/html", html, "/target", false),
            (404, PROBLEM, "not JSON", "/api/v1/groups/g", false),
            (302, "text/html", "", "/target", false),
            (502, "text/html", html, "/target", false),
        ] {
            let answer = answer(status, content_type, body);
            assert_eq!(answer.is_ours(path), expected, "{status} {content_type:?} {body:?} on {path}");
        }
    }

    #[test]
    fn a_page_is_told_by_its_title_or_its_first_words() {
        for (body, expected) in [
            ("<HTML><HEAD><TITLE>502 Bad\nGateway</TITLE></HEAD><body>x</body>", "502 Bad"),
            ("<h1>Access   denied</h1><p>by policy</p>", "Access denied"),
            ("<title>", "no reason given"),
            ("one\ntwo", "one"),
            ("", "no reason given"),
            ("<!doctype html>\n\u{130}<title>t</title>", "t"),
        ] {
            assert_eq!(answer(403, "text/html", body).reason(), expected, "{body:?}");
        }
    }
}
