//! The command line client as a user runs it: real processes against a real server.

mod agent;
mod agent_files;
mod agent_memory;
mod agent_outages;
mod agent_waits;
mod between;
mod commands;
mod follow;
mod foreign;
mod formats;
mod import;
mod many;
mod served;
mod terminal;
mod tls;

use std::path::PathBuf;

use crate::client::{Connection, Request};
use crate::process::Process;
use crate::server::{Outcome, Server, Setup};

/// A client in an environment and a directory of its own.
#[derive(Clone)]
pub(crate) struct Cli {
    setup: Setup,
}

impl Cli {
    /// A client of the server at this URL, with the right token.
    pub(crate) fn at(url: &str) -> Cli {
        let names = ["APP_ENV", "API_TOKEN", "LISTEN_ADDR", "LISTEN_PORT", "DATA_DIR"];
        let setup = names.iter().fold(Setup::new(), |setup, name| setup.without(name));
        Cli { setup: setup.env("INVENTOR_URL", url).env("INVENTOR_TOKEN", "secret") }
    }

    /// A client of this server.
    pub(crate) fn of(server: &Server) -> Cli {
        Cli::at(&format!("http://{}", server.address()))
    }

    /// Sets a variable.
    pub(crate) fn env(&self, name: &str, value: &str) -> Cli {
        Cli { setup: self.setup.clone().env(name, value) }
    }

    /// Writes a file into the client's directory, as one that is complete when it appears.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        if let Some(directory) = self.setup.path(name).parent() {
            std::fs::create_dir_all(directory).unwrap();
        }
        self.setup.write(name, content)
    }

    /// A path in the client's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.path(name)
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.with(arguments).run()
    }

    /// Starts a command that goes on.
    #[track_caller]
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        self.with(arguments).launch()
    }

    fn with(&self, arguments: &[&str]) -> Setup {
        arguments.iter().fold(self.setup.clone(), |setup, argument| setup.argument(argument))
    }

    /// Runs a command that is expected to end with this code, and returns what it wrote to standard output.
    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {outcome:?}");
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        for text in [&outcome.stdout, &outcome.stderr] {
            assert!(!text.contains("secret"), "the token is shown: {outcome:?}");
        }
        outcome.stdout
    }

    /// Runs a command that is expected to end with this code and to say these words on standard error.
    #[track_caller]
    pub(crate) fn fails_with(&self, code: i32, arguments: &[&str], words: &[&str]) {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {outcome:?}");
        let missing: Vec<_> = words.iter().filter(|word| !outcome.stderr.contains(**word)).collect();
        assert!(missing.is_empty(), "{missing:?} is not said: {outcome:?}");
        assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("secret"), "{outcome:?}");
    }
}

/// The addresses in the list that a server gives to Prometheus, sorted.
#[track_caller]
pub(crate) fn listed(server: &Server) -> Vec<String> {
    listed_by(&mut server.connect())
}

/// The same over this connection.
#[track_caller]
pub(crate) fn listed_by(connection: &mut Connection) -> Vec<String> {
    let response = connection.send(&Request::new("GET", "/discover"));
    response.has_status(200, "GET /discover");
    let list = response.json();
    let entries = list.as_array().expect("the list is an array").iter();
    let targets = entries.flat_map(|entry| entry["targets"].as_array().expect("an entry has targets").clone());
    let mut targets: Vec<String> = targets.map(|target| target.as_str().unwrap().to_owned()).collect();
    targets.sort();
    targets
}
