//! The agent and what can stand in its directory beside ordinary files, or hang there: nothing of it holds up renewals or
//! signals.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::agent::{agent, file_sd, lists};
use super::{Cli, listed};
use crate::eventually::{SOON, eventually};
use crate::faults::inject;
use crate::process::Process;
use crate::server::{Server, Setup};

fn count(process: &Process, text: &str) -> usize {
    process.stderr().iter().filter(|line| line.contains(text)).count()
}

#[track_caller]
fn mkfifo(cli: &Cli, name: &str) {
    assert!(Command::new("mkfifo").arg(cli.path(name)).status().unwrap().success());
}

/// Ends soon, as it was told to.
#[track_caller]
fn ends(agent: &mut Process) {
    let told = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().code(), Some(0), "{:?}", agent.stderr());
    assert!(told.elapsed() < Duration::from_secs(15), "it took {:?}", told.elapsed());
}

#[test]
fn nothing_that_stands_in_the_directory_holds_up_renewals_or_signals() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/good.json", file_sd("a:1"));
    cli.write("d/becomes-a-pipe.json", file_sd("b:1"));
    let mut agent = agent(&cli, &[]);
    lists(&server, &["a:1", "b:1"]);
    // Each appears as what it is: the agent may look at any moment.
    mkfifo(&cli, "elsewhere");
    mkfifo(&cli, "becomes");
    fs::rename(cli.path("becomes"), cli.path("d/becomes-a-pipe.json")).unwrap();
    mkfifo(&cli, "d/pipe.yaml");
    symlink(cli.path("elsewhere"), cli.path("d/link-to-a-pipe.json")).unwrap();
    for device in ["zero", "tty", "full"] {
        symlink(format!("/dev/{device}"), cli.path(&format!("d/{device}.json"))).unwrap();
    }
    fs::create_dir(cli.path("d/directory.json")).unwrap();
    symlink("directory.json", cli.path("d/link-to-a-directory.json")).unwrap();
    symlink("loop.json", cli.path("d/loop.json")).unwrap();
    symlink("nowhere", cli.path("d/dangling.json")).unwrap();
    symlink("/proc/self/mem", cli.path("d/memory.json")).unwrap();
    let _listener = UnixListener::bind(cli.path("d/socket.json")).unwrap();
    fs::File::create(cli.path("huge")).unwrap().set_len(1 << 40).unwrap();
    fs::rename(cli.path("huge"), cli.path("d/huge.json")).unwrap();
    let unreadable = cli.write("unreadable", "not a list");
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).unwrap();
    fs::rename(unreadable, cli.path("d/unreadable.json")).unwrap();
    cli.write("d/later.json", file_sd("c:1"));
    lists(&server, &["a:1", "b:1", "c:1"]);
    // For longer than a registration lives.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert_eq!(listed(&server), ["a:1", "b:1", "c:1"]);
        std::thread::sleep(Duration::from_millis(20));
    }
    for name in ["becomes-a-pipe.json", "link-to-a-pipe.json", "pipe.yaml", "zero.json", "huge.json", "socket.json"] {
        assert_eq!(
            count(&agent, &format!("file={name}")) - usize::from(name == "becomes-a-pipe.json") * 2,
            1,
            "{name}: {:?}",
            agent.stderr()
        );
    }
    agent.line_with(&["the file is broken", "becomes-a-pipe.json", "kept=1", "not a regular file"]);
    ends(&mut agent);
}

#[test]
fn a_pipe_in_place_of_the_token_holds_up_nothing() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server).env("INVENTOR_TOKEN", "");
    let token = cli.write("token", "secret\n");
    cli.write("d/a.json", file_sd("a:1"));
    let mut agent = agent(&cli, &["--token-file", token.to_str().unwrap()]);
    lists(&server, &["a:1"]);
    fs::remove_file(&token).unwrap();
    mkfifo(&cli, "token");
    // Somebody has it open and writes nothing, so that it neither ends nor goes on.
    let _writer = fs::File::options().read(true).write(true).open(&token).unwrap();
    agent.signal(Signal::SIGHUP);
    agent.line_with(&["the token stays as it is", "the pipe has not ended"]);
    cli.write("d/b.json", file_sd("b:1"));
    lists(&server, &["a:1", "b:1"]);
    agent.signal(Signal::SIGHUP);
    ends(&mut agent);
}

