//! Answers of the API that cost little to ask for again: what the client has already is not sent, and what is sent is
//! compressed where that is asked for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::request::Request;
use super::request::{accepts_gzip, lists_tag};
use super::response::{Body, Response};

/// Smaller answers are not compressed, in bytes: they fit into one packet.
const COMPRESSED_BYTES_MIN: usize = 1024;

/// The answer to a GET with an entity tag of its content, compressed if it can be. A handler's own tag stays.
pub(super) fn spare(request: &Request, mut response: Response) -> Response {
    if response.status != 200 || !matches!(request.method.as_str(), "GET" | "HEAD") {
        return response;
    }
    let mut hasher = DefaultHasher::new();
    response.body.parts().hash(&mut hasher);
    let own = response.headers.iter().position(|(name, _)| *name == "ETag").map(|at| response.headers.remove(at).1);
    let tag = own.unwrap_or_else(|| format!("\"{:016x}\"", hasher.finish()));
    let response = if lists_tag(request.header("if-none-match").unwrap_or_default(), &tag) {
        (response.status, response.body) = (304, Body::default());
        response.with_header("ETag", tag)
    } else if accepts_gzip(request) && response.body.len() >= COMPRESSED_BYTES_MIN {
        response.body = compressed(&response.body).into();
        response.with_header("Content-Encoding", "gzip").with_header("ETag", format!("W/{tag}"))
    } else {
        response.with_header("ETag", tag)
    };
    response.with_header("Vary", "Accept-Encoding")
}

fn compressed(body: &Body) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    for part in body.parts() {
        // Writing to memory cannot fail.
        let _ = gzip.write_all(part);
    }
    gzip.finish().unwrap_or_default()
}
