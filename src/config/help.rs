//! The help besides the flags: the overview, an example for each command, and what all have in common.

/// The output of `inventor --help`: the commands by purpose.
pub(super) const OVERVIEW: &str = "\
Prometheus HTTP service discovery: scrape targets are registered over a small
REST API and expire unless renewed

Usage: inventor COMMAND [OPTIONS]

Register
  register     Register targets, or renew them
  deregister   Delete registrations
  agent        Keep the registrations in a directory's files alive
  import       Register what files or http_sd URLs hold
Beside Prometheus
  follow       Keep a list in a file that Prometheus reads
Look
  list         List registrations            export       Print them for import
  get          Show one                      groups       List or delete groups
  status       How the server is doing       changes      What changed, by whom
  pollers      Who polls                     problems     What is wrong
Declare a group
  diff         Show what differs from files  sync         Make it what files say
  check        What the server would refuse, without a server
Run a server
  serve        The server; its settings are in `inventor serve --help`
  healthcheck  Ask the server on this machine whether it is ready, or alive
  token        Create a token for some groups or all
Shell
  completions  For bash, zsh, fish and others
  man          Write the manual pages
  help         This, or the help of a command

INVENTOR_URL    Where the server is [default: http://localhost:9101]
INVENTOR_TOKEN  The token; or INVENTOR_TOKEN_FILE, a file with it

`inventor COMMAND -h` shows a command's own flags, `--help` all of it.
With settings alone, such as API_TOKEN, `inventor` is the server.
";

/// The exit codes, the same for all commands.
pub(super) const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "done; nothing differs"),
    ("1", "the answer is no: something differs, is not there, or is not ready"),
    ("2", "refused by the server, or the command line, a file or a setting is wrong"),
    ("3", "the server cannot be reached or fails, or another program answers"),
    ("130", "interrupted; the output says what was done"),
];

pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    ("INVENTOR_URL", "where the server is: http://, https:// or unix:/path; http://localhost:9101 if not set"),
    ("INVENTOR_TOKEN", "the token"),
    ("INVENTOR_TOKEN_FILE", "a file whose first line is the token; it is used instead of INVENTOR_TOKEN"),
    ("INVENTOR_CA_FILE", "certificates to trust instead of the system's, as --ca-file"),
    ("INVENTOR_CERT, INVENTOR_KEY", "certificate and key of this client, as --cert and --key"),
    ("NO_COLOR", "no colours if it is set"),
];

const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "register",
        &["inventor register --target db-1:9187 --group db --label dc=fra --ttl 10m", "inventor register targets.yaml"],
    ),
    (
        "deregister",
        &["inventor deregister --target db-1:9187", "inventor deregister --id 7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"],
    ),
    ("agent", &["inventor agent --dir /etc/inventor.d --wait-for 'http://{target}/metrics'"]),
    ("follow", &["inventor follow --list '/sd?group=node' --output /var/lib/prometheus/targets/node.json"]),
    (
        "list",
        &[
            "inventor list -g db -l 'dc in (fra,ams)' --sort=expires",
            "inventor list --columns targets,updated,id -o wide",
        ],
    ),
    ("get", &["inventor get 7214ebb0-ab3e-513a-bafe-fb6b460c2cfa"]),
    ("groups", &["inventor groups", "inventor groups delete db"]),
    ("status", &["inventor status"]),
    ("pollers", &["inventor pollers"]),
    ("changes", &["inventor changes --follow -g db"]),
    ("problems", &["inventor problems -o json"]),
    ("sync", &["inventor sync -g db db.yaml", "inventor sync -g db --dry-run -o json db.yaml"]),
    ("diff", &["inventor diff -g db db.yaml"]),
    ("import", &["inventor import -g node /etc/prometheus/targets/*.json", "inventor import http://old:9101/sd"]),
    ("export", &["inventor export -g db >db.json", "INVENTOR_URL=http://old:9101 inventor export | inventor import -"]),
    ("check", &["inventor check targets.yaml"]),
    ("token", &["inventor token team-a write 'team-a,team-a-*' --file /etc/inventor/tokens"]),
    ("completions", &["inventor completions bash >/usr/share/bash-completion/completions/inventor"]),
    ("man", &["inventor man /usr/local/share/man/man1"]),
    ("serve", &["inventor serve --api-token-file /etc/inventor/token --data-dir /var/lib/inventor"]),
    ("healthcheck", &["inventor healthcheck healthy --listen-port 9101"]),
];

pub(super) fn examples(command: &str) -> &'static [&'static str] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| examples)
}

/// The end of the short help, after the flags.
pub(super) fn short(command: &str) -> String {
    let example = examples(command).first().map(|example| format!("Example: {example}\n")).unwrap_or_default();
    format!("{example}Where the server is, tokens and TLS: `inventor {command} --help`")
}

/// The end of the long help, after the flags.
pub(super) fn long(command: &str) -> String {
    let mut text = "Examples:\n".to_owned();
    examples(command).iter().for_each(|example| text += &format!("  {example}\n"));
    text += "\nExit codes:\n";
    EXIT_CODES.iter().for_each(|(code, meaning)| text += &format!("  {code:<4} {meaning}\n"));
    text.trim_end().to_owned()
}

/// Wraps the text to this many columns. Later lines of a flag are aligned with its description.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let indent = description_at(line);
        let mut rest = line.to_owned();
        while let Some(at) = rest.char_indices().nth(columns).and_then(|(end, c)| rest[..end + c.len_utf8()].rfind(' '))
            && at > indent
        {
            out.extend([rest[..at].trim_end(), "\n"]);
            rest = " ".repeat(indent) + &rest[at + 1..];
        }
        out.extend([&*rest, "\n"]);
    }
    out
}

/// The column at which a line's description begins, after a name and a gap; without a gap, that of the line.
fn description_at(line: &str) -> usize {
    let start = line.len() - line.trim_start().len();
    let gap = line[start..].find("  ").map_or(start, |at| start + at);
    line.len() - line[gap..].trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_fits_a_screen() {
        assert!(OVERVIEW.lines().all(|line| line.len() <= 80), "{OVERVIEW}");
    }

    #[test]
    fn long_lines_go_on_below_their_description() {
        let text = "Usage: x\n\n  -g, --group <G>  Only this group; can be repeated\n      --all        All\n";
        let expected = "Usage: x\n\n  -g, --group <G>  Only this\n                   group; can be\n                   repeated\n      --all        All\n";
        assert_eq!(wrapped(text, 32), expected);
        assert_eq!(wrapped(text, 80), text);
        // A screen too narrow for anything changes nothing, and neither does a word without an end.
        assert_eq!(wrapped("  -g  ääääääääääää ä\n", 8), "  -g  ääääääääääää ä\n");
    }
}
