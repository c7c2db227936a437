//! inventor: a Prometheus HTTP service-discovery server. Scrape targets are registered over a small REST API,
//! expire unless they are renewed, and are listed for Prometheus.
//!
//! The modules in reading order. A module knows only those named before it; nothing goes in circles:
//!
//! - [`registration`]: what a registration is. Parsed means valid. The id and the stored document.
//! - [`tokens`]: the file of tokens with names, for the server that reads it and the command that writes it.
//! - [`files`]: files that others write, read without waiting for them.
//! - [`metrics`], [`oneshot`]: what operators see, and how one thread waits for the answer of another.
//! - [`store`]: what keeps documents durably, a file or Redis, and tells the registry of every change.
//! - [`registry`]: what the server can do. It holds all live registrations in memory, keeps every list up to date, and
//!   decides how long registrations live, outages included. It knows no HTTP.
//! - [`logging`]: one line per event.
//! - [`http`]: requests, responses, the route table and the handlers. Under it the gate, which owns the public port, has a
//!   thread for each connection and answers there whatever needs no store; and the server, whose workers call the store.
//!   They are reached through tiny_http, over private connections.
//! - [`healthcheck`], [`systemd`]: the server seen from outside, and what systemd is told.
//! - [`signals`]: signals for whoever waits for something else.
//! - [`config`]: the settings and the command line, read and checked once.
//! - [`client`]: the other side of the API: commands for people and playbooks, and the agent. It knows registrations and
//!   the wire, never the registry.
//! - [`serve`]: builds the server in the order of the start, and takes it down in the order of the shutdown.
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
pub mod files;
pub mod healthcheck;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod oneshot;
pub mod registration;
pub mod registry;
pub mod serve;
pub mod signals;
pub mod store;
pub mod systemd;
pub mod tokens;
