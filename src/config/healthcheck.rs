//! The command `healthcheck` and what it asks.

use std::net::{Ipv6Addr, SocketAddr};

use clap::{Arg, ArgMatches, Command};

use super::{ConfigError, Values, listen};
use crate::healthcheck::{Endpoint, Question};
use crate::http::server::Listen;

const NAME: &str = "healthcheck";
const QUESTION: &str = "QUESTION";
const READY: &str = "ready";
const HEALTHY: &str = "healthy";

pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Ask the server on this machine whether it is well; the exit code is 0 or 1")
        .arg(Arg::new(QUESTION).help("What is asked").value_parser([READY, HEALTHY]).default_value(READY))
}

/// What is asked, if this command was given.
pub(super) fn question(matches: &ArgMatches) -> Option<Question> {
    let question = matches.subcommand_matches(NAME)?.get_one::<String>(QUESTION)?;
    Some(if question == HEALTHY { Question::Healthy } else { Question::Ready })
}

/// Where a server with these values listens.
pub(super) fn endpoint(values: &Values<'_>) -> Result<Endpoint, ConfigError> {
    match listen(values)? {
        Listen::Tcp { addr, port } if port != 0 => {
            Ok(Endpoint::Tcp(SocketAddr::new(addr.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port)))
        }
        Listen::Unix(path) => Ok(Endpoint::Unix(path)),
        Listen::Tcp { .. } | Listen::Inherited(_) => {
            let reason = "the port that the system chose for the server is needed here".to_owned();
            Err(ConfigError::new("LISTEN_PORT", "0", reason))
        }
    }
}
