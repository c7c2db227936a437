//! HTTP as the handlers see it: plain requests and responses, and the one route table. Only `server` and its gate know
//! how these are transported.
//!
//! `server` and `gate` know `request` and `response`; the handlers know `app`; `routes` knows the handlers.

mod api;
mod app;
mod auth;
mod discovery;
pub mod gate;
mod operations;
mod page;
mod pollers;
mod query;
mod request;
mod response;
mod routes;
pub mod server;
mod targets;

pub use app::{App, Options};
pub use auth::Tokens;
pub use gate::{Found, Handler, Runs};
pub use request::Request;
pub use response::{Body, Errors, Refusal, Response};
pub use routes::{RouteIndex, routes};
