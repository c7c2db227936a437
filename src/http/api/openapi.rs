//! `/openapi.json`: the description of all paths, as it stands beside this file.

use std::sync::LazyLock;

use crate::http::app::{App, Call};
use crate::http::response::{Body, Response};

/// OpenAPI 3.1. A test compares it with the route table.
static DOCUMENT: LazyLock<Body> = LazyLock::new(|| include_bytes!("openapi.json").to_vec().into());

pub(in crate::http) fn get(_: &App, _: &Call<'_>) -> Result<Response, Response> {
    Ok(Response::new(200, "application/json", DOCUMENT.clone()))
}