#[test]
fn a_mount_that_hangs_holds_up_neither_renewals_nor_signals() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let (setup, disk, _) = inject(Setup::clone(&cli.setup));
    let cli = Cli { setup };
    cli.write("d/a.json", file_sd("a:1"));
    // The name by which the faults know what they concern.
    cli.write("d/inventor.redb.json", file_sd("b:1"));
    let mut agent = agent(&cli, &[]);
    lists(&server, &["a:1", "b:1"]);
    disk.hang();
    cli.write("d/inventor.redb.json", file_sd("b:2"));
    disk.is_met();
    agent.line_with(&["the files cannot be read, something hangs"]);
    assert_eq!(listed(&server), ["a:1", "b:1"], "they are renewed");
    agent.signal(Signal::SIGHUP);
    disk.heal();
    lists(&server, &["a:1", "b:2"]);
    agent.line_with(&["the files can be read again"]);
    disk.hang();
    cli.write("d/inventor.redb.json", file_sd("b:3"));
    disk.is_met();
    ends(&mut agent);
}

#[test]
fn of_a_file_that_is_rewritten_all_the_time_no_half_is_taken() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    // Any part of a list of YAML is one.
    let list = |label: &str| -> String {
        (0..300).map(|number| format!("- targets: ['h{number}:1']\n  labels: {{x: {label}}}\n")).collect()
    };
    let expected = 300;
    cli.write("d/a.yaml", list("0"));
    let agent = cli.start(&["agent", "--dir", "d"]);
    eventually(SOON, || listed(&server).len() == expected);
    let end = Instant::now() + Duration::from_secs(3);
    let mut version = 0;
    while Instant::now() < end {
        version += 1;
        fs::write(cli.path("d/a.yaml"), list(&version.to_string())).unwrap();
    }
    assert_eq!(count(&agent, "msg=deregistered"), 0, "{:?}", agent.stderr());
    assert_eq!(listed(&server).len(), expected);
}

#[test]
fn a_directory_that_is_not_there_at_the_start_ends_it() {
    let cli = Cli::at("http://127.0.0.1:1");
    let file = cli.write("file", "");
    for name in ["nowhere", file.to_str().unwrap()] {
        cli.fails_with(2, &["agent", "--dir", name], &[&format!("--dir {name}: ")]);
    }
}

#[test]
fn a_directory_that_goes_away_later_is_not_an_empty_one() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    cli.write("d/a.json", file_sd("a:1"));
    let mut agent = agent(&cli, &[]);
    lists(&server, &["a:1"]);
    // It is gone, and then there is the empty place of a mount in its stead.
    for (replacement, words) in [(false, "the directory cannot be read"), (true, "may not be mounted")] {
        fs::rename(cli.path("d"), cli.path("elsewhere")).unwrap();
        if replacement {
            fs::create_dir(cli.path("d")).unwrap();
        }
        agent.signal(Signal::SIGHUP);
        agent.line_with(&[words]);
        agent.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(listed(&server), ["a:1"], "it is renewed");
        // Later it may look in the midst of what is moved, and tell of that as well.
        assert_eq!(count(&agent, words), 1, "it is told once: {:?}", agent.stderr());
        if replacement {
            fs::remove_dir(cli.path("d")).unwrap();
        }
        fs::rename(cli.path("elsewhere"), cli.path("d")).unwrap();
        agent.signal(Signal::SIGHUP);
    }
    // The one that is known to have had files may become empty.
    fs::remove_file(cli.path("d/a.json")).unwrap();
    lists(&server, &[]);
}
