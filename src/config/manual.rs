//! Manual pages and completions, derived from the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

use super::command_line::{self, Help};
use super::help;
use super::variables::VARIABLES;

/// The month of this version, for the foot of its pages.
const DATE: &str = "November 2026";

pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_values(command_line::commands(Help::Long)), "inventor", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + BASH,
        Shell::Fish => script + FISH,
        // The file ends with a call of the function that completes.
        Shell::Zsh => ZSH_ACTIONS
            .iter()
            .fold(script, |script, (before, after)| script.replace(before, after))
            .replacen("\n_inventor() {", &format!("\n{ZSH}\n_inventor() {{"), 1),
        _ => script,
    }
}

/// The keys by which a list is sorted, without their descending forms.
const SORT_KEYS: [&str; 6] = ["group", "targets", "expires", "updated", "ttl", "id"];

/// The command line with the values of switches, and without file names as completions where no file is meant.
fn with_values(command: Command) -> Command {
    let is_file = |argument: &Arg| {
        let id = argument.get_id().as_str().to_ascii_lowercase();
        ["file", "dir", "cert", "key", "ca", "sources"]
            .iter()
            .any(|word| id.split('_').any(|part| part.starts_with(word)))
    };
    let with_value = move |argument: Arg| {
        let is_switch = VARIABLES.iter().any(|variable| {
            variable.name == argument.get_id().as_str() && matches!(variable.default, Some("on" | "off"))
        });
        match () {
            () if is_switch => argument.value_parser(["on", "off"]),
            () if argument.get_id() == "sort" => argument.value_parser(SORT_KEYS),
            () if is_file(&argument) || !argument.get_action().takes_values() => argument,
            () if argument.get_value_hint() == ValueHint::Unknown => argument.value_hint(ValueHint::Other),
            () => argument,
        }
    };
    command.mut_args(with_value).mut_subcommands(with_values)
}

/// Groups and ids come from the server, if it answers soon. Anybody who may register may name a group, so a name must
/// only ever be data: `compgen -W` would execute its content, and an unquoted name what follows it. Ids are searched
/// for by their beginning once it has as many digits as a search needs.
const BASH: &str = r#"
_inventor_offer() {
    local current="$1" value quoted
    COMPREPLY=()
    while IFS= read -r value; do
        printf -v quoted %q "$value"
        case "$value" in "$current"*) COMPREPLY+=("$quoted"); continue ;; esac
        case "$quoted" in "$current"*) COMPREPLY+=("$quoted") ;; esac
    done
}
_inventor_values() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
    case "$previous" in
        -g | --group | delete)
            _inventor_offer "$current" < <(inventor groups --request-timeout 200ms 2>/dev/null | cut -f1)
            return ;;
        get | --id)
            local query=()
            [ "${#current}" -lt 8 ] || query=(--query "$current")
            _inventor_offer "$current" < <(inventor list "${query[@]}" --columns id --limit 1000 --sort id --request-timeout 200ms 2>/dev/null)
            [ -z "${COMPREPLY[*]}" ] || return ;;
    esac
    _inventor "$@"
}
complete -F _inventor_values -o nosort -o bashdefault -o default inventor
"#;

const FISH: &str = r#"
complete -c inventor -n '__fish_seen_subcommand_from list export changes register agent sync diff import' -s g -l group -x -a '(inventor groups --request-timeout 200ms 2>/dev/null | cut -f1)'
complete -c inventor -n '__fish_seen_subcommand_from groups; and __fish_seen_subcommand_from delete' -f -a '(inventor groups --request-timeout 200ms 2>/dev/null | cut -f1)'
complete -c inventor -n '__fish_seen_subcommand_from get' -f -a '(inventor list (commandline -ct | string match -r -- "^.{8,}" | string replace -r "^" -- --query=) --columns id --limit 1000 --sort id --request-timeout 200ms 2>/dev/null)'
complete -c inventor -n '__fish_seen_subcommand_from deregister changes' -l id -x -a '(inventor list (commandline -ct | string match -r -- "^.{8,}" | string replace -r "^" -- --query=) --columns id --limit 1000 --sort id --request-timeout 200ms 2>/dev/null)'
"#;

