//! Integration tests: the real binary, real files, real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod embedded;
mod store_contract;
