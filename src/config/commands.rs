//! The commands of the client and their flags. Most comments here are their help.

mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use crate::logging::Logging;
use crate::registration::LabelNames;
pub use values::{Field, Format, SortFlag};
use values::{changes_limit, export_format, label_names, lifetime, pair, path, sort_key, time_to_wait};

/// A command of the client, and its general flags.
pub struct Client {
    pub command: ClientCommand,
    pub access: Access,
    pub format: Format,
    /// Whether colours are welcome, if the output is a terminal.
    pub color: bool,
    /// Logging, for commands that run until they are stopped.
    pub log: Option<Logging>,
}

/// Where the client's token comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Value(String),
    /// The first line of this file.
    File(PathBuf),
}

#[derive(Subcommand)]
pub enum ClientCommand {
    /// Register targets, or renew them if they are registered
    Register(RegisterCommand),
    /// Delete registrations
    Deregister(DeregisterCommand),
    /// Keep the registrations in a directory's files alive, until told to stop
    Agent(AgentCommand),
    /// Keep a list in a file for Prometheus (file_sd), until told to stop
    Follow(FollowCommand),
    /// List registrations
    List(ListCommand),
    /// Show one registration
    Get(GetCommand),
    /// List the groups, or delete one
    Groups(GroupsCommand),
    /// Show how the server is doing
    Status,
    /// List who polls, how often, and whether they still do
    Pollers,
    /// List what has changed, and who did it
    Changes(ChangesCommand),
    /// Show what is wrong: stored values left out of the lists, addresses registered twice
    Problems,
    /// Make a group be exactly what these files hold
    Sync(SyncCommand),
    /// Show what `sync` would change; exits with 1 if anything differs
    Diff(GroupFiles),
    /// Register what files or http_sd URLs hold
    Import(ImportCommand),
    /// Print registrations in a form that `import` and `register` read
    Export(ExportCommand),
    /// Report what the server would refuse, without a server
    Check(CheckCommand),
    /// Create a token: it is shown once, and its line for TOKENS_FILE printed, or added by --file
    Token(TokenCommand),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory; made if it does not exist
        directory: PathBuf,
    },
}

/// The commands that ask no server.
pub(super) const WITHOUT_SERVER: [&str; 4] = ["check", "token", "completions", "man"];

/// The commands with an output format.
pub(super) const WITH_OUTPUT: [&str; 11] =
    ["register", "list", "get", "groups", "status", "pollers", "changes", "problems", "sync", "diff", "token"];

/// The heading of the flags that tell how to reach the server.
pub const ACCESS_HEADING: &str = "Server";

const DEFAULT_URL: &str = "http://localhost:9101";

// How to reach the server. A comment with three slashes would become the help of each command.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = ACCESS_HEADING)]
pub struct Access {
    /// Where the server is: http://, https:// or unix:/path
    #[arg(
        long,
        env = "INVENTOR_URL",
        hide_env_values = true,
        default_value = DEFAULT_URL,
        value_name = "URL"
    )]
    pub url: String,
    /// File whose first line is the token; instead of the variable INVENTOR_TOKEN
    #[arg(long, env = "INVENTOR_TOKEN_FILE", hide_env_values = true, value_name = "FILE", value_parser = path())]
    pub token_file: Option<PathBuf>,
    /// File of PEM certificates to trust instead of the system's
    #[arg(long, env = "INVENTOR_CA_FILE", hide_env_values = true, value_name = "FILE", value_parser = path())]
    pub ca_file: Option<PathBuf>,
    /// File with this client's PEM certificate
    #[arg(long, env = "INVENTOR_CERT", hide_env_values = true, value_name = "FILE", value_parser = path())]
    pub cert: Option<PathBuf>,
    /// File with this client's PEM key
    #[arg(long, env = "INVENTOR_KEY", hide_env_values = true, value_name = "FILE", value_parser = path())]
    pub key: Option<PathBuf>,
    /// Header field to send, for a proxy on the way; every user of the machine can see it
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The longest wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = time_to_wait)]
    pub request_timeout: Duration,
    /// The token itself or its file, whichever counts.
    #[arg(skip)]
    pub token: Option<TokenSource>,
}