const ZSH: &str = r#"_inventor_groups() {
    local -a groups=("${(@f)$(inventor groups --request-timeout 200ms 2>/dev/null | cut -f1)}")
    compadd -a groups
}
_inventor_ids() {
    local -a query
    (( $#PREFIX < 8 )) || query=(--query "$PREFIX")
    local -a ids=("${(@f)$(inventor list $query --columns id --limit 1000 --sort id --request-timeout 200ms 2>/dev/null)}")
    compadd -a ids
}
"#;

/// Arguments without an action, and the same with one.
const ZSH_ACTIONS: [(&str, &str); 4] = [
    (":GROUP:'", ":GROUP:_inventor_groups'"),
    (":name -- The group:'", ":name -- The group:_inventor_groups'"),
    (":ID:'", ":ID:_inventor_ids'"),
    (":id -- Id of the registration:'", ":id -- Id of the registration:_inventor_ids'"),
];

/// Writes manual pages for the program and each command into the directory, which is created if necessary.
pub fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut root = command_line::commands(Help::Long).disable_help_subcommand(true);
    root.build();
    let names: Vec<String> = root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    write_page(&root, "inventor", None, &names, directory)?;
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("inventor-{}", command.get_name());
        write_page(command, &name, Some(command.get_name()), &[], directory)?;
    }
    Ok(())
}

fn write_page(
    command: &Command,
    name: &str,
    subcommand: Option<&str>,
    others: &[String],
    directory: &Path,
) -> io::Result<()> {
    let source = format!("inventor {}", env!("CARGO_PKG_VERSION"));
    let named = command.clone().name(name.to_owned()).after_help("").after_long_help("");
    let man = Man::new(named).title(name.to_uppercase()).date(DATE).source(source).manual("Manual of inventor");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    // Includes values, which clap_mangen's own section leaves out.
    let usage = command.clone().render_usage().to_string();
    writeln!(page, ".SH SYNOPSIS\n{}", escaped(usage.trim_start_matches("Usage: ").trim()))?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if subcommand.is_none() {
        man.render_subcommands_section(&mut page)?;
    }
    let is_server = matches!(subcommand, Some("serve" | "healthcheck"));
    terms(&mut page, "EXIT STATUS", help::EXIT_CODES)?;
    if !is_server {
        terms(&mut page, "ENVIRONMENT", help::ENVIRONMENT)?;
    }
    terms(&mut page, "FILES", files(subcommand))?;
    let examples = subcommand.map_or(&["inventor list", "inventor status"][..], help::examples);
    writeln!(page, ".SH EXAMPLES")?;
    for example in examples {
        writeln!(page, ".PP\n.nf\n{}\n.fi", escaped(example))?;
    }
    writeln!(page, ".SH \"SEE ALSO\"")?;
    let also = others.iter().map(|other| format!("inventor-{other}"));
    let also: Vec<String> = if subcommand.is_some() { vec!["inventor".to_owned()] } else { also.collect() };
    let also: Vec<String> = also.iter().map(|page| format!("\\fB{}\\fR(1)", page.replace('-', "\\-"))).collect();
    writeln!(page, "{}", also.join(", "))?;
    fs::write(directory.join(format!("{name}.1")), page)
}

/// The files that a command reads by itself.
fn files(subcommand: Option<&str>) -> &'static [(&'static str, &'static str)] {
    match subcommand {
        Some("serve") => &[(".env", "settings, in the working directory; not read when APP_ENV is set")],
        Some("agent") => &[
            ("DIR/*.json, DIR/*.yaml, DIR/*.yml", "what is registered"),
            ("STATE_DIRECTORY/agent.json", "what the agent remembers from one run to the next"),
        ],
        _ => &[],
    }
}

fn terms(page: &mut Vec<u8>, title: &str, terms: &[(&str, &str)]) -> io::Result<()> {
    if terms.is_empty() {
        return Ok(());
    }
    writeln!(page, ".SH \"{title}\"")?;
    terms.iter().try_for_each(|(term, meaning)| writeln!(page, ".TP\n\\fB{}\\fR\n{}", escaped(term), escaped(meaning)))
}

/// Escapes text for roff.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    // A line that begins like this would be a request.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
