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
mod harmless;
mod import;
mod lookup;
mod operations;
mod output;
mod plan;
mod register;
mod scrape;
mod times;
mod tls;
mod token;
mod unix;

pub use failure::Failure;

use connection::Connection;
use entry::Entry;
use output::Output;

use crate::config::commands::{Access, Client, ClientCommand, ExportFormat, Format};

/// The logs of what speaks to servers: from debug on, these are the bytes of requests, and so the token.
pub const WIRE_LOGS: &[&str] = &["ureq", "ureq_proto"];

/// Does what the command line asks for.
///
/// # Errors
/// [`Failure`], with its exit code and what to do next.
pub fn run(client: &Client) -> Result<(), Failure> {
    let connect = |access: &Access| Connection::new(access, client.token.as_ref());
    let output = |format: Format| Output::new(format, client.color);
    match &client.command {
        ClientCommand::Register(command) => {
            register::register(&connect(&command.access)?, &command.declaration, output(command.output.format))
        }
        ClientCommand::Deregister(command) => register::deregister(&connect(&command.access)?, command),
        ClientCommand::Agent(command) => agent::run(connect(&command.access)?, command),
        ClientCommand::List(command) => {
            lookup::list(&connect(&command.access)?, command, output(command.output.format))
        }
        ClientCommand::Get(command) => lookup::get(&connect(&command.access)?, command, output(command.output.format)),
        ClientCommand::Groups(command) => {
            lookup::groups(&connect(&command.access)?, command, output(command.output.format))
        }
        ClientCommand::Status(command) => operations::status(&connect(&command.access)?, output(command.output.format)),
        ClientCommand::Pollers(command) => {
            operations::pollers(&connect(&command.access)?, output(command.output.format))
        }
        ClientCommand::Changes(command) => {
            operations::changes(&connect(&command.access)?, command, output(command.output.format))
        }
        ClientCommand::Problems(command) => {
            operations::problems(&connect(&command.access)?, output(command.output.format))
        }
        ClientCommand::Export(command) => {
            let format = if command.format == ExportFormat::Yaml { Format::Yaml } else { Format::Json };
            lookup::export(&connect(&command.access)?, &command.filter, output(format))
        }
        ClientCommand::Sync(command) => {
            declare::sync(&connect(&command.access)?, command, output(command.output.format))
        }
        ClientCommand::Diff(command) => {
            declare::diff(&connect(&command.access)?, &command.declared, output(command.output.format))
        }
        ClientCommand::Import(command) => import::run(&connect(&command.access)?, command, output(Format::Table)),
        ClientCommand::Check(command) => check::run(command),
        ClientCommand::Token(command) => token::run(command, output(command.output.format)),
        // These need no client.
        ClientCommand::Completions { .. } | ClientCommand::Man { .. } => Ok(()),
    }
}
