//! The command line client: the other side of the API. It knows registrations and the wire, and nothing of the server.

mod agent;
mod answer;
mod api;
mod check;
mod connection;
mod declare;
mod entry;
mod failure;
mod files;
mod follow;
mod import;
mod lookup;
mod operations;
mod output;
mod plan;
mod register;
mod terminal;
mod times;
mod tls;
mod token;

pub use failure::Failure;

use connection::Api;
use entry::Entry;
use output::Output;

use crate::config::commands::{self, Access, Client, ClientCommand, ExportFormat, Format, WithAccess, WithOutput};

/// Does what the command line asks for.
///
/// # Errors
/// [`Failure`] when it is not done, or when the answer did not get to where it was to be written.
pub fn run(client: &Client) -> Result<(), Failure> {
    dispatch(client)?;
    output::finish()
}

fn dispatch(client: &Client) -> Result<(), Failure> {
    let to = |access: &Access| Api::new(access, client.token.as_ref());
    let by = |output: &commands::Output| Output::new(output.format, client.color);
    match &client.command {
        ClientCommand::Register(WithAccess { command: WithOutput { command, output }, access }) => {
            register::register(&to(access)?, command, by(output))
        }
        ClientCommand::Deregister(WithAccess { command, access }) => register::deregister(&to(access)?, command),
        ClientCommand::Agent(WithAccess { command, access }) => agent::run(to(access)?, access, command),
        ClientCommand::Follow(WithAccess { command, access }) => follow::run(access, client.token.as_ref(), command),
        ClientCommand::List(WithAccess { command: WithOutput { command, output }, access }) => {
            lookup::list(&to(access)?, command, by(output))
        }
        ClientCommand::Get(WithAccess { command: WithOutput { command, output }, access }) => {
            lookup::get(&to(access)?, command, by(output))
        }
        ClientCommand::Groups(WithAccess { command: WithOutput { command, output }, access }) => {
            lookup::groups(&to(access)?, command, by(output))
        }
        ClientCommand::Status(WithAccess { command, access }) => operations::status(&to(access)?, by(command)),
        ClientCommand::Pollers(WithAccess { command, access }) => operations::pollers(&to(access)?, by(command)),
        ClientCommand::Problems(WithAccess { command, access }) => operations::problems(&to(access)?, by(command)),
        ClientCommand::Changes(WithAccess { command: WithOutput { command, output }, access }) => {
            operations::changes(&to(access)?, command, by(output))
        }
        ClientCommand::Sync(WithAccess { command: WithOutput { command, output }, access }) => {
            declare::sync(&to(access)?, command, by(output))
        }
        ClientCommand::Diff(WithAccess { command: WithOutput { command, output }, access }) => {
            declare::diff(&to(access)?, command, by(output))
        }
        ClientCommand::Import(WithAccess { command, access }) => {
            import::run(&to(access)?, command, Output::new(Format::Table, client.color))
        }
        ClientCommand::Export(WithAccess { command, access }) => {
            let format = if command.format == ExportFormat::Yaml { Format::Yaml } else { Format::Json };
            lookup::export(&to(access)?, &command.filter, Output::new(format, client.color))
        }
        ClientCommand::Check(command) => check::run(command),
        ClientCommand::Token(WithOutput { command, output }) => token::run(command, by(output)),
        // These need no client.
        ClientCommand::Completions { .. } | ClientCommand::Man { .. } => Ok(()),
    }
}
