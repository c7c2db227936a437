//! inventor: a Prometheus HTTP service-discovery server.

pub mod config;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod registration;
pub mod registry;
pub mod serve;
pub mod store;