impl Access {
    /// The same without empty values, and with the token from the environment unless a file is given.
    pub(super) fn completed(mut self, token: Option<String>) -> Access {
        let Access { url, token_file, ca_file, cert, key, .. } = &mut self;
        if url.is_empty() {
            *url = DEFAULT_URL.to_owned();
        }
        for file in [&mut *token_file, ca_file, cert, key] {
            file.take_if(|file| file.as_os_str().is_empty());
        }
        self.token = token_file.clone().map(TokenSource::File).or(token.map(TokenSource::Value));
        self
    }

    /// The files needed to reach the server.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.token_file, &self.ca_file, &self.cert, &self.key].into_iter().flatten().map(PathBuf::as_path)
    }
}

// A comment with three slashes would become the help of each command.
#[derive(Args)]
pub(super) struct Output {
    /// How the answer is written: table, wide, json or yaml
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    format: Format,
}

/// Registrations, said by flags or by a file.
#[derive(Args)]
pub struct RegisterCommand {
    /// File with registrations, - is standard input: file_sd JSON or YAML, or bodies of PUT /target
    #[arg(value_name = "FILE", conflicts_with_all = ["targets", "labels", "modules", "scheme", "path", "params", "scrape_interval", "scrape_timeout", "old_interval", "old_timeout"])]
    pub file: Option<PathBuf>,
    /// Address to scrape; several make one registration
    #[arg(long = "target", value_name = "HOST:PORT")]
    pub targets: Vec<String>,
    /// Label of the targets
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// Group of the registration; with a file, of those in it that name none
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Module of the exporter; several multiply the targets
    #[arg(long = "module", value_name = "MODULE")]
    pub modules: Vec<String>,
    /// How long it lives unless it is renewed, such as 10m, or never; the server decides if not given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub ttl: Option<u64>,
    /// http or https, which becomes the label __scheme__
    #[arg(long, value_name = "SCHEME")]
    pub scheme: Option<String>,
    /// Path of the metrics, which becomes __metrics_path__
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Parameter of the scrape, which becomes __param_NAME
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
    /// Time between two scrapes, which becomes __scrape_interval__
    #[arg(long, value_name = "DURATION")]
    pub scrape_interval: Option<String>,
    /// Longest time of a scrape, which becomes __scrape_timeout__
    #[arg(long, value_name = "DURATION")]
    pub scrape_timeout: Option<String>,
    /// What `--scrape-interval` was called.
    #[arg(long = "interval", hide = true, conflicts_with = "scrape_interval")]
    pub old_interval: Option<String>,
    /// What `--scrape-timeout` was called.
    #[arg(long = "timeout", hide = true, conflicts_with = "scrape_timeout")]
    pub old_timeout: Option<String>,
}

#[derive(Args)]
pub struct DeregisterCommand {
    /// File with the registrations to delete, - is standard input; only the targets in it count
    #[arg(value_name = "FILE", conflicts_with_all = ["ids", "targets"])]
    pub file: Option<PathBuf>,
    /// Address of the registration; all of them if it has several, in the same order
    #[arg(long = "target", value_name = "HOST:PORT", conflicts_with = "ids")]
    pub targets: Vec<String>,
    /// Id of a registration; can be repeated
    #[arg(long = "id", value_name = "ID")]
    pub ids: Vec<String>,
}

#[derive(Args, Clone)]
pub struct AgentCommand {
    /// Directory whose .json, .yaml and .yml files are registered
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Group of registrations that name none
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Lifetime of registrations that name none, such as 10m; the server decides if not given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub ttl: Option<u64>,
    /// Register nothing before this URL answers; {target} in it stands for the target to be registered
    #[arg(long, value_name = "URL")]
    pub wait_for: Option<String>,
    /// Directory in which the agent remembers its registrations, so that it deletes those removed while it is not running
    #[arg(long, env = "STATE_DIRECTORY", hide_env_values = true, value_name = "DIR", value_parser = path())]
    pub state_dir: Option<PathBuf>,
    /// Delete the registrations when the agent stops, instead of letting them expire
    #[arg(long)]
    pub deregister_on_stop: bool,
}

