//! What the process is told to do. The only place that reads the environment and the command line: the settings of the
//! server, and the commands of the client.

mod command_line;
pub mod commands;
mod error;
mod help;
mod log;
mod manual;
mod secret_file;
mod server;
mod store;
mod tls;
mod tokens;
mod values;
mod variables;

pub use command_line::{Invocation, notify_socket, read};
pub use error::ConfigError;
pub use manual::{completions, write as write_manual};
pub use server::{CONNECTIONS_MAX, Config, OUTAGE_KEEP_SECONDS_MAX, WORKERS_MAX};
pub use store::RedisSources;
pub use tls::TlsSources;
pub use tokens::{TOKENS_MAX, TokenSources};
pub use variables::{VARIABLES, Variable};
