//! A request and its answer on the way between the gate and a worker: HTTP/1.1 in the form that tiny_http takes. Pure.

use std::io::{self, ErrorKind, Write};

use crate::http::request::Request;
use crate::http::response::{Body, Response};

/// The field for the address of the client. A client's own field of this name is never passed on.
pub(in crate::http) const CLIENT_FIELD: &str = "x-inventor-client";

/// The most fields of an answer.
const FIELDS_MAX: usize = 32;

/// The request line and the header of a request whose body follows.
pub(super) fn head(request: &Request) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let Request { method, path, query, headers, body, client, .. } = request;
    let mark = if query.is_empty() { "" } else { "?" };
    // Writing to memory cannot fail.
    let _ = write!(head, "{method} {path}{mark}{query} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    let client = (CLIENT_FIELD, client.as_bytes());
    let fields = headers.iter().map(|(name, value)| (*name, value.as_slice()));
    for (name, value) in [client].into_iter().chain(fields) {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        escape(value, &mut head);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes a value in ASCII, as tiny_http requires: tokens may have any bytes.
fn escape(value: &[u8], into: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b' '..=b'~' if *byte != b'%' => into.push(*byte),
            _ => drop(write!(into, "%{byte:02X}")),
        }
    }
}

/// The value of a field as the client sent it.
pub(in crate::http) fn unescape(value: &str) -> Vec<u8> {
    let mut pieces = value.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        bytes.extend(u8::from_str_radix(digits, 16).ok());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// An answer that comes in parts.
pub(super) struct ForwardedAnswer {
    bytes: Vec<u8>,
    is_head: bool,
    /// The answer without its body, and where that begins and ends.
    head: Option<(Response, usize, usize)>,
}

impl ForwardedAnswer {
    pub(super) fn new(is_head: bool) -> ForwardedAnswer {
        ForwardedAnswer { bytes: Vec::new(), is_head, head: None }
    }

    /// Takes the next bytes. Returns the answer once it is complete.
    ///
    /// # Errors
    /// `InvalidData` if this is not an answer, or more than one.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<Option<Response>> {
        self.bytes.extend_from_slice(bytes);
        if self.head.is_none() {
            self.head = parse(&self.bytes, self.is_head)?;
        }
        let end = self.head.as_ref().map_or(usize::MAX, |(_, _, end)| *end);
        if self.bytes.len() > end && self.head.is_some() {
            return Err(ErrorKind::InvalidData.into());
        }
        let complete = self.head.take_if(|(_, _, end)| *end == self.bytes.len());
        Ok(complete.map(|(response, begin, end)| match begin == end {
            true => response,
            false => Response { body: Body::from(self.bytes.split_off(begin)), ..response },
        }))
    }
}

/// The head of an answer, if it is complete.
fn parse(bytes: &[u8], is_head: bool) -> io::Result<Option<(Response, usize, usize)>> {
    let invalid = || io::Error::from(ErrorKind::InvalidData);
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(begin) = head.parse(bytes).map_err(|_| invalid())? else { return Ok(None) };
    let status = head.code.ok_or_else(invalid)?;
    let mut response = Response::new(status, "", Body::default());
    let mut length = None;
    for field in head.headers.iter() {
        let value = std::str::from_utf8(field.value).map_err(|_| invalid())?;
        match field.name {
            "Content-Length" => length = Some(value.parse().map_err(|_| invalid())?),
            "Content-Type" => response.content_type = value.to_owned().into(),
            // The response writer sets these itself.
            "Date" | "Server" | "Connection" => {}
            name => response.headers.push((name.to_owned().into(), value.to_owned())),
        }
    }
    let length = length.ok_or_else(invalid)?;
    if is_head {
        response.body = Body::unsent(length);
    }
    let has_body = !is_head && !response.has_no_content();
    let end = if has_body { begin.checked_add(length).ok_or_else(invalid)? } else { begin };
    Ok(Some((response, begin, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::FIELDS;

    #[test]
    fn any_bytes_of_a_field_arrive() {
        let all: Vec<u8> = (0..=255).collect();
        let mut escaped = Vec::new();
        escape(&all, &mut escaped);
        assert!(escaped.iter().all(|byte| (b' '..=b'~').contains(byte)));
        assert_eq!(unescape(std::str::from_utf8(&escaped).unwrap()), all);
    }

    #[test]
    fn nobody_but_the_gate_says_who_the_client_is() {
        assert!(!FIELDS.contains(&CLIENT_FIELD), "a client could say so");
        let request = Request {
            method: "PUT".to_owned(),
            path: "/x".to_owned(),
            query: "a=1".to_owned(),
            headers: vec![("x-api-token", b"a".to_vec())],
            body: vec![0; 3],
            client: "1.2.3.4:5".to_owned(),
            ..Request::default()
        };
        let expected =
            "PUT /x?a=1 HTTP/1.1\r\nContent-Length: 3\r\nx-inventor-client: 1.2.3.4:5\r\nx-api-token: a\r\n\r\n";
        assert_eq!(String::from_utf8(head(&request)).unwrap(), expected);
    }

    #[test]
    fn an_answer_is_the_same_however_it_comes_and_nothing_may_follow_it() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nServer: x\r\nDate: y\r\nContent-Type: text/plain\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nbody";
        for cut in 0..bytes.len() {
            let mut answer = ForwardedAnswer::new(false);
            assert!(answer.push(&bytes[..cut]).unwrap().is_none(), "{cut}");
            let response = answer.push(&bytes[cut..]).unwrap().unwrap();
            assert_eq!((response.status, &*response.content_type), (503, "text/plain"));
            assert_eq!(response.headers, [("Retry-After".into(), "2".to_owned())]);
            assert_eq!(response.body.parts().concat(), b"body");
        }
        assert!(ForwardedAnswer::new(false).push(&[&bytes[..], b"x"].concat()).is_err());
        assert!(ForwardedAnswer::new(false).push(b"what is this?\r\n\r\n").is_err());
        assert!(ForwardedAnswer::new(false).push(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "nobody knows where it ends");
        let head = ForwardedAnswer::new(true).push(&bytes[..bytes.len() - 4]).unwrap().unwrap();
        assert_eq!((head.body.len(), head.body.parts().len()), (4, 0));
    }
}
