//! The command line client: the other side of the API. It knows registrations and the wire, and nothing of the server.

mod agent;
mod answer;
mod api;
mod connection;
mod declare;
mod files;
mod follow;
mod import;
mod lookup;
mod offline;
mod operations;
mod output;
mod register;
mod text;

pub use output::Failure;

use connection::Api;
use files::Entry;
use output::Output;

use crate::config::commands::{Client, ClientCommand};

/// Runs a command.
///
/// # Errors
/// [`Failure`] if it is not done, or if the answer could not be written.
pub fn run(client: &Client) -> Result<(), Failure> {
    dispatch(client)?;
    output::finish()
}

fn dispatch(client: &Client) -> Result<(), Failure> {
    let output = Output::new(client.format, client.color);
    let server = || Api::new(&client.access);
    match &client.command {
        ClientCommand::Register(command) => register::register(&server()?, command, output),
        ClientCommand::Deregister(command) => register::deregister(&server()?, command),
        ClientCommand::Agent(command) => agent::run(&client.access, command),
        ClientCommand::Follow(command) => follow::run(&client.access, command),
        ClientCommand::List(command) => lookup::list(&server()?, command, output),
        ClientCommand::Get(command) => lookup::get(&server()?, command, output),
        ClientCommand::Groups(command) => lookup::groups(&server()?, command, output),
        ClientCommand::Status => operations::status(&server()?, output),
        ClientCommand::Pollers => operations::pollers(&server()?, output),
        ClientCommand::Problems => operations::problems(&server()?, output),
        ClientCommand::Changes(command) => operations::changes(&server()?, command, output),
        ClientCommand::Sync(command) => declare::sync(&server()?, command, output),
        ClientCommand::Diff(command) => declare::diff(&server()?, command, output),
        ClientCommand::Import(command) => import::run(&server()?, command, output),
        ClientCommand::Export(command) => lookup::export(&server()?, &command.filter, output),
        ClientCommand::Check(command) => offline::check(command),
        ClientCommand::Token(command) => offline::token(command, output),
        // These need no client.
        ClientCommand::Completions { .. } | ClientCommand::Man { .. } => Ok(()),
    }
}
