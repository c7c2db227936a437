//! Many files for one agent, and many agents for one server.

use std::fs;

use super::agent::file_sd;
use super::{Cli, listed};
use crate::eventually::{SOON, eventually};
use crate::process::Process;
use crate::server::Server;

/// The seconds of the log lines that tell of an accepted write.
fn seconds_of_writes(server: &Server) -> Vec<String> {
    let writes = server.log().into_iter().filter(|line| line.contains("action=put") && line.contains("outcome=ok"));
    // ts=2026-11-25T19:14:42.037Z
    writes.filter_map(|line| line.split('.').next().map(str::to_owned)).collect()
}

#[test]
fn a_directory_of_a_thousand_files_is_registered_by_one_small_process() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    for number in 0..1000 {
        cli.write(&format!("d/{number:04}.json"), file_sd(&format!("host{number:04}:9100")));
    }
    let agent = cli.start(&["agent", "--dir", "d", "--ttl", "1h"]);
    eventually(3 * SOON, || listed(&server).len() == 1000);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")).unwrap();
    let resident: u64 = resident.parse().unwrap();
    assert!(resident < 40 * 1024, "it takes {resident} KiB");
    fs::remove_file(cli.path("d/0500.json")).unwrap();
    eventually(SOON, || listed(&server).len() == 999);
}

#[test]
fn renewals_of_two_hundred_agents_that_start_at_once_are_spread() {
    let server = Server::start(&[]);
    let cli = Cli::of(&server);
    let agents: Vec<Process> = (0..200)
        .map(|number| {
            cli.write(&format!("d{number}/a.json"), file_sd(&format!("host{number:03}:9100")));
            cli.start(&["agent", "--dir", &format!("d{number}"), "--ttl", "1m"])
        })
        .collect();
    eventually(3 * SOON, || listed(&server).len() == agents.len());
    let registered = seconds_of_writes(&server).len();
    // Within a third of the lifetime each of them renews.
    eventually(2 * SOON, || seconds_of_writes(&server).len() >= registered + agents.len() * 9 / 10);
    let renewals = seconds_of_writes(&server).split_off(registered);
    let busiest = renewals.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap();
    assert!(busiest < agents.len() / 4, "{busiest} of {} renewals came in one second", renewals.len());
    assert!(renewals.chunk_by(|a, b| a == b).count() > 8, "they came together: {renewals:?}");
    drop(agents);
}
