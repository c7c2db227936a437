//! The commands that say a thing once, their exit codes, and what they say when it does not work.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Cli, listed};
use crate::server::{Server, Setup};

#[test]
fn flags_describe_a_registration_and_its_scrape() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let id = cli.ends_with(
        0,
        &[
            "register",
            "--target",
            "a:1",
            "--target",
            "b:1",
            "--label",
            "dc=x=y",
            "-g",
            "node",
            "--module",
            "m",
            "--ttl",
            "1h30m",
            "--scheme",
            "https",
            "--path",
            "/m",
            "--param",
            "k=v",
            "--scrape-interval",
            "30s",
            "--scrape-timeout",
            "10s",
        ],
    );
    let found = server.find(format!(r#"{{"id":"{}"}}"#, id.trim())).json()["static_config"].clone();
    assert_eq!(found["targets"], json!(["a:1", "b:1"]));
    assert_eq!((&found["target_group"], &found["modules"]), (&json!("node"), &json!(["m"])));
    assert_eq!(found["ttl_seconds"], 5400);
    let labels = json!({
        "dc": "x=y", "__scheme__": "https", "__metrics_path__": "/m", "__param_k": "v",
        "__scrape_interval__": "30s", "__scrape_timeout__": "10s",
    });
    assert_eq!(found["labels"], labels);
    let json = cli.ends_with(0, &["register", "--target", "a:1", "-o", "json", "--ttl", "never"]);
    let registered: Value = serde_json::from_str(&json).unwrap();
    let again = server.find(registered.to_string()).json();
    assert_eq!(again["static_config"]["ttl_seconds"], 0);
    assert_eq!(
        cli.ends_with(0, &["register", "--target", "a:1", "-o", "yaml"]),
        format!("id: \"{}\"", registered["id"].as_str().unwrap())
    );
}

#[test]
fn what_prometheus_would_refuse_is_wrong_usage() {
    let cli = Cli::at("http://127.0.0.1:9");
    for (flags, words) in [
        (&["--scrape-interval", "5s", "--scrape-timeout", "10s"][..], &["--scrape-timeout", "10s"][..]),
        (&["--scrape-interval", "soon"], &["--scrape-interval", "soon"]),
        (&["--scrape-interval", "0s"], &["--scrape-interval"]),
        (&["--scrape-timeout", "1.5s"], &["--scrape-timeout"]),
        (&["--scheme", "ftp"], &["--scheme", "ftp"]),
        (&["--path", "metrics?x=1"], &["--path", "--param"]),
        (&["--label", "__scheme__=http", "--scheme", "https"], &["__scheme__", "twice"]),
        (&["--label", "a=1", "--label", "a=2"], &["a", "twice"]),
        (&["--label", "=1"], &["a name is empty"]),
        (&["--label", "a"], &["NAME=VALUE"]),
        (&["--ttl", "500ms"], &["--ttl", "never"]),
        (&["--ttl", "0"], &["--ttl"]),
    ] {
        cli.fails_with(2, &[&["register", "--target", "a:1"], flags].concat(), words);
    }
    cli.fails_with(2, &["register"], &["--target"]);
    cli.fails_with(2, &["register", "--target", ""], &["--target", "empty"]);
    cli.fails_with(2, &["register", "missing.json"], &["missing.json", "cannot be read"]);
    cli.fails_with(2, &["register", "f", "--target", "a:1"], &["--target"]);
    cli.fails_with(2, &["--api-token", "x", "list"], &["--api-token", "list"]);
}

#[test]
fn old_names_of_flags_go_on_working_with_a_word() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let outcome = cli.run(&["register", "--target", "a:1", "--interval", "30s", "--timeout", "3s"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for name in ["--scrape-interval", "--scrape-timeout"] {
        assert!(outcome.stderr.contains(name), "{outcome:?}");
    }
    let labels = server.discover()[0]["labels"].clone();
    assert_eq!(labels, json!({"__scrape_interval__": "30s", "__scrape_timeout__": "3s"}));
}

#[test]
fn a_flag_that_a_command_does_not_use_is_not_taken() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.ends_with(0, &["register", "--target", "a:1", "-g", "g1", "--label", "x=y"]);
    for flag in [
        &["-g", "other"][..],
        &["--label", "nope=1"],
        &["--module", "m"],
        &["--ttl", "10m"],
        &["--scheme", "http"],
        &["--path", "/m"],
        &["--param", "a=b"],
        &["--scrape-interval", "30s"],
        &["--interval", "30s"],
        &["-o", "json"],
    ] {
        cli.fails_with(2, &[&["deregister", "--target", "a:1"], flag].concat(), &[flag[0]]);
    }
    cli.fails_with(2, &["export", "-o", "table"], &["table"]);
    cli.fails_with(2, &["deregister"], &["--target", "--id", "inventor deregister --help"]);
    assert_eq!(listed(&server), ["a:1"]);
    cli.ends_with(0, &["deregister", "--target", "a:1", "--timeout", "3s"]);
}

#[test]
fn help_has_a_short_and_a_long_form() {
    let cli = Cli::at("http://127.0.0.1:1");
    let overview = cli.ends_with(0, &["help"]);
    assert_eq!(overview, cli.ends_with(0, &["--help"]));
    for word in ["deregister", "pollers", "problems", "INVENTOR_URL", "INVENTOR_TOKEN", "serve"] {
        assert!(overview.contains(word), "{word}: {overview}");
    }
    assert!(overview.lines().count() < 50 && !overview.contains("--redis"), "{overview}");
    let alone = cli.run(&[]);
    assert_eq!((alone.code, alone.stderr.trim()), (Some(2), overview.trim()), "without any setting it is no server");
    for command in [
        "register",
        "deregister",
        "agent",
        "follow",
        "list",
        "get",
        "groups",
        "status",
        "pollers",
        "changes",
        "problems",
        "sync",
        "diff",
        "import",
        "export",
        "check",
        "token",
        "completions",
        "man",
        "healthcheck",
    ] {
        let (short, long) = (cli.ends_with(0, &[command, "-h"]), cli.ends_with(0, &[command, "--help"]));
        assert!(long.contains("Exit codes:") && long.contains(&format!("inventor {command}")), "{long}");
        assert!(short.lines().count() < long.lines().count() && short.lines().count() < 30, "{short}");
        assert!(long.lines().count() < 50, "{long}");
        assert!(!short.contains("--ca-file"), "{short}");
        assert_eq!(cli.ends_with(0, &["help", command]), long);
    }
    assert!(cli.ends_with(0, &["version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn deregistering_says_what_was_not_there() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file = cli.write("f.json", r#"[{"targets": ["a:1"]}, {"targets": ["b:1"]}, {"targets": ["c:1"]}]"#);
    let file = file.to_str().unwrap();
    let ids = cli.ends_with(0, &["register", file]);
    assert_eq!(listed(&server), ["a:1", "b:1", "c:1"]);
    cli.ends_with(0, &["deregister", "--id", ids.lines().next().unwrap()]);
    cli.ends_with(0, &["deregister", "--target", "b:1"]);
    cli.fails_with(1, &["deregister", file], &["not registered", ids.lines().next().unwrap()]);
    assert!(listed(&server).is_empty(), "the others are deleted all the same");
    cli.fails_with(2, &["deregister", "--id", "nonsense"], &["nonsense", "not a UUID"]);
}

#[test]
fn the_exit_code_tells_a_refusal_from_an_outage() {
    let server = Server::start(&[("SD_TOKEN", "reader")]);
    let cli = Cli::of(&server);
    let register = ["register", "--target", "a:1"];
    cli.fails_with(2, &["register", "--target", "a:1", "--label", "a-b=c"], &["a-b", "LABEL_NAMES"]);
    cli.env("INVENTOR_TOKEN", "wrong").fails_with(2, &register, &["does not accept this token", "INVENTOR_TOKEN"]);
    cli.env("INVENTOR_TOKEN", "").fails_with(2, &register, &["wants a token", "INVENTOR_TOKEN"]);
    Cli::at("http://127.0.0.1:1").fails_with(3, &register, &["http://127.0.0.1:1", "Is it running", "--url"]);
    Cli::at("http://nowhere.invalid").fails_with(3, &register, &["nowhere.invalid"]);
    Cli::at("unix:/nowhere/socket").fails_with(3, &register, &["unix:/nowhere/socket"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    Cli::at(&url).fails_with(3, &["list", "--timeout", "200ms"], &["no answer in time"]);
    for url in ["ftp://x", "localhost:9101", "http://", "nonsense", "http://x:99999", "http://x/?y=1"] {
        Cli::at(url).fails_with(2, &register, &["--url"]);
    }
}

#[test]
fn no_message_shows_a_token_or_a_password() {
    let cli = Cli::at("http://user:geheim@127.0.0.1:1");
    let outcome = cli.run(&["status"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("password") && !outcome.stderr.contains("geheim"), "{outcome:?}");
    let outcome = Cli::at("http://127.0.0.1:1").run(&["status", "--header", "Authorization geheim"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(!outcome.stderr.contains("geheim"), "{outcome:?}");
    let outcome = Cli::at("http://127.0.0.1:1").env("INVENTOR_TOKEN", "gehe\nim").run(&["status"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("INVENTOR_TOKEN") && !outcome.stderr.contains("gehe"), "{outcome:?}");
    for arguments in [&["--help"][..], &["list", "--help"], &["agent", "--help"]] {
        let help = Cli::at("http://127.0.0.1:1").env("INVENTOR_TOKEN", "geheim").ends_with(0, arguments);
        assert!(!help.contains("geheim") && !help.contains("--token "), "{help}");
    }
}

#[test]
fn the_token_may_be_in_a_file_and_the_file_wins() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server).env("INVENTOR_TOKEN", "wrong");
    let token = cli.write("token", "\nsecret\nother\n");
    cli.ends_with(0, &["register", "--target", "a:1", "--token-file", token.to_str().unwrap()]);
    cli.env("INVENTOR_TOKEN_FILE", token.to_str().unwrap()).ends_with(0, &["register", "--target", "a:1"]);
    cli.fails_with(2, &["list", "--token-file", "missing"], &["--token-file missing", "cannot be read"]);
    let empty = cli.write("empty", "\n");
    cli.fails_with(2, &["list", "--token-file", empty.to_str().unwrap()], &["holds nothing"]);
}

#[test]
fn the_client_reads_no_dot_env() {
    let cli = Cli::at("http://127.0.0.1:1");
    cli.write(".env", "INVENTOR_TOKEN_FILE=missing\nthis is no assignment\n");
    cli.fails_with(3, &["status"], &["no answer from http://127.0.0.1:1"]);
}

#[test]
fn serve_is_the_server_and_takes_its_flags_before_and_after() {
    let setup = Setup::new().without("LISTEN_PORT").argument("--listen-port=0").argument("serve");
    let server = setup.argument("--ttl-seconds=77").start();
    assert_eq!(server.get("/discover").status, 200);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_token_is_random_and_its_line_is_of_its_hash() {
    let cli = Cli::at("http://127.0.0.1:1");
    let outcome = cli.run(&["token", "ci", "write", "node,db*,a b"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let secret =
        outcome.stderr.lines().find(|line| line.len() == 43 && !line.contains(' ')).expect("the token is shown");
    let hash = outcome.stdout.strip_prefix("ci write node,db*,a%20b sha256:").expect("the line is for the file");
    let digest =
        std::process::Command::new("sh").args(["-c", "printf %s \"$0\" | sha256sum", secret]).output().unwrap();
    assert!(String::from_utf8_lossy(&digest.stdout).starts_with(hash), "{outcome:?}");
    let other: Value = serde_json::from_str(&cli.run(&["token", "-o", "json", "ci", "read", "*"]).stdout).unwrap();
    assert_ne!(other["secret"], secret);
    assert!(other["line"].as_str().unwrap().starts_with("ci read * sha256:"));
    for (arguments, word) in [
        (["token", "api", "read", "*"], "api"),
        (["token", "a b", "read", "*"], "a b"),
        (["token", "o/ps", "read", "*"], "not a name"),
        (["token", "zürich", "read", "*"], "not a name"),
        (["token", "ci", "read", "%ff"], "not a group"),
        (["token", "ci", "admin", "*"], "admin"),
        (["token", "ci", "read", "a,,b"], "not a group"),
        (["token", "ci", "read", "a*b"], "at the end of a name"),
        (["token", "ci", "read", "100%"], "%25"),
    ] {
        cli.fails_with(2, &arguments, &[word]);
    }
}

#[test]
fn a_token_is_added_to_a_file_that_the_server_takes_at_any_moment() {
    let cli = Cli::at("http://127.0.0.1:1");
    let mut secrets = Vec::new();
    for name in ["one", "two", "three"] {
        let made = cli.run(&["token", "--file", "tokens", "-o", "json", name, "write", "*"]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let made: Value = serde_json::from_str(&made.stdout).unwrap();
        secrets.push(made["secret"].as_str().unwrap().to_owned());
        // An editor has left the last line without its end.
        let text = fs::read_to_string(cli.path("tokens")).unwrap();
        fs::write(cli.path("tokens"), text.trim_end()).unwrap();
    }
    let mode = fs::metadata(cli.path("tokens")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a new file is for its owner alone");
    let server = Server::start(&[("TOKENS_FILE", cli.path("tokens").to_str().unwrap())]);
    for secret in secrets {
        Cli::of(&server).env("INVENTOR_TOKEN", &secret).ends_with(0, &["register", "--target", "a:1"]);
    }
    let before = fs::read(cli.path("tokens")).unwrap();
    cli.fails_with(
        2,
        &["token", "--file", "tokens", "two", "read", "*"],
        &["--file tokens", "repeats the name of two"],
    );
    cli.fails_with(2, &["token", "--file", "nowhere/tokens", "new", "read", "*"], &["--file nowhere/tokens"]);
    cli.write("broken", "no line\n");
    cli.fails_with(2, &["token", "--file", "broken", "new", "read", "*"], &["--file broken: line 1"]);
    assert_eq!(fs::read(cli.path("tokens")).unwrap(), before);
    assert!(!cli.path(".tokens.new").exists(), "nothing is left behind");
}

#[test]
fn completions_know_every_command_and_what_the_server_has() {
    let cli = Cli::at("http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.ends_with(0, &["completions", shell]);
        for word in ["deregister", "token-file", "wait-for"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        // Groups and ids are asked for wherever they are meant.
        let asks: &[&str] = match shell {
            "zsh" => &[
                "]:GROUP:_inventor_groups'",
                ":name -- The group:_inventor_groups'",
                "]:ID:_inventor_ids'",
                ":id -- Id of the registration:_inventor_ids'",
            ],
            "fish" => &["from groups; and __fish_seen_subcommand_from delete' -f -a '(inventor groups"],
            _ => &["-g | --group | delete)"],
        };
        asks.iter().for_each(|ask| assert!(script.contains(ask), "{shell}: {ask}"));
    }
    cli.fails_with(2, &["completions", "perl"], &["perl"]);
    let server = Server::start(&[]);
    let hostile = ["zeta$(touch run)", "zeta`touch run`", "zeta;touch run"];
    for group in ["alpha", "beta gamma"].into_iter().chain(hostile) {
        server.register(format!(r#"{{"static_config": {{"targets": ["{group}:1"], "target_group": "{group}"}}}}"#));
    }
    let script = cli.ends_with(0, &["completions", "bash"]);
    // Who types waits no longer than this; what is offered at all is not a matter of how busy the machine is.
    let patience = "--request-timeout 200ms";
    assert!(script.contains(patience), "{script}");
    let script = cli.write("completions.bash", script.replace(patience, "--request-timeout 60s"));
    let complete = |words: &str| -> String {
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_inventor")).parent().unwrap().to_owned();
        let ask = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _inventor_values inventor \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s|' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let mut command = std::process::Command::new("bash");
        command
            .args(["--norc", "-c", &ask])
            .current_dir(cli.path(""))
            .env("INVENTOR_URL", format!("http://{}", server.address()));
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
        String::from_utf8(command.env("PATH", path).output().unwrap().stdout).unwrap()
    };
    // What is offered is a word of the shell, whatever it holds, and nothing in it is run.
    assert_eq!(complete("inventor list -g a"), "alpha|");
    for beginning in ["beta", r"'beta\ g'"] {
        assert_eq!(complete(&format!("inventor groups delete {beginning}")), r"beta\ gamma|");
    }
    assert_eq!(complete("inventor list -g z"), r"zeta\$\(touch\ run\)|zeta\;touch\ run|zeta\`touch\ run\`|");
    assert!(complete("inventor list -g ''").starts_with(r"alpha|beta\ gamma|zeta"));
    assert!(!cli.path("run").exists(), "the name of a group was run");
    assert!(complete("inventor list --sort ''").starts_with("group|targets|expires|"));
    let id = inventor::registration::TargetId::of(&["alpha:1".to_owned()]).to_string();
    assert!(complete("inventor get ''").contains(&id));
    let many: Vec<_> = (0..1100).map(|n| json!({"targets": [format!("many-{n}:1")]})).collect();
    let there = Cli::of(&server);
    there.ends_with(0, &["import", there.write("many.json", json!(many).to_string()).to_str().unwrap()]);
    let last = there.ends_with(0, &["list", "--sort=-id", "--limit", "1", "--columns", "id"]);
    assert_eq!(complete(&format!("inventor get {}", &last[..8])), format!("{}|", last.trim()));
    assert_eq!(complete("inventor serve --restore ''"), "on|off|");
    let first = complete("inventor ''");
    assert!(first.contains("register|") && !first.contains("--redis"), "{first}");
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let file = cli.write("f.json", r#"[{"targets": ["a:1"]}]"#);
    let into = |output: &str, arguments: &[&str]| {
        let mut command = cli.with(arguments).command();
        command.stdout(fs::File::options().write(true).open(output).unwrap()).stderr(std::process::Stdio::piped());
        let ended = command.spawn().unwrap().wait_with_output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    for command in [
        &["sync", "-g", "g", file.to_str().unwrap()][..],
        &["export"],
        &["list"],
        &["status", "-o", "json"],
        &["token", "a", "read", "*"],
        &["changes", "--follow"],
        &["completions", "bash"],
        &["list", "--help"],
    ] {
        let (code, said) = into("/dev/full", command);
        assert!(code == Some(2) && said.contains("standard output"), "{command:?}: {code:?} {said}");
    }
    assert_eq!(listed(&server), ["a:1"], "what was asked for is done all the same");
}

#[test]
fn every_command_has_a_manual_page() {
    let cli = Cli::at("http://127.0.0.1:1");
    cli.ends_with(0, &["man", "pages"]);
    let page = |name: &str| fs::read_to_string(cli.path("pages").join(name)).unwrap();
    assert!(page("inventor-serve.1").contains("TTL_SECONDS"), "the settings are in the page of the server");
    for file in fs::read_dir(cli.path("pages")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let text = page(&name);
        for section in ["EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            assert!(
                text.contains(&format!(".SH \"{section}\"")) || text.contains(&format!(".SH {section}")),
                "{name}: {section}"
            );
        }
        assert!(text.lines().any(|line| line.starts_with(".TH") && line.contains("2026")), "{name}: {text}");
    }
    assert!(
        page("inventor-agent.1").contains("inventor agent [OPTIONS] \\-\\-dir <DIR>"),
        "{}",
        page("inventor-agent.1")
    );
    assert!(page("inventor-agent.1").contains("INVENTOR_TOKEN") && page("inventor-agent.1").contains("agent.json"));
    cli.fails_with(2, &["man", "/proc/nowhere/x"], &["/proc/nowhere/x"]);
}
