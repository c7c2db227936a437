//! inventor: a Prometheus HTTP service-discovery server. Scrape targets are registered over a small REST API,
//! expire unless they are renewed, and are listed for Prometheus.
//!
//! The modules in reading order. A module knows only those named before it; nothing goes in circles:
//!
//! - [`registration`]: what a registration is. Parsed means valid. The id and the stored document.
//! - [`tokens`]: who may do what, and the file of tokens with names, for the server that reads it and the command that
//!   writes it.
//! - [`files`]: files that others write, read without waiting for them, and files replaced as a whole.
//! - [`pem`]: certificates and keys, for both sides of TLS.
//! - [`metrics`], [`logging`], [`turns`]: what operators see; one line per event; how so many do something at a time.
//! - [`store`]: what keeps documents durably, a file or Redis, and tells the registry of every change.
//! - [`registry`]: what the server can do. It holds all live registrations in memory, keeps every list up to date, and
//!   decides how long registrations live, outages included. It knows no HTTP.
//! - [`http`]: requests, responses, the route table and the handlers. Under it the gate, which owns the public port, has a
//!   thread for each connection and answers there whatever needs no store; and the server, whose workers call the store.
//!   They are reached through tiny_http, over private connections.
//! - [`endpoint`], [`http_client`]: where a server listens, and how requests are made to one, health checks among them.
//! - [`systemd`]: what systemd passes and is told.
//! - [`signals`]: signals for whoever waits for something else.
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
//! | owner | whoever registers it, and registers it again to keep it |
//! | lifetime | how long it lives from each write on; its TTL |
//! | deadline | the instant at which that ends; none is never |
//! | renew | to write the same again before the deadline |
//! | expire | to leave all lists because the deadline has passed and nobody renewed |
//! | outage | time in which owners could not renew, because the store took no writes or nobody was at work |
//! | horizon | the last instant at which the store is known to have taken writes; nothing expires past it |
//! | mirror | where a store shows what it holds: for this program the view, from which every list is made |
//! | session | the time from one connection to one Redis process until it is lost |
//! | round | one pipeline to Redis and its answers; a session is nothing but rounds |
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
//! | `signals`, `open`, `secrets`, `watchdog` | signals, the opening of the store, files read again, what systemd is told | `serve`, `systemd` | one of each |
//!
//! A poll passes `connection` alone. A write passes `connection`, `worker` and the thread of the store, and comes back the
//! same way; each waits for the next until a deadline. A panic costs one request (`gate::handling`), one
//! connection (`gate`) or one turn of the file (`store::embedded`); while the store is opened, it fails the start
//! ([`serve`]).
//!
//! # Shapes of a registration
//!
//! | shape | where | what it is |
//! |---|---|---|
//! | `Fields` | [`registration`] | members as they were written, not checked |
//! | [`Registration`](registration::Registration) | [`registration`] | checked members: Prometheus can take it |
//! | [`Content`](registration::Content) | [`registration`] | the same encoded once, as documents and lists copy it |
//! | [`Document`](registration::Document) | [`registration`] | what a store holds under an id: members, id and time |
//! | [`Update`](store::Update), [`Change`](store::Change) | [`store`] | what a store is asked to do, and what it has done |
//! | [`Kept`](store::Kept) | [`store`] | what the view has and a store is owed |
//! | `Live` | [`registry`] | content and times of what is alive; `Listed` is its share of a list |
//! | [`Details`](registry::Details) | [`registry`] | a copy of that, for answers |
//! | [`LoggedChange`](registry::LoggedChange), [`Quarantined`](registry::Quarantined) | [`registry`] | what has changed, and what cannot be shown |
//! | `Entry` | [`client`] | what a file says, and the body that is sent for it |
//!
//! # What every change must keep
//!
//! 1. A poll is answered from memory: no call to the store, no copy of the list, no lock held while it is sent.
//! 2. Never a wrong list: not empty or partial because the store failed, not spoiled by one bad registration.
//! 3. Nothing acknowledged is lost: a 200 on a write means durable in the store and visible in the next read here.
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
