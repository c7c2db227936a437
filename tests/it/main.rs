//! Integration tests: the real binary, spoken to over real sockets, polled by a real Prometheus; and the stores on
//! real files. Each module holds the facts of one part; `process`, `server`, `client` and `eventually` carry them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod embedded;
mod eventually;
mod process;
mod server;
mod store_contract;
