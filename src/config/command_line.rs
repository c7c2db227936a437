//! The whole command line: the server with its settings as flags, and the commands of the client.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use clap_complete::Shell;

use super::commands::{ACCESS_HEADING, Access, Client, ClientCommand, Format, Output, WITH_OUTPUT, WITHOUT_SERVER};
use super::help;
use super::server::{Config, listen, logging};
use super::values::{ConfigError, Values};
use super::variables::{LISTEN_ADDR, LISTEN_PORT, TLS_CERT, VARIABLES, Variable};
use crate::endpoint::Endpoint;
use crate::http::server::Listen;

const SERVE: &str = "serve";
const VERSION: &str = "version";
const HEALTHCHECK: &str = "healthcheck";

/// The argument of [`HEALTHCHECK`].
const QUESTION: &str = "QUESTION";

/// The help for all settings.
const SETTINGS_HELP: &str = "\
Each setting is an environment variable, a line of .env in the working directory (which is not read when APP_ENV is \
set), or a flag; a flag wins over the environment, and that over .env. An empty value counts as not set. Flags can be \
seen by every user of the machine: tokens and passwords belong into the environment or into files.";

pub enum Invocation {
    Serve(Box<Config>),
    /// Ask the server at this endpoint whether it is `ready` or `healthy`.
    Healthcheck(Endpoint, String),
    Client(Box<Client>),
    Completions(Shell),
    Manual(PathBuf),
    /// Print this and succeed: the help, or the version.
    Print(String),
    /// Print this to standard error and exit with 2: unknown flags, or impossible values.
    Usage(String),
}

/// Reads the command line, the environment and, for the server, `.env`.
///
/// # Errors
/// [`ConfigError`] names the variable, its value unless it is a secret, and what is expected.
pub fn read() -> Result<Invocation, ConfigError> {
    parse().unwrap_or_else(|e| {
        let columns = || usize::from(console::Term::stdout().size().1);
        let text = match e.to_string() {
            text if e.kind() == ErrorKind::DisplayHelp && std::io::stdout().is_terminal() => {
                help::wrapped(&text, columns())
            }
            text => text,
        };
        Ok(if e.use_stderr() { Invocation::Usage(text) } else { Invocation::Print(text) })
    })
}

/// The socket on which systemd expects the state of this process.
pub fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

/// How much the help of a command says. Both forms use clap's short style, because the long style has a blank line
/// after every flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Help {
    /// Its own flags and an example: `-h`.
    Short,
    /// Everything: `--help`, and `inventor help COMMAND`.
    Long,
}

impl Help {
    /// The form that is asked for.
    fn asked_for() -> Help {
        let mut words = std::env::args().skip(1);
        let is_long =
            words.next().is_some_and(|word| word == "help" || word == "--help") || words.any(|word| word == "--help");
        if is_long { Help::Long } else { Help::Short }
    }
}

/// Every command, without the settings of the server before them.
pub(super) fn commands(form: Help) -> Command {
    let root = ClientCommand::augment_subcommands(Command::new("inventor").bin_name("inventor"))
        .subcommand(with_settings(Command::new(SERVE).about("Run the server").after_help(SETTINGS_HELP)))
        .subcommand(healthcheck())
        .subcommand(Command::new(VERSION).about("Print the version").hide(true));
    let mut root = root
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(format!("{} (revision {})", env!("CARGO_PKG_VERSION"), crate::metrics::revision()))
        .about("Prometheus HTTP service discovery: scrape targets are registered over a small REST API");
    for command in root.get_subcommands_mut() {
        let name = command.get_name().to_owned();
        let is_client = ClientCommand::has_subcommand(&name) && !WITHOUT_SERVER.contains(&&*name);
        let has_old_timeout = command.get_arguments().any(|argument| argument.get_id() == "old_timeout");
        // Flags of `groups` may also follow `groups delete NAME`.
        let has_commands = command.has_subcommands();
        let mut changed = command.clone();
        if WITH_OUTPUT.contains(&&*name) {
            changed = Output::augment_args(changed);
        }
        if is_client {
            changed = Access::augment_args(changed);
        }
        changed = changed.mut_args(|argument| match argument.get_help_heading() {
            Some(ACCESS_HEADING) => argument.hide(form == Help::Short).global(has_commands),
            _ => argument.global(has_commands),
        });
        // For one version, --timeout of `register` is still that of the scrape.
        if is_client && !has_old_timeout {
            changed = changed.mut_arg("request_timeout", |argument| argument.visible_alias("timeout"));
        }
        changed = match form {
            _ if name == SERVE => changed,
            Help::Long => changed.after_help(help::long(&name)),
            Help::Short if is_client => changed.after_help(help::short(&name)),
            Help::Short => changed,
        };
        *command = changed;
    }
    root
}

