//! Integration tests: the real binary, spoken to over real sockets, polled by a real Prometheus.
//! Each module holds the facts of one part of the contract; `process`, `server`, `client` and `eventually` carry them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod eventually;
mod process;
mod redis;
mod redis_server;
mod server;
mod store_contract;
