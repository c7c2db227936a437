//! inventor: a Prometheus HTTP service-discovery server.

pub mod http;
pub mod registration;
pub mod store;
