//! The commands of the client, their flags and what these mean.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{duration, server};
use crate::registration::{LabelNames, Ttl};

/// What the client is to do.
pub struct Client {
    /// The command.
    pub command: ClientCommand,
    /// The token from the environment.
    pub token: Option<TokenSource>,
    /// Whether colours are welcome, if the output is a terminal.
    pub color: bool,
    /// The filter of the log, which only the agent has.
    pub log: Option<String>,
}

/// Where the client's token comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// This is it.
    Value(String),
    /// The first line of this file.
    File(PathBuf),
}

/// The commands of the client.
#[derive(Subcommand)]
pub enum ClientCommand {
    /// Register targets, or renew them if they are registered
    Register(Register),
    /// Delete registrations
    Deregister(Deregister),
    /// Keep what the files of a directory hold registered, until told to stop
    Agent(Agent),
    /// List registrations
    List(List),
    /// Show one registration
    Get(View),
    /// List the groups
    Groups(Overview),
    /// Show how the server is doing
    Status(Overview),
    /// Make a group be exactly what these files hold
    Sync(Sync),
    /// Show what `sync` would change; the exit code is 1 if it is anything
    Diff(Diff),
    /// Register what files or http_sd URLs hold
    Import(Import),
    /// Print registrations in a form that `import` and `register` read
    Export(Selection),
    /// Say what the server would refuse, without a server
    Check(LocalCheck),
    /// Make a token: itself on standard error, its line for TOKENS_FILE on standard output
    Token(NewToken),
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

/// How to reach the server.
#[derive(Args, Clone)]
#[command(next_help_heading = "Server")]
pub struct Access {
    /// Where the server is: http://, https:// or unix:/path
    #[arg(
        long,
        env = "INVENTOR_URL",
        hide_env_values = true,
        default_value = "http://localhost:9101",
        value_name = "URL"
    )]
    pub url: String,
    /// File whose first line is the token; instead of the variable INVENTOR_TOKEN
    #[arg(long, env = "INVENTOR_TOKEN_FILE", hide_env_values = true, value_name = "FILE", value_parser = path())]
    pub token_file: Option<PathBuf>,
    /// File of PEM certificates to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// File with this client's PEM certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// File with this client's PEM key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Header field to send, for a proxy on the way; every user of the machine can see it
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The longest wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = time_to_wait)]
    pub request_timeout: Duration,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; lines with tabs when the output is no terminal
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// How the answer is written.
#[derive(Args, Clone, Copy)]
pub struct Output {
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Registrations, said by flags or by a file.
#[derive(Args)]
pub struct Declaration {
    /// File with registrations, - is standard input: file_sd JSON or YAML, or bodies of PUT /target
    #[arg(value_name = "FILE", conflicts_with_all = ["targets", "labels", "modules", "scheme", "path", "params", "interval", "scrape_timeout"])]
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
    pub interval: Option<String>,
    /// Longest time of a scrape, which becomes __scrape_timeout__
    #[arg(long = "timeout", value_name = "DURATION")]
    pub scrape_timeout: Option<String>,
}

/// `inventor register`
#[derive(Args)]
pub struct Register {
    #[command(flatten)]
    pub declaration: Declaration,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor deregister`
#[derive(Args)]
pub struct Deregister {
    /// Id of a registration
    #[arg(long = "id", value_name = "ID", conflicts_with_all = ["file", "targets"])]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub declaration: Declaration,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor agent`
#[derive(Args)]
pub struct Agent {
    /// Directory whose .json, .yaml and .yml files are registered
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Group of what names none
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// How long what names no lifetime lives unless it is renewed, such as 10m; the server decides if not given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub ttl: Option<u64>,
    /// Register nothing before this URL answers; {target} in it stands for the target to be registered
    #[arg(long, value_name = "URL")]
    pub wait_for: Option<String>,
    /// Directory in which the agent remembers what it has registered, so that it deletes what is removed while it does not run
    #[arg(long, env = "STATE_DIRECTORY", hide_env_values = true, value_name = "DIR", value_parser = path())]
    pub state_dir: Option<PathBuf>,
    /// Delete the registrations when the agent stops, instead of letting them expire
    #[arg(long)]
    pub deregister_on_stop: bool,
    #[command(flatten)]
    pub access: Access,
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

/// `inventor list`
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    pub filter: Filter,
    /// Only those in which all these words occur
    #[arg(short, long, value_name = "TEXT")]
    pub query: Option<String>,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor export`
#[derive(Args)]
pub struct Selection {
    #[command(flatten)]
    pub filter: Filter,
    /// How it is written: json or yaml
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "json")]
    pub format: Format,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor get`
#[derive(Args)]
pub struct View {
    /// Id of the registration
    pub id: String,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor groups`, `inventor status`
#[derive(Args)]
pub struct Overview {
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub access: Access,
}

/// A group and the files that declare it.
#[derive(Args)]
pub struct DeclaredGroup {
    /// The group
    #[arg(short, long, value_name = "GROUP")]
    pub group: String,
    /// Files with the registrations of the group, - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// `inventor sync`
#[derive(Args)]
pub struct Sync {
    #[command(flatten)]
    pub declared: DeclaredGroup,
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
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor diff`
#[derive(Args)]
pub struct Diff {
    #[command(flatten)]
    pub declared: DeclaredGroup,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor import`
#[derive(Args)]
pub struct Import {
    /// Files, - is standard input, or URLs of http_sd lists
    #[arg(value_name = "FILE|URL", required = true)]
    pub sources: Vec<OsString>,
    /// Group of those that name none
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// How long those that name no lifetime live unless they are renewed
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub ttl: Option<u64>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub access: Access,
}

/// `inventor check`
#[derive(Args)]
pub struct LocalCheck {
    /// Files to check, - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Label names that the server accepts: legacy or utf8
    #[arg(long, value_name = "NAMES", default_value = "legacy", value_parser = label_names)]
    pub label_names: LabelNames,
}

/// `inventor token`
#[derive(Args)]
pub struct NewToken {
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
    #[command(flatten)]
    pub output: Output,
}

/// A path of which an empty one counts as not given, which clap's own parser refuses.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn lifetime(text: &str) -> Result<u64, String> {
    let seconds = match text {
        "never" => Some(0),
        _ => duration::parse(text).filter(|ttl| ttl.subsec_nanos() == 0 && !ttl.is_zero()).map(|ttl| ttl.as_secs()),
    };
    let expected = "expected whole seconds such as 10m or 1h30m, or never";
    seconds.filter(|seconds| *seconds <= Ttl::SECONDS_MAX).ok_or_else(|| expected.to_owned())
}

fn time_to_wait(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text).filter(|wait| !wait.is_zero()).ok_or("expected a duration such as 10s")
}

fn label_names(text: &str) -> Result<LabelNames, &'static str> {
    server::label_names(text).ok_or("expected legacy or utf8")
}