fn healthcheck() -> Command {
    Command::new(HEALTHCHECK)
        .about("Ask the server on this machine whether it is ready, or whether it is healthy; exits with 0 or 1")
        .arg(Arg::new(QUESTION).help("What is asked").value_parser(["ready", "healthy"]).default_value("ready"))
        .args([LISTEN_ADDR, LISTEN_PORT, TLS_CERT].map(|variable| variable.flag()))
}

/// Where a server with these values listens.
fn endpoint(values: &Values) -> Result<Endpoint, ConfigError> {
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

fn with_settings(command: Command) -> Command {
    VARIABLES.iter().fold(command, |command, variable| command.arg(variable.flag()))
}

/// Parses the command line. The outer error is clap's, with the text for the user.
fn parse() -> Result<Result<Invocation, ConfigError>, clap::Error> {
    // The settings may precede the command, or stand alone, as they always could.
    let settings = VARIABLES.iter().map(|variable| variable.flag().hide(true));
    let mut command = commands(Help::asked_for()).args(settings).override_help(help::OVERVIEW);
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Ok(match matches.subcommand() {
        None if std::env::args_os().len() <= 1 => alone(&matches),
        None => serve(&[&matches]),
        Some((VERSION, _)) => Ok(Invocation::Print(command.render_long_version())),
        Some((SERVE, own)) => serve(&[&matches, own]),
        Some((HEALTHCHECK, own)) => Values::new(&[&matches, own]).and_then(|values| {
            let question = own.get_one::<String>(QUESTION).cloned().unwrap_or_default();
            endpoint(&values).map(|endpoint| Invocation::Healthcheck(endpoint, question))
        }),
        Some((name, own)) => {
            refuse_settings(&mut command, &matches, name)?;
            let access = match WITHOUT_SERVER.contains(&name) {
                true => Access::default(),
                false => Access::from_arg_matches(own)?,
            };
            let format = own.try_get_one("format").ok().flatten().copied().unwrap_or(Format::Table);
            client(ClientCommand::from_arg_matches(&matches)?, access, format)
        }
    })
}

/// Without arguments this is the server, as in the original program, if any setting is given.
fn alone(matches: &ArgMatches) -> Result<Invocation, ConfigError> {
    let values = Values::new(&[matches])?;
    match VARIABLES.iter().any(|variable| values.is_given(*variable)) {
        true => serve(&[matches]),
        false => Ok(Invocation::Usage(help::OVERVIEW.to_owned())),
    }
}

fn serve(levels: &[&ArgMatches]) -> Result<Invocation, ConfigError> {
    Ok(Invocation::Serve(Box::new(Config::new(&Values::new(levels)?)?)))
}

/// Refuses a setting of the server before a command of the client: it has no effect, and is a mistake.
fn refuse_settings(command: &mut Command, matches: &ArgMatches, name: &str) -> Result<(), clap::Error> {
    let given = |variable: &&Variable| matches.value_source(variable.name) == Some(ValueSource::CommandLine);
    match VARIABLES.iter().find(given) {
        None => Ok(()),
        Some(variable) => {
            let reason = format!("--{} is a setting of the server; `{name}` does not take it", variable.flag_name());
            Err(command.error(ErrorKind::ArgumentConflict, reason))
        }
    }
}

fn client(command: ClientCommand, access: Access, format: Format) -> Result<Invocation, ConfigError> {
    match command {
        ClientCommand::Completions { shell } => Ok(Invocation::Completions(shell)),
        ClientCommand::Man { directory } => Ok(Invocation::Manual(directory)),
        command => {
            let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
            let token = variable("INVENTOR_TOKEN").map(|token| token.to_string_lossy().into_owned());
            let access = access.completed(token);
            let goes_on = matches!(command, ClientCommand::Agent(_) | ClientCommand::Follow(_));
            let log = goes_on.then(|| logging(&Values::of_environment())).transpose()?;
            let color = variable("NO_COLOR").is_none();
            Ok(Invocation::Client(Box::new(Client { command, access, format, color, log })))
        }
    }
}
