//! inventor: a Prometheus HTTP service-discovery server. Scrape targets are registered over a small REST API,
//! expire unless they are renewed, and are listed for Prometheus.
//!
//! The modules in reading order; each knows only those named after it, and `registration` and `metrics` are known
//! to all:
//!
//! - [`registration`]: what a registration is. Parsed means valid. The id and the stored document.
//! - [`store`]: what keeps documents durably, a file or Redis, and tells the registry of every change.
//! - [`registry`]: what the server can do. It holds all live registrations in memory and renders the lists.
//! - [`http`]: requests, responses, the route table and the handlers; under it the gate, the server and its workers.
//! - [`serve`]: builds all of this in the order of the start, and takes it down in the order of the shutdown.
//! - [`oneshot`]: how one thread waits for the answer of another.
//! - [`config`]: every variable, read and checked once. [`logging`] and [`metrics`]: what operators see.
//!
//! What every change must keep:
//!
//! 1. A poll is answered from memory: no call to the store, no copy of the list, no lock held while it is sent.
//! 2. Never a wrong list: not empty or partial because the store failed, not spoiled by one bad registration.
//! 3. Nothing acknowledged is lost: a 200 on a write means durable in the store and visible in the next read here.
//! 4. It keeps answering under abuse, faults and restarts, within limits that have names.
//! 5. It is complete by itself; with Redis any number of servers share one registry.

pub mod client;
pub mod config;
pub mod healthcheck;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod oneshot;
pub mod registration;
pub mod registry;
pub mod serve;
pub mod store;
pub mod systemd;
