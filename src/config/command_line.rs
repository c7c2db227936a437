//! The whole command line: the server with its settings as flags, and the commands of the client.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches, Subcommand};
use clap_complete::Shell;

use super::commands::{Client, ClientCommand, TokenSource};
use super::error::ConfigError;
use super::healthcheck;
use super::server::{self, Config};
use super::values::Values;
use super::variables::{VARIABLES, Variable};
use crate::healthcheck::{Endpoint, Question};

const SERVE: &str = "serve";

/// What the command line asks for.
pub enum Invocation {
    /// Run the server.
    Serve(Box<Config>),
    /// Ask the server that runs with the same address and port.
    Healthcheck(Endpoint, Question),
    /// Be a client of a server.
    Client(Box<Client>),
    /// Write manual pages into this directory.
    Manual(PathBuf),
    /// Print the completions for this shell.
    Completions(Shell),
    /// Print this and end well: the help, or the version.
    Print(String),
    /// Print this to standard error and end with 2: flags that do not exist, values that cannot be right.
    Usage(String),
}

/// Reads the command line, the environment and, for the server, `.env`.
///
/// # Errors
/// [`ConfigError`] names the variable, its value unless it is a secret, and what would be right.
pub fn read() -> Result<Invocation, ConfigError> {
    parse().unwrap_or_else(|e| {
        let text = e.to_string();
        Ok(if e.use_stderr() { Invocation::Usage(text) } else { Invocation::Print(text) })
    })
}

/// Where systemd wants to be told what becomes of this process.
pub fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

/// The whole command line.
pub(super) fn command() -> Command {
    let root = Command::new("inventor")
        .subcommand(with_settings(Command::new(SERVE).about("Run the server")))
        .subcommand(healthcheck::command());
    let mut command = with_settings(ClientCommand::augment_subcommands(root))
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(format!("{} (revision {})", env!("CARGO_PKG_VERSION"), crate::metrics::revision()))
        .about(
            "Prometheus HTTP service discovery: scrape targets are registered over a small REST API. \
             Without a command it is the server",
        )
        .after_help(
            "Each setting of the server is an environment variable, a line of .env in the working directory (which is \
             not read when APP_ENV is set), or a flag; a flag wins over the environment, and that over .env. \
             An empty value counts as not set. Flags can be seen by every user of the machine: tokens and passwords \
             belong into the environment or into files.",
        )
        .disable_help_subcommand(true);
    for subcommand in command.get_subcommands_mut() {
        let has = |id| subcommand.get_arguments().any(|argument| argument.get_id() == id);
        // Where targets are described, --timeout is that of the scrape.
        if has("request_timeout") && !has("scrape_timeout") {
            *subcommand = subcommand.clone().mut_arg("request_timeout", |argument| argument.visible_alias("timeout"));
        }
    }
    command
}

fn with_settings(command: Command) -> Command {
    VARIABLES.iter().fold(command, |command, variable| command.arg(variable.flag()))
}

/// What the command line says; the outer error is clap's, with the text for the user.
fn parse() -> Result<Result<Invocation, ConfigError>, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Ok(match matches.subcommand() {
        None => serve(&[&matches]),
        Some((SERVE, own)) => serve(&[&matches, own]),
        Some((healthcheck::NAME, own)) => Values::new(&[&matches, own]).and_then(|values| {
            healthcheck::endpoint(&values).map(|endpoint| Invocation::Healthcheck(endpoint, healthcheck::question(own)))
        }),
        Some((name, _)) => {
            refuse_settings(&mut command, &matches, name)?;
            client(ClientCommand::from_arg_matches(&matches)?)
        }
    })
}

fn serve(levels: &[&ArgMatches]) -> Result<Invocation, ConfigError> {
    Ok(Invocation::Serve(Box::new(Config::new(&Values::new(levels)?)?)))
}

/// A setting of the server before a command of the client means nothing, and is a mistake.
fn refuse_settings(command: &mut Command, matches: &ArgMatches, name: &str) -> Result<(), clap::Error> {
    let given = |variable: &&Variable| matches.value_source(variable.name) == Some(ValueSource::CommandLine);
    match VARIABLES.iter().find(given) {
        None => Ok(()),
        Some(variable) => {
            let reason = format!("--{} is a setting of the server; `{name}` does not take it", variable.flag_name());
            Err(command.error(clap::error::ErrorKind::ArgumentConflict, reason))
        }
    }
}

fn client(command: ClientCommand) -> Result<Invocation, ConfigError> {
    match command {
        ClientCommand::Completions { shell } => Ok(Invocation::Completions(shell)),
        ClientCommand::Man { directory } => Ok(Invocation::Manual(directory)),
        command => {
            let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
            let token =
                variable("INVENTOR_TOKEN").map(|token| TokenSource::Value(token.to_string_lossy().into_owned()));
            let is_agent = matches!(command, ClientCommand::Agent(_));
            let log = is_agent.then(|| server::log(&Values::of_environment())).transpose()?;
            Ok(Invocation::Client(Box::new(Client { command, token, color: variable("NO_COLOR").is_none(), log })))
        }
    }
}
