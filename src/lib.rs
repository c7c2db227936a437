//! inventor: a Prometheus HTTP service-discovery server. Scrape targets are registered over a small REST API, expire
//! unless they are renewed, and are listed for Prometheus.
//!
//! The modules in reading order. Each knows only those before it; there are no circles:
//!
//! - [`registration`]: what a registration is. Parsed means valid. The id and the stored document.
//! - [`tokens`]: who may do what; the file of named tokens, for the server that reads it and the command that writes
//!   it.
//! - [`files`]: reading files that others write without waiting for them, and replacing files as a whole.
//! - [`pem`]: certificates and keys, for both sides of TLS.
//! - [`metrics`], [`logging`], [`turns`]: what operators see; one line per event; a limited number at a time.
//! - [`store`]: keeps documents durably, in a file or in Redis, and tells the registry of every change.
//! - [`registry`]: what the server can do. It holds all live registrations in memory, keeps every list up to date, and
//!   decides how long registrations live, outages included. It knows no HTTP.
//! - [`http`]: requests, responses, the route table and the handlers. Below it are the gate, which owns the public
//!   port, has a thread for each connection, and answers there every request that needs no store; and the server, whose
//!   workers call the store. The gate reaches them through tiny_http, over private connections.
//! - [`endpoint`], [`http_client`]: where a server listens; requests to one, including health checks.
//! - [`systemd`]: what systemd passes to the server, and what the server reports to it.
//! - [`signals`]: signals for a thread that waits for other events.
//! - [`config`]: the settings and the command line, read and checked once.
//! - [`client`]: the other side of the API: commands for people and playbooks, the agent, and the follower of a list. It
//!   knows registrations and the wire, never the registry.
//! - [`serve`]: builds the server in the order of the start, and takes it down in the order of the shutdown.
//!
//! # Words
//!
//! Each means one thing, here and in the documents:
//!
//! | word | meaning |
//! |---|---|
//! | registration | targets with labels, a group and perhaps modules, under an id that follows from the targets |
//! | owner | the client that makes a registration and renews it to keep it |
//! | lifetime | how long a registration lives after each write; its TTL |
//! | deadline | the instant at which the lifetime ends; without one, the registration never expires |
//! | renew | to write the same registration again before the deadline |
//! | expire | to leave all lists because the deadline has passed without a renewal |
//! | outage | time in which owners could not renew, because the store took no writes or nobody was at work |
//! | settle | to write the deadlines that an outage has moved to the store |
//! | trouble | a moment in which owners could not write, too short for an outage |
//! | horizon | the last instant at which the store is known to have taken writes; nothing expires past it |
//! | mirror | where a store shows its documents: in this program the view, from which every list is made |
//! | session | the time from one connection to one Redis process until that connection is lost |
//! | round | one pipeline to Redis and its answers; a session consists of rounds |
//!
//! # Threads, and where they meet
//!
//! | thread | what it does | where it gets its work | what bounds that |
//! |---|---|---|---|
//! | `accept` | accepts connections | the listening sockets | `gate::limits::ARRIVALS_MAX` |
//! | `connection`, one each | reads requests, answers what needs no store | `gate::connections` | `MAX_CONNECTIONS`, `gate::limits` |
//! | `worker` | calls the store | `gate::upstream`: a line, which leads to it through tiny_http | `WORKERS` lines, `Limits` |
//! | `store` | writes the file, then the view (without Redis) | `store::mailbox` | `OPERATIONS_MAX`, `WAIT_MAX` |
//! | `redis-follow` | writes to Redis and the view, in rounds | `store::mailbox` | one write a worker, `CHANGED_MAX`, `WAIT_MAX` |
//! | `redis-track` | reads which keys others change | its own connection | `CHANGED_MAX` |
//! | `log` | writes the log | `logging::queue` | `WAITING_BYTES_MAX` |
//! | `signals`, `open`, `secrets`, `watchdog` | signals, opening the store, rereading files, reports to systemd | `serve`, `systemd` | one of each |
//!
//! A poll is answered by `connection` alone. A write passes from `connection` through `worker` to the thread of the
//! store and back; each waits for the next until a deadline. A panic costs one request (`gate::handler`), one
//! connection (`gate`) or one turn of the file (`store::embedded`); while the store is being opened, it fails the start
//! ([`serve`]).
//!
//! # Shapes of a registration
//!
//! | shape | where | meaning |
//! |---|---|---|
//! | `Fields` | [`registration`] | members as they were written, unchecked |
//! | [`Registration`](registration::Registration) | [`registration`] | checked members: Prometheus can take it |
//! | [`Content`](registration::Content) | [`registration`] | the same, encoded once, as documents and lists copy it |
//! | [`Document`](registration::Document) | [`registration`] | what a store holds under an id: members, id and time |
//! | [`Update`](store::Update), [`Change`](store::Change) | [`store`] | what a store is asked to do, and what has changed in it |
//! | [`Kept`](store::Kept) | [`store`] | a registration in the view, to be written to a store |
//! | `Live` | [`registry`] | content and times of a live registration; `Listed` is its part in a list |
//! | [`Details`](registry::Details) | [`registry`] | a copy of `Live`, for answers |
//! | [`LoggedChange`](registry::LoggedChange), [`Quarantined`](registry::Quarantined) | [`registry`] | what has changed, and a value that cannot be shown |
//! | `Entry` | [`client`] | a registration in a file, and in the body that is sent for it |
//!
//! # What every change must keep
//!
//! 1. A poll is answered from memory: no call to the store, no copy of the list, no lock held while it is sent.
//! 2. No list is wrong: neither empty or partial because the store failed, nor spoiled by one bad registration.
//! 3. No acknowledged write is lost: a 200 means durable in the store and visible in the next read here.
//! 4. It keeps answering under abuse, faults and restarts, within limits that have names.
//! 5. It is complete by itself; with Redis any number of servers share one registry.

pub mod client;
pub mod config;
pub mod endpoint;
pub mod files;
pub mod http;
pub mod http_client;
pub mod logging;
pub mod metrics;
pub mod pem;
pub mod registration;
pub mod registry;
pub mod serve;
pub mod signals;
pub mod store;
pub mod systemd;
pub mod tokens;
pub mod turns;
