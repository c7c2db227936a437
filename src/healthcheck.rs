//! Asks a server on this machine whether it is alive or ready, through its public port as any client would: for
//! container engines, whose image has no curl, and for the watchdog of systemd.

use std::fmt;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::http_client::ProbeClient;

/// The longest wait for the answer.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Are polls and writes expected to succeed?
    Ready,
    /// Does it answer at all?
    Healthy,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Question::Ready => "/-/ready",
            Question::Healthy => "/-/healthy",
        }
    }
}

/// Why the answer is no.
#[derive(Debug)]
pub enum Unhealthy {
    /// The server says so.
    Refused { status: u16, text: String },
    /// There is no answer, for this reason.
    Silent(Endpoint, String),
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unhealthy::Refused { status, text } => write!(f, "{status}: {text}"),
            Unhealthy::Silent(endpoint, why) => write!(f, "no answer from {endpoint}: {why}"),
        }
    }
}

impl std::error::Error for Unhealthy {}

/// Asks, and waits for the answer a few seconds at most.
pub fn ask(endpoint: &Endpoint, question: Question) -> Result<(), Unhealthy> {
    let scheme = if matches!(endpoint, Endpoint::Tls(_)) { "https" } else { "http" };
    let answer = ProbeClient::of_endpoint(endpoint, WAIT_MAX).get(&format!("{scheme}://localhost{}", question.path()));
    let answer = answer.map_err(|why| Unhealthy::Silent(endpoint.clone(), why))?;
    match answer.status() {
        200 => Ok(()),
        status => Err(Unhealthy::Refused { status, text: answer.text().trim().to_owned() }),
    }
}
