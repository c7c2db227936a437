//! `status`, `pollers`, `changes` and `problems`: how the server is doing, who polls, what happens, and what is wrong.

use std::thread;
use std::time::Duration;

use form_urlencoded::Serializer;
use serde_json::{Value, json};

use super::connection::Api;
use super::output::{Column, Output, cell, count};
use super::{Failure, times};
use crate::config::commands::ChangesCommand;

/// Between two looks at what has changed.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The most changes that the server gives.
const CHANGES_MAX: usize = 1000;

/// The most problems of a kind that a person is shown.
const PROBLEMS_SHOWN_MAX: usize = 50;

/// Shows how the server is doing: a summary for people, everything for programs.
pub(super) fn status(connection: &Api, output: Output) -> Result<(), Failure> {
    let status = connection.read("/api/v1/status", "store")?;
    let columns = [Column::fixed(""), Column::flexible("")];
    if !output.is_table() || !output.is_terminal() {
        return output.show(&status, &columns, || super::output::members(&status));
    }
    output.table(&columns, summary(connection, &status)?);
    Ok(())
}

fn summary(connection: &Api, status: &Value) -> Result<Vec<Vec<String>>, Failure> {
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let number = |name: &str| status[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
    let started = times::since(&status["started_at"]);
    let store = &status["store"];
    let stale = store["stale_seconds"].as_u64().map(times::lifetime).unwrap_or_default();
    let health = match store["healthy"].as_bool() {
        Some(true) => "well".to_owned(),
        _ if store["loaded"] == json!(false) => {
            format!("NOT WELL: {}; no registration has been loaded yet", cell(&store["reason"]))
        }
        _ => format!("NOT WELL for {stale}: {}; lists are the last good ones", cell(&store["reason"])),
    };
    let expiring = ["5m", "1h", "6h"].map(|time| format!("{} within {time}", cell(&status["expiring"][time])));
    let expiring = format!("{}, unless they are renewed", expiring.join(", "));
    let lifetime = status["default_ttl_seconds"].as_u64().map(times::lifetime).unwrap_or_default();
    let mut rows = vec![
        row("Server", format!("inventor {} at {}, started {started}", cell(&status["version"]), connection.url())),
        row("Store", format!("{}, {health}", cell(&store["kind"]))),
        row(
            "Registered",
            format!(
                "{} in {}, {}",
                count(number("registrations"), "registration", "registrations"),
                count(number("groups"), "group", "groups"),
                count(number("addresses"), "address", "addresses")
            ),
        ),
        row("Lifetime", format!("{lifetime} unless they say otherwise")),
        row("Expiring", expiring),
    ];
    match pollers_of(connection) {
        Ok(pollers) => {
            let late: Vec<&Value> = pollers.iter().filter(|poller| poller["late"] == json!(true)).collect();
            let total = count(pollers.len(), "poller", "pollers");
            rows.push(row("Polled by", format!("{total} within the hour, {} late", late.len())));
            for poller in late {
                let seen = times::since(&poller["last_seen"]);
                let who = [&poller["client"], &poller["address"], &poller["path"]].map(cell).join(" ");
                rows.push(row("  late", format!("{who}, last seen {seen}")));
            }
        }
        // For tokens that see everything.
        Err(Failure::Refused(_)) => {}
        Err(failure) => return Err(failure),
    }
    let wrong = match (number("quarantined"), number("duplicates"), number("label_problems")) {
        (0, 0, 0) => "nothing".to_owned(),
        (quarantined, duplicates, labels) => format!(
            "{quarantined} stored and left out of the lists, {} in several registrations, {} that Prometheus does not \
             take; see `inventor problems`",
            count(duplicates, "address", "addresses"),
            count(labels, "label", "labels")
        ),
    };
    rows.push(row("Wrong", wrong));
    Ok(rows)
}

fn pollers_of(connection: &Api) -> Result<Vec<Value>, Failure> {
    connection.read("/api/v1/pollers", "pollers").map(|answer| list(&answer["pollers"]))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

pub(super) fn pollers(connection: &Api, output: Output) -> Result<(), Failure> {
    let pollers = pollers_of(connection)?;
    let columns = [
        Column::fixed("CLIENT"),
        Column::flexible("ADDRESS"),
        Column::details("PATH"),
        Column::fixed("EVERY"),
        Column::fixed("SEEN"),
        Column::fixed("STATUS"),
        Column::fixed("POLLS"),
        Column::fixed("LATE"),
    ];
    let row = |poller: &Value| {
        let interval = poller["refresh_interval_seconds"].as_f64();
        let every = interval.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let (every, seen) = match output.is_terminal() {
            true => (every.map(times::duration).unwrap_or_default(), times::since(&poller["last_seen"])),
            false => (cell(&poller["refresh_interval_seconds"]), cell(&poller["last_seen"])),
        };
        let late = if poller["late"] == json!(true) { "late" } else { "" };
        let [client, address, path, status, polls] =
            ["client", "address", "path", "last_status", "polls"].map(|name| cell(&poller[name]));
        vec![client, address, path, every, seen, status, polls, late.to_owned()]
    };
    output.show(&pollers, &columns, || pollers.iter().map(row).collect())
}

/// Lists what has changed, and what goes on changing if it is to.
pub(super) fn changes(connection: &Api, command: &ChangesCommand, output: Output) -> Result<(), Failure> {
    let path = |limit: usize| {
        let mut parameters = Serializer::new(String::new());
        parameters.append_pair("limit", &limit.to_string());
        parameters.extend_pairs(command.group.iter().map(|group| ("target_group", group)));
        parameters.extend_pairs(command.id.iter().map(|id| ("id", id)));
        format!("/api/v1/changes?{}", parameters.finish())
    };
    let read = |limit: usize| connection.read(&path(limit), "changes").map(|answer| list(&answer["changes"]));
    // As logs have it: the newest last, where one reads on.
    let mut first = read(if command.follow { CHANGES_MAX } else { command.limit })?;
    let mut known = first.clone();
    first.truncate(command.limit);
    first.reverse();
    if !command.follow {
        return output
            .show(&first, &CHANGE_COLUMNS, || first.iter().map(|change| change_row_now(change, output)).collect());
    }
    let mut news = first;
    loop {
        for change in &news {
            match output.is_table() {
                true => output.print(&(change_line(change, output) + "\n")),
                false => output.print(&format!("{}\n", super::terminal::json(&change.to_string()))),
            }
        }
        if super::output::is_closed() {
            return Ok(());
        }
        thread::sleep(BETWEEN_LOOKS);
        let now = match read(CHANGES_MAX) {
            Ok(now) => now,
            // It may come back, and then its changes begin anew.
            Err(Failure::Unavailable(reason)) => {
                super::output::tell(&reason);
                news = Vec::new();
                continue;
            }
            Err(failure) => return Err(failure),
        };
        news = new_ones(&known, &now);
        known = now;
    }
}

/// What stands before what is known already, oldest first.
fn new_ones(known: &[Value], now: &[Value]) -> Vec<Value> {
    // Nothing older comes up again, so that what is known already is no longer than it was.
    let is_known = |at: &usize| now.len() - at <= known.len() && known.starts_with(&now[*at..]);
    let new = (0..now.len()).find(is_known).unwrap_or(now.len());
    now[..new].iter().rev().cloned().collect()
}

const CHANGE_COLUMNS: [Column; 6] = [
    Column::fixed("AT"),
    Column::fixed("ACTION"),
    Column::flexible("GROUP"),
    Column::details("TARGETS"),
    Column::flexible("BY"),
    Column::fixed("ID"),
];

fn change_row(change: &Value, output: Output) -> Vec<String> {
    let [at, action, group, targets, by, id] =
        ["at", "action", "target_group", "targets", "by", "id"].map(|name| cell(&change[name]));
    let shown = change["targets"].as_array().map_or(0, Vec::len) as u64;
    let more = change["targets_total"].as_u64().unwrap_or_default().saturating_sub(shown);
    let targets = if more > 0 { format!("{targets} and {more} more") } else { targets };
    let short = output.is_terminal() && !output.is_wide();
    vec![at, action, group, targets, by, if short { id.chars().take(8).collect() } else { id }]
}

/// A row of a table that is read at once, in which a person sees how long ago it was.
fn change_row_now(change: &Value, output: Output) -> Vec<String> {
    let mut row = change_row(change, output);
    if output.is_terminal() && !output.is_wide() {
        row[0] = times::since(&change["at"]);
    }
    row
}

/// Lines that come one after the other have no widths in common but these.
fn change_line(change: &Value, output: Output) -> String {
    let row: Vec<String> = change_row(change, output).iter().map(|cell| super::terminal::text(cell)).collect();
    match output.is_terminal() {
        true => format!("{}  {:<10}  {}", row[0], row[1], row[2..].join("  ")),
        false => row.join("\t"),
    }
}

/// Shows what is wrong: what is left out of the lists, what is registered more than once, and what Prometheus drops.
pub(super) fn problems(connection: &Api, output: Output) -> Result<(), Failure> {
    let quarantine = connection.read("/api/v1/quarantine", "quarantine")?;
    let duplicates = connection.read("/api/v1/duplicates", "duplicates")?;
    let labels = connection.read("/api/v1/problems", "problems")?;
    let problems = json!({ "quarantine": quarantine, "duplicates": duplicates, "labels": labels });
    let columns = [Column::fixed("PROBLEM"), Column::fixed("WHERE"), Column::details("WHAT")];
    let is_none = |found: &Value| found["total"].as_u64().unwrap_or_default() == 0;
    if [&quarantine, &duplicates, &labels].into_iter().all(is_none) && output.is_table() && output.is_terminal() {
        super::output::tell("Nothing is wrong.");
        return Ok(());
    }
    output.show(&problems, &columns, || {
        let most = if output.is_terminal() && !output.is_wide() { PROBLEMS_SHOWN_MAX } else { usize::MAX };
        let left_out = list(&quarantine["quarantine"]).into_iter().take(most).map(|one| {
            vec!["left out".to_owned(), cell(&one["id"]), format!("{} ({})", cell(&one["reason"]), cell(&one["value"]))]
        });
        let twice = list(&duplicates["duplicates"]).into_iter().take(most).map(|one| {
            let times = cell(&one["ids_total"]);
            vec![
                "repeated".to_owned(),
                cell(&one["address"]),
                format!("in {times} registrations of {}: {}", cell(&one["groups"]), cell(&one["ids"])),
            ]
        });
        let dropped = list(&labels["problems"]).into_iter().take(most).map(|one| {
            let [id, label, value, reason] = ["id", "label", "value", "reason"].map(|name| cell(&one[name]));
            vec!["not scraped".to_owned(), id, format!("{label}={value}: {reason}")]
        });
        left_out.chain(twice).chain(dropped).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_once_and_in_order() {
        let list = |text: &str| -> Vec<Value> { text.chars().map(|c| json!(c.to_string())).collect() };
        for (known, now, expected) in [
            ("cba", "edcba", "de"),
            ("", "ba", "ab"),
            ("aa", "aaaa", "aa"),
            ("dcb", "fedc", "ef"),
            ("cba", "cba", ""),
            ("cba", "", ""),
            ("cba", "yx", "xy"),
        ] {
            assert_eq!(new_ones(&list(known), &list(now)), list(expected), "{known} {now}");
        }
    }
}
