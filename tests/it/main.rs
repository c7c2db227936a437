//! Integration tests: the real binary, spoken to over real sockets, polled by a real Prometheus; and the stores on
//! real files. Each module holds the facts of one part; `process`, `server`, `client` and `eventually` carry them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod certificates;
mod cli;
mod client;
mod configuration;
mod discover;
mod documents;
mod durability;
mod embedded;
mod ending;
mod eventually;
mod faults;
mod get_delete;
mod healthcheck;
mod ids;
mod lifecycle;
mod logs;
mod methods;
mod metrics;
mod negotiation;
mod nginx;
mod outages;
mod owners;
mod page;
mod process;
mod prometheus;
mod prometheus_server;
mod proxies;
mod put;
mod recipes;
mod redis;
mod redis_server;
mod refusals;
mod server;
mod stacks;
mod stand_in;
mod store_contract;
mod systemd;
mod tidy;
mod tls;
mod tokens;
mod wire;
