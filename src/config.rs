//! What the process must do: the settings of the server, and the commands of the client. The only code that reads the
//! environment and the command line.

mod command_line;
pub mod commands;
mod help;
mod manual;
mod secrets;
mod server;
mod store;
mod values;
mod variables;

pub use command_line::{Invocation, notify_socket, read};
pub use manual::{completions, write as write_manual};
pub use secrets::{Sources, TOKENS_MAX, TlsSources, TokenSources};
pub use server::{CONNECTIONS_MAX, Config, OUTAGE_KEEP_SECONDS_MAX, WORKERS_MAX};
pub use store::RedisSources;
pub use values::ConfigError;
pub use variables::{VARIABLES, Variable};