#[derive(Args)]
pub struct FollowCommand {
    /// Path of the list on the server, such as '/sd?group=node&selector=env=prod'
    #[arg(long, value_name = "PATH", default_value = "/sd")]
    pub list: String,
    /// File to keep, in JSON or YAML as its name says
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub output: PathBuf,
    /// Time between two looks
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = time_to_wait)]
    pub interval: Duration,
}

/// Which registrations.
#[derive(Args)]
pub struct Filter {
    /// Only this group; can be repeated
    #[arg(short, long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Only those whose labels match, such as 'dc=a,env notin (test)'; can be repeated, all must hold
    #[arg(short = 'l', long = "selector", value_name = "SELECTOR")]
    pub selectors: Vec<String>,
}

#[derive(Args)]
pub struct ListCommand {
    #[command(flatten)]
    pub filter: Filter,
    /// Only those in which all these words occur
    #[arg(short, long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Order by these: group, targets, expires, updated, ttl or id, joined by commas; - before one means descending
    #[arg(long, value_name = "KEYS", default_value = "group,targets", value_delimiter = ',', value_parser = sort_key, allow_hyphen_values = true)]
    pub sort: Vec<SortFlag>,
    /// The most registrations to list
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    /// Show these: targets, group, labels, modules, expires, updated, ttl or id, joined by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', hide_possible_values = true)]
    pub columns: Vec<Field>,
}

#[derive(Args)]
pub struct ExportCommand {
    #[command(flatten)]
    pub filter: Filter,
    /// How it is written: json or yaml
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "json", hide_possible_values = true, value_parser = export_format())]
    format: Format,
}

#[derive(Args)]
pub struct GetCommand {
    /// Id of the registration
    pub id: String,
}

#[derive(Args)]
pub struct GroupsCommand {
    #[command(subcommand)]
    pub action: Option<GroupAction>,
}

/// What is done with a group.
#[derive(Subcommand)]
pub enum GroupAction {
    /// Delete a group with everything that is registered in it
    Delete {
        /// The group
        name: String,
    },
}

#[derive(Args)]
pub struct ChangesCommand {
    /// Only those of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only those of this registration
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The most changes to list, of the latest
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = changes_limit)]
    pub limit: usize,
    /// Continue until interrupted
    #[arg(short, long)]
    pub follow: bool,
}

/// A group and the files that declare it.
#[derive(Args)]
pub struct GroupFiles {
    /// The group
    #[arg(short, long, value_name = "GROUP")]
    pub group: String,
    /// Files with the registrations of the group, - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

#[derive(Args)]
pub struct SyncCommand {
    #[command(flatten)]
    pub declared: GroupFiles,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take over targets that are registered in another group
    #[arg(long)]
    pub adopt: bool,
    /// Delete the whole group if the files hold nothing
    #[arg(long)]
    pub allow_empty: bool,
    /// How long the registrations live unless they are declared again; for ever if not given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub ttl: Option<u64>,
}

#[derive(Args)]
pub struct ImportCommand {
    /// Files, - is standard input, or URLs of http_sd lists
    #[arg(value_name = "FILE|URL", required = true)]
    pub sources: Vec<OsString>,
    /// Group of registrations that name none
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Lifetime of registrations that name none, unless they are renewed
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub ttl: Option<u64>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// File whose first line is the token for the URLs; the token for the server is not sent there
    #[arg(long, value_name = "FILE")]
    pub source_token_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct CheckCommand {
    /// Files to check, - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Label names that the server accepts: legacy or utf8
    #[arg(long, value_name = "NAMES", default_value = "legacy", value_parser = label_names)]
    pub label_names: LabelNames,
}

#[derive(Args)]
pub struct TokenCommand {
    /// Name of whoever gets the token; it appears in the log
    pub name: String,
    /// What it may do
    #[arg(value_parser = ["read", "write"])]
    pub role: String,
    /// The groups it is for: * or names joined by commas, each of which may end in *
    pub groups: String,
    /// File of tokens to which the line is added, instead of printing it; made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}
