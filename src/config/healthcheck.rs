//! The command `healthcheck` and what it asks.

use std::net::{Ipv6Addr, SocketAddr};

use clap::{Arg, ArgMatches, Command};

use super::error::ConfigError;
use super::server::listen;
use super::values::Values;
use super::variables::{LISTEN_ADDR, LISTEN_PORT, TLS_CERT};
use crate::endpoint::Endpoint;
use crate::healthcheck::Question;
use crate::http::server::Listen;

pub(super) const NAME: &str = "healthcheck";
const QUESTION: &str = "QUESTION";
const READY: &str = "ready";
const HEALTHY: &str = "healthy";

pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Ask the server on this machine whether it is ready, or whether it is healthy; exits with 0 or 1")
        .arg(Arg::new(QUESTION).help("What is asked").value_parser([READY, HEALTHY]).default_value(READY))
        .args([LISTEN_ADDR, LISTEN_PORT, TLS_CERT].map(|variable| variable.flag()))
}

/// What is asked by this command.
pub(super) fn question(matches: &ArgMatches) -> Question {
    match matches.get_one::<String>(QUESTION) {
        Some(question) if question == HEALTHY => Question::Healthy,
        _ => Question::Ready,
    }
}

/// Where a server with these values listens.
pub(super) fn endpoint(values: &Values) -> Result<Endpoint, ConfigError> {
    match listen(values)? {
        Listen::Tcp { addr, port } if port != 0 => {
            let endpoint = Endpoint::Tcp(SocketAddr::new(addr.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port));
            Ok(if values.is_given(TLS_CERT) { endpoint.with_tls() } else { endpoint })
        }
        Listen::Unix(path) => Ok(Endpoint::Unix(path)),
        Listen::Tcp { .. } | Listen::Inherited(_) => {
            let reason = "set it to the port that the server listens on".to_owned();
            Err(ConfigError::new(LISTEN_PORT, "0", reason))
        }
    }
}
